"""animate: a picture for each step, of each policy, in the film's file."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

import anmjax.cli.render
from anmjax.agents.replay import Series
from anmjax.cli import main
from anmjax.render import animate
from anmjax.render.diagram import Picture
from tests.render.samples import grid, rollout

NET = grid(8)


def test_a_gif_has_a_picture_of_every_step_of_every_policy(tmp_path):
    rollouts = {"a": rollout(NET, steps=3, seed=1), "b": rollout(NET, steps=3, seed=2)}
    done = []
    animate(rollouts, tmp_path / "day.gif", fps=5, title="Task", progress=done.append)
    assert done == [1, 2, 3]
    with Image.open(tmp_path / "day.gif") as film:
        assert (film.n_frames, film.size, film.info["duration"]) == (3, (1280, 480), 200)
        film.seek(1)
        shown = np.asarray(film.convert("RGB"), int)
    second = Series(*(np.asarray(x)[1] for x in rollouts["b"].series))
    expected = Picture(NET).pixels(second, title="Task, b, day 1, 06:30")
    # 128 colours of a picture: near to it all over, and equal in most places.
    distance = np.abs(shown[:, 640:] - expected)
    assert distance.mean() < 2
    assert (distance.max(-1) < 12).mean() > 0.97


def test_what_cannot_be_a_film_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"day\.avi must end in one of \.gif, \.mp4"):
        animate({"a": rollout(NET)}, tmp_path / "day.avi")
    with pytest.raises(ValueError, match="rollouts is empty"):
        animate({}, tmp_path / "day.gif")
    monkeypatch.setattr("matplotlib.animation.FFMpegWriter.isAvailable", lambda: False)
    with pytest.raises(RuntimeError, match="needs ffmpeg, which is not installed here"):
        animate({"a": rollout(NET)}, tmp_path / "day.mp4")
    assert not list(tmp_path.iterdir())


def test_the_command_writes_a_film_by_the_ending_of_its_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(anmjax.cli.render, "replay", lambda *_, steps, **__: rollout(NET, steps=steps))
    monkeypatch.setattr(anmjax.cli.render, "starts_of", lambda *_, **__: (np.zeros(1), ""))
    out = tmp_path / "day.gif"
    words = ["render", "do-nothing", "--task", "ANM6Easy-v0", "--horizon", "2"]
    assert main([*words, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 2 steps of do-nothing on ANM6Easy-v0.\n"
    with Image.open(out) as film:
        assert film.n_frames == 2
    monkeypatch.setattr("matplotlib.animation.FFMpegWriter.isAvailable", lambda: False)
    assert main([*words, "--out", str(tmp_path / "day.mp4")]) == 2
    assert "needs ffmpeg" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib.animation", None)
    assert main([*words, "--out", str(out)]) == 2
    assert "needs matplotlib: pip install 'anmjax[plot]'" in capsys.readouterr().err
