"""``anmjax train --watch``: a day under the newest policy, on a page that goes on as it learns."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from anmjax.agents.evaluation import starts_of
from anmjax.agents.replay import Series, hour_of, moment_of, replay
from anmjax.agents.seeds import key_of_seed
from anmjax.cli.errors import CommandError
from anmjax.cli.screen import say
from anmjax.render.live import LivePage


class Watched:
    """The page of a training."""

    def __init__(self, env: Any, task: str) -> None:
        """Serves the page, with the start alone on it; says where it is.

        Args:
          env: the bare environment.
          task: its name.

        Raises:
          CommandError: the task has no grid to look at.
        """
        if not hasattr(env, "network"):
            raise CommandError(f"--watch shows a grid, and {task} has none.")
        starts, _ = starts_of(env, key_of_seed(0), num_starts=1)
        self._env, self._start = env, jax.tree.map(lambda x: x[0], starts)
        self._steps = max(1, round(24 / float(env.delta_t)))
        self._hour = hour_of(env, self._start)
        self._first = jax.device_get(moment_of(env.network, self._start))
        self.page = LivePage(env.network, float(env.delta_t), title=f"{task}, learning")
        self.page.begin(self._first, start_hour=self._hour, name="nothing learned yet")
        say(f"Watch: {self.page.address}")

    def __call__(self, policy: Any, env_steps: int) -> None:
        """Shows a day under a policy, which has learned from so many environment steps."""
        day = replay(self._env, policy, self._start, steps=self._steps).series
        moments = [Series(*(np.asarray(x[t]) for x in day)) for t in range(self._steps)]
        name = f"after {env_steps:,} steps"
        self.page.begin(self._first, *moments, start_hour=self._hour, name=name)
