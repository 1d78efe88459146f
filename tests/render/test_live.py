"""The live page: who has its address sees the numbers of the grid, nobody else anything."""

from __future__ import annotations

import http.client
import json
import socket
from urllib.parse import urlsplit

import numpy as np
import pytest

from anmjax.agents.replay import Series
from anmjax.render import live
from anmjax.render.live import LivePage
from tests.render.samples import grid, rollout
from tests.render.test_page import HOSTILE, data_of

NET = grid(6)
SERIES = rollout(NET, steps=5, seed=3).series


def moment(t: int) -> Series:
    return Series(*(np.asarray(x)[t] for x in SERIES))


@pytest.fixture
def page():
    page = LivePage(NET, 0.25, title=HOSTILE)
    page.begin(moment(0), start_hour=6.0)
    yield page
    page.close()


def ask(page, path="", *, method="GET", **headers):
    """Status and text of an answer; a path from the root begins with a slash."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    path = path if path.startswith("/") else urlsplit(page.address).path + path
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(), answer.headers
    connection.close()
    return found


def test_the_page_and_its_frames_hold_the_numbers_of_the_grid(page):
    page.add(moment(1))
    status, text, headers = ask(page)
    assert status == 200
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    data = data_of(text)
    assert (data["title"], data["steps"], data["lead"], data["start_hour"]) == (HOSTILE, 2, 0, 6.0)
    for name, columns in data["policies"][0]["series"].items():
        expected = np.asarray(getattr(SERIES, name), float)[:2].reshape(2, -1).T
        np.testing.assert_allclose(columns, expected, rtol=1e-8, err_msg=name)

    page.add(moment(2))
    status, text, _ = ask(page, f"frames?episode={data['episode']}&since=2")
    news = json.loads(text)
    assert (status, news["steps"], news["lead"]) == (200, 1, 2)
    np.testing.assert_allclose(np.ravel(news["series"]["vm"]), SERIES.vm[2], rtol=1e-8)
    assert json.loads(ask(page, f"frames?episode={data['episode']}&since=3")[1])["steps"] == 0


def test_who_loads_it_anew_or_comes_after_a_reset_gets_all_of_the_episode(page):
    page.add(moment(1))
    first, again = ask(page)[1], ask(page)[1]
    assert first == again
    assert data_of(again)["steps"] == 2
    assert data_of(again)["policies"][0]["name"] == "now"
    page.begin(moment(3), start_hour=7.0, name=HOSTILE)
    episode = data_of(first)["episode"]
    news = json.loads(ask(page, f"frames?episode={episode}&since=2")[1])
    assert (news["episode"], news["steps"], news["lead"], news["start_hour"]) == (episode + 1, 1, 0, 7.0)
    assert news["name"] == HOSTILE
    np.testing.assert_allclose(np.ravel(news["series"]["p_mw"]), SERIES.p_mw[3], rtol=1e-8)


def test_an_episode_may_begin_with_all_that_has_been(page, monkeypatch):
    monkeypatch.setattr(live, "MOST_MOMENTS", 3)
    page.begin(*map(moment, range(5)))
    data = data_of(ask(page)[1])
    assert (data["steps"], data["lead"], data["start_hour"]) == (3, 2, None)
    np.testing.assert_allclose(data["policies"][0]["series"]["e_loss"][0], SERIES.e_loss[2:], rtol=1e-8)


def test_the_newest_moments_are_kept_and_say_where_they_stand(page, monkeypatch):
    monkeypatch.setattr(live, "MOST_MOMENTS", 2)
    for t in range(1, 5):
        page.add(moment(t))
    data = data_of(ask(page)[1])
    assert (data["steps"], data["lead"]) == (2, 3)
    news = json.loads(ask(page, f"frames?episode={data['episode']}&since=4")[1])
    assert (news["steps"], news["lead"]) == (1, 4)
    late = json.loads(ask(page, f"frames?episode={data['episode']}&since=1")[1])
    assert (late["steps"], late["lead"]) == (2, 3)


def test_nothing_is_told_without_the_token_or_to_another_host_or_origin(page):
    own = f"http://127.0.0.1:{page.port}"
    token = urlsplit(page.address).path.strip("/")
    refused = [
        ask(page, "/"),
        ask(page, "/frames?episode=1&since=0"),
        ask(page, f"/{token[:-1]}/"),
        ask(page, f"/{token}x/frames?episode=1&since=0"),
        ask(page, "/%00/"),
        ask(page, Host="localhost:1"),
        ask(page, Host=f"evil.example:{page.port}"),
        ask(page, Origin="http://evil.example"),
        ask(page, "frames?episode=1&since=0", Origin="null"),
    ]
    assert {status for status, _, _ in refused} == {403}
    assert {text for _, text, _ in refused} == {"The address of this page has a token in it.\n"}
    status, _, headers = ask(page, Origin=own)
    assert status == 200
    assert "Access-Control-Allow-Origin" not in headers
    assert headers["Referrer-Policy"] == "no-referrer"
    assert ask(page, "other")[0] == 404
    assert ask(page, method="POST")[0] == 501
    for query in (
        "",
        "?episode=1",
        "?episode=x&since=0",
        "?episode=1&since=-1",
        f"?episode=1&since={'9' * 20}",
    ):
        assert ask(page, f"frames{query}")[0] == 400
    other = LivePage(NET, 0.25)
    assert token not in other.address
    other.close()


def test_it_listens_on_the_loopback_address_alone_and_frees_its_port(page):
    assert page._server.server_address[0] == "127.0.0.1"
    port = page.port
    page.close()
    assert not page._thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    page.close()  # once more is nothing


def test_a_browser_that_leaves_before_the_answer_disturbs_nobody(page, capsys):
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", page.port)) as early:
            early.sendall(f"GET {urlsplit(page.address).path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
            early.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert ask(page)[0] == 200
    assert capsys.readouterr().err == ""
