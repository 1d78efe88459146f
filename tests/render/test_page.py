"""The page of a replay: its numbers are those of the rollout, and it needs nothing but itself."""

from __future__ import annotations

import html
import json
import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest

import anmjax.cli.render
from anmjax.cli import main
from anmjax.render import page
from anmjax.render.web_page import quantised
from tests.render.samples import grid, rollout

HOSTILE = "</script><script>alert(1)</script> \" ' & @@data@@ \u202e " + "x" * 500
RESERVED = 65535


class Tags(HTMLParser):
    """What a browser finds in a page: its tags with their attributes, and the text of each kind of tag."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open = tag

    def handle_data(self, data):
        self.text.setdefault(self.open, []).append(data)


def data_of(text: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[1])


def columns(record: dict) -> np.ndarray:
    """(n, T), as the page reads it."""
    codes = np.frombuffer(b64decode(record["codes"]), "<u2").reshape(len(record["low"]), -1)
    low, step = (np.array(record[name])[:, None] for name in ("low", "step"))
    return np.where(codes == RESERVED, np.nan, low + step * codes)


def test_numbers_are_kept_to_half_a_quantum_of_their_range():
    values = np.random.default_rng(0).normal(0, [1e-3, 1, 1e4], (200, 3))
    values[7, 1] = np.inf
    found = columns(quantised(values)).T
    assert np.isnan(found[7, 1])
    values[7, 1] = found[7, 1] = 0
    # Half of 1 / 65534 of the range, and what nine digits of the scale leave.
    half = 0.5 * np.ptp(values, axis=0) / 65534 + 1e-8 * np.abs(values).max(0)
    assert (np.abs(found - values) <= half).all()
    constant = columns(quantised(np.full((5, 1), 0.25)))
    assert constant.tolist() == [[0.25] * 5]


def test_a_page_holds_each_number_of_each_policy_and_loads_nothing():
    net = grid(20, meshes=2)
    rollouts = {"a": rollout(net, seed=1), HOSTILE: rollout(net, seed=2)}
    text = page(rollouts, title=HOSTILE)
    found = data_of(text)
    assert [policy["name"] for policy in found["policies"]] == ["a", HOSTILE]
    assert found["network"]["bus"]["id"] == list(range(20))
    assert (found["delta_t"], found["start_hour"], found["steps"]) == (0.25, 6.0, 6)
    for replay, policy in zip(rollouts.values(), found["policies"], strict=True):
        for name, values in replay.series._asdict().items():
            expected = np.asarray(values, float).reshape(6, -1).T
            # Angles have the largest range, 10 degrees: half of 1 / 65534 of it.
            np.testing.assert_allclose(columns(policy["series"][name]), expected, atol=7.7e-5, err_msg=name)

    # No address at all, not even that of a namespace, and no element that could load something.
    program = text.replace(json.dumps(found, separators=(",", ":")).replace("<", "\\u003c"), "")
    drawer = (resources.files("anmjax.render") / "page/vendor/uplot.js").read_text("utf-8")
    assert drawer in program
    assert "Permission is hereby granted, free of charge" in drawer  # the licence travels with each page
    assert len(program) - len(drawer) < 60_000  # without the data, whose base64 may spell anything
    assert not re.search(r"https?:|//[a-z]|url\(|@import|\bfetch\b|XMLHttpRequest|WebSocket", program)
    tags = Tags(text)
    assert not [tag for tag, names in tags.tags if {"src", "href", "srcset", "action"} & names.keys()]
    kinds = [tag for tag, _ in tags.tags]
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(kinds)
    assert kinds.count("script") == 2  # the data and the program: names brought none
    assert tags.text["title"][0] == HOSTILE
    policies = [names["content"] for tag, names in tags.tags if names.get("http-equiv")]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"]


def test_a_notebook_shows_it_in_a_frame_that_is_all_of_it():
    text = page({HOSTILE: rollout(grid(3), steps=2)})
    framed = re.fullmatch(r'<iframe srcdoc="([^"]*)" [^>]*></iframe>', text._repr_html_())
    assert html.unescape(framed[1]) == text
    assert len(repr(text)) < 50


def test_a_day_of_a_hundred_buses_is_small():
    text = page({"a": rollout(grid(100), steps=96)})
    assert len(text) < 450_000  # bytes; 2 a number, base64 of them a third more; 52,000 that draw charts


def test_infinite_limits_are_no_limits():
    net = grid(3)
    data = data_of(page({"a": rollout(replace(net, rating=np.full(net.n_branch, np.inf)))}))
    assert data["network"]["branch"]["rating"] == [None, None]


def test_rollouts_that_no_one_clock_can_play_are_refused():
    net = grid(5)
    ours = rollout(net)
    with pytest.raises(ValueError, match="rollouts is empty, but a page needs at least one"):
        page({})
    with pytest.raises(ValueError, match="'a' and 'b' are of different grids: bus_ids differs"):
        page({"a": ours, "b": rollout(grid(6))})
    with pytest.raises(ValueError, match="steps of rollout 'b' is 7, but that of 'a' is 6"):
        page({"a": ours, "b": rollout(net, steps=7)})
    with pytest.raises(ValueError, match=r"delta_t of rollout 'b' is 0\.5, but that of 'a' is 0\.25"):
        page({"a": ours, "b": ours._replace(delta_t=0.5)})


def test_the_command_writes_what_the_simulator_did(tmp_path, monkeypatch, capsys):
    seen = []

    def noted(*args, **options):
        seen.append(replay(*args, **options))
        return seen[-1]

    replay = anmjax.cli.render.replay
    monkeypatch.setattr(anmjax.cli.render, "replay", noted)
    out = tmp_path / "page.html"
    words = ["render", "do-nothing", "--task", "ANM6Easy-v0", "--horizon", "3", "--out", str(out)]
    assert main(words) == 0
    assert "3 steps of do-nothing on ANM6Easy-v0" in capsys.readouterr().out
    found = data_of(out.read_text(encoding="utf-8"))
    (replayed,) = seen
    net, series = replayed.network, replayed.series
    assert (found["steps"], found["delta_t"], found["start_hour"]) == (3, 0.25, 0)
    np.testing.assert_allclose(columns(found["policies"][0]["series"]["vm"]).T, series.vm, atol=1e-6)

    # From the voltages: S at the from end is V_f conj(Y_ff V_f + Y_ft V_t), tap at the from side.
    v = series.vm * np.exp(1j * np.deg2rad(series.va_deg))
    y, charging, tap = 1 / (net.r + 1j * net.x), (net.g + 1j * net.b) / 2, net.tap * np.exp(1j * net.shift)
    v_from, v_to = v[:, list(net.from_bus)], v[:, list(net.to_bus)]
    s_from = v_from * np.conj((y + charging) / np.abs(tap) ** 2 * v_from - y / np.conj(tap) * v_to)
    s_to = v_to * np.conj((y + charging) * v_to - y / tap * v_from)
    base = net.base_mva
    np.testing.assert_allclose(series.p_from_mw + 1j * series.q_from_mvar, s_from * base, atol=1e-7)
    np.testing.assert_allclose(series.s_mva, np.maximum(abs(s_from), abs(s_to)) * base, atol=1e-7)
    # What the slack feeds in is what its branches take: bus 0 has the slack device alone, and branch 0.
    np.testing.assert_allclose(series.p_mw[:, 0], series.p_from_mw[:, 0], atol=1e-6)
    # The penalty of the paper, eq. 13: 0.25 h times 100 times what is outside limits, p.u.
    outside = np.maximum(0, series.vm - net.v_max) + np.maximum(0, net.v_min - series.vm)
    over = np.maximum(0, series.s_mva / base - net.rating)
    np.testing.assert_allclose(series.penalty, 25 * (outside.sum(1) + over.sum(1)), rtol=1e-9)
    assert series.penalty.min() > 0  # something is outside, so that this says something


def test_what_cannot_be_rendered_is_refused_in_a_sentence(tmp_path, capsys):
    def refused(*words):
        assert main(["render", *words]) == 2
        return capsys.readouterr().err

    out = ["--out", str(tmp_path / "page.html")]
    assert "the policy random is named more than once" in refused("random", "random", *out)
    assert "are required: --out" in refused("random")
    assert "--horizon is 0, but must be at least 1" in refused("random", "--horizon", "0", *out)
    assert "does not exist" in refused("random", "--out", str(tmp_path / "none" / "page.html"))
    assert "baselines need a task: add --task TASK" in refused("random", *out)
    assert "nor a baseline of that name" in refused("do-nothin", *out)
    assert not list(tmp_path.iterdir())
