"""Gymnasium's render modes: pictures of the grid, and a page that follows it and closes with it."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from anmjax.adapters.gymnasium import Env

TASK = "anmjax/ANM6Easy-v0"


@pytest.fixture
def human() -> Iterator[Env]:
    env = Env("ANM6Easy-v0", render_mode="human")
    yield env
    env.close()


def loaded(env: Env, path: str = "") -> tuple[int, str]:
    where = urlsplit(str(env.address))
    connection = http.client.HTTPConnection(where.netloc, timeout=10)
    connection.request("GET", where.path + path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def data_of(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("mode", ["rgb_array", "human"])
def test_the_checker_of_gymnasium_has_no_word_to_say_of_a_mode(mode: str, capsys: Any) -> None:
    env = gymnasium.make(TASK, rescale_actions=True, render_mode=mode)
    check_env(env.unwrapped)  # warnings are errors here; it makes one of each mode too
    env.close()


def test_a_picture_is_of_the_state_and_the_next_one_of_the_next() -> None:
    env = gymnasium.make(TASK, render_mode="rgb_array")
    assert env.metadata["render_fps"] > 0
    env.reset(seed=0)
    first = env.render()
    assert isinstance(first, np.ndarray)
    assert (first.shape, first.dtype) == ((480, 640, 3), np.uint8)
    np.testing.assert_array_equal(env.render(), first)
    env.step(env.action_space.sample())
    assert (env.render() != first).any()


def test_the_page_of_an_environment_shows_its_states(human: Env, capsys: Any) -> None:
    assert human.address is None
    human.reset(seed=1)
    assert str(human.address) in capsys.readouterr().err
    quarter = int(human.state[-1])
    for _ in range(2):
        human.step(np.zeros(6))
    assert human.render() is None
    status, text = loaded(human)
    data = data_of(text)
    assert (status, data["title"], data["steps"]) == (200, "ANM6Easy-v0", 3)
    assert data["start_hour"] == quarter / 4
    series, state = data["policies"][0]["series"], human.simulator.state
    assert state is not None
    for name, quantity, unit in (
        ("vm", "bus_v_magn", "pu"),
        ("p_mw", "dev_p", "MW"),
        ("q_mvar", "dev_q", "MVAr"),
    ):
        # Nine digits on the wire.
        expected = list(state[quantity][unit].values())
        np.testing.assert_allclose([column[-1] for column in series[name]], expected, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(series["soc_mwh"][0][-1], state["des_soc"]["MWh"][6], rtol=1e-8)

    episode, address = data["episode"], human.address
    human.reset(seed=2)
    assert human.address == address  # a page that is open stays
    news = json.loads(loaded(human, f"frames?episode={episode}&since=3")[1])
    assert (news["episode"], news["steps"]) == (episode + 1, 1)


def test_a_closed_environment_frees_the_port(human: Env) -> None:
    human.reset(seed=0)
    where = urlsplit(str(human.address))
    human.close()
    assert human.address is None
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(where.netloc, timeout=10).request("GET", where.path)


def test_modes_that_there_are_not_are_refused_and_none_says_so_when_asked() -> None:
    with pytest.raises(
        ValueError, match="render_mode is 'ansi', but must be None or one of human, rgb_array"
    ):
        Env("ANM6Easy-v0", render_mode="ansi")
    env = Env("ANM6Easy-v0")
    assert env.address is None
    with pytest.warns(UserWarning, match="there is nothing to render"):
        assert env.render() is None
    with pytest.raises(RuntimeError, match="call reset first"):
        Env("ANM6Easy-v0", render_mode="rgb_array").render()
