"""Progress fits the terminal, whatever its width, and says each thing once."""

from __future__ import annotations

import io
import os
import re

import pytest

from anmjax.agents.training.progress import Progress

ROW = {
    "env_steps": 12_345_678,
    "steps_per_second": 456_789.0,
    "episode_return": -123.456,
    "violation_share": 0.12345,
    "collapses": 1234.0,
    "policy_loss": -0.00123456,
    "value_loss": 0.0123456,
}


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        return 1000


def drawn(width, monkeypatch, row=ROW):
    """The last state of the bar in a terminal of so many columns."""
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((width, 24)))
    stream = Terminal()
    with Progress(30_000_000, stream=stream) as progress:
        progress.add(row)
    return [part.rstrip("\n") for part in stream.getvalue().split("\r") if part.strip()][-1]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_the_bar_fits_the_terminal(monkeypatch, width):
    assert 40 < len(drawn(width, monkeypatch)) < width


def test_eighty_columns_show_steps_time_left_return_and_one_rate(monkeypatch):
    line = drawn(80, monkeypatch)
    # 17,654,322 steps are left, at 456,789 a second: 38.6 s.
    assert "12.3M/30M steps, 39 s left, return -123.5, 457k/s" in line
    assert len(re.findall(r"/s\b", line)) == 1
    assert "violations" not in line


def test_more_columns_show_more(monkeypatch):
    line = drawn(160, monkeypatch)
    assert "457k/s, violations 12.3 %, collapses 1234, policy loss -0.0012, value loss 0.012" in line


def test_a_plain_line_fits_eighty_columns():
    stream = io.StringIO()
    with Progress(30_000_000, stream=stream) as progress:
        progress.add(ROW)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith(" 41.2 %  12.3M/30M steps, 39 s left, return -123.5, 457k/s")
    assert len(line) <= 80


def test_quiet_is_quiet():
    stream = io.StringIO()
    with Progress(30_000_000, stream=stream, quiet=True) as progress:
        progress.say("Compiling")
        progress.add(ROW)
    assert stream.getvalue() == ""
