"""What a Gymnasium environment shows of itself: pictures, or a page that follows it."""

from __future__ import annotations

import importlib.util
import os
import sys
import webbrowser
from typing import Any

import jax
import numpy as np

from anmjax.agents.replay import hour_of, moment_of
from anmjax.envs.records import State
from anmjax.render.diagram import Picture
from anmjax.render.live import LivePage

RENDER_MODES = ("human", "rgb_array")
RENDER_FPS = 10


def check_mode(mode: str | None, env: Any) -> None:
    """Refuses a mode that there is not, and grids that there are not.

    Raises:
      ImportError: pictures need matplotlib.
      ValueError: the mode is unknown, or the task has no network.
    """
    if mode is None:
        return
    if mode not in RENDER_MODES:
        raise ValueError(f"render_mode is {mode!r}, but must be None or one of {', '.join(RENDER_MODES)}")
    if not hasattr(env, "network"):
        raise ValueError(f"render_mode is {mode!r}, but {type(env).__name__} has no network to draw")
    if mode == "rgb_array" and importlib.util.find_spec("matplotlib") is None:
        raise ImportError("render_mode 'rgb_array' needs matplotlib: pip install 'anmjax[plot]'")


class Screen:
    """Shows the states of one environment, as they come or when asked to."""

    def __init__(self, env: Any, name: str, mode: str) -> None:
        """Shows nothing yet.

        Args:
          env: environment of one lane, with a network.
          name: of the task.
          mode: "human" or "rgb_array".
        """
        self._env, self._name, self._mode = env, name, mode
        self._picture: Picture | None = None
        self.page: LivePage | None = None

    def follow(self, state: State, action: np.ndarray | None = None) -> None:
        """A state that the environment has come to by an action; without one, by a reset."""
        if self._mode != "human":
            return
        if action is not None and hasattr(self._env, "in_units"):
            action = self._env.in_units(action)
        moment = jax.device_get(moment_of(self._env.network, state, action))
        if self.page is None:
            self.page = LivePage(self._env.network, float(self._env.delta_t), title=self._name)
            _tell(self.page.address)
        if action is None:
            self.page.begin(moment, start_hour=hour_of(self._env, state))
        else:
            self.page.add(moment)

    def picture(self, state: State) -> np.ndarray | None:
        """(480, 640, 3) uint8, a state in mode "rgb_array"."""
        if self._mode != "rgb_array":
            return None
        if self._picture is None:
            self._picture = Picture(self._env.network)
        return self._picture.pixels(state, title=title_of(self._env, self._name, state))

    def close(self) -> None:
        """Ends the page, if there is one."""
        if self.page is not None:
            self.page.close()
            self.page = None


def title_of(env: Any, name: str, state: State) -> str:
    """The task, the step, and the time of day where there is one."""
    hour, clock = hour_of(env, state), ""
    if hour is not None:
        minutes = round(60 * hour) % (24 * 60)
        clock = f", {minutes // 60:02d}:{minutes % 60:02d}"
    return f"{name}, step {int(state.t)}{clock}"


def _tell(address: str) -> None:
    """Says where the page is, and opens a browser on it where there is a screen to open one on."""
    sys.stderr.write(f"The environment shows itself at {address}\n")
    sys.stderr.flush()
    desktop = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    if desktop:
        webbrowser.open(address)
