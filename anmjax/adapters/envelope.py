"""jax-envelope: a task as an environment of its interface, for its wrappers and learners."""

from __future__ import annotations

import functools
from typing import Any

import jax
from envelope import spaces
from envelope.environment import Environment, InfoContainer
from envelope.struct import field

from anmjax.adapters.tasks import task_of
from anmjax.envs.records import State
from anmjax.envs.spaces import Box


class Envelope(Environment):
    """A task by jax-envelope's names: ``init(key)`` and ``step(state, action)`` give a state and an info.

    A state is the task's own, an info has ``obs``, ``reward``, ``terminated``, ``truncated``, ``metrics`` and
    ``costs``. Nothing begins anew by itself: ``envelope.wrappers`` have what learners want around a task.
    The numbers of the task are leaves, so that grids may differ from lane to lane.
    """

    env: Any = field()

    @classmethod
    def of(cls, task: Any, *, rescale_actions: bool = True, **options: Any) -> Envelope:
        """Builds the environment.

        Args:
          task: name of a registered task, or an environment of this package.
          rescale_actions: actions are from -1 to 1 and not in MW and MVAr.
          **options: arguments of a named task's constructor, e.g. ``dtype``.
        """
        return cls(env=task_of(task, options, rescale_actions=rescale_actions, max_steps=None))

    def init(self, key: jax.Array) -> tuple[State, InfoContainer]:
        """A drawn start, that of ``env.reset(key)``."""
        return _told(self.env.reset(key))

    def step(self, state: State, action: Any) -> tuple[State, InfoContainer]:
        """Advances by one step."""
        return _told(self.env.step(state, action))

    @functools.cached_property
    def observation_space(self) -> spaces.Continuous:
        """Bounds of the observation."""
        return _continuous(self.env.observation_space)

    @functools.cached_property
    def action_space(self) -> spaces.Continuous:
        """Bounds of the action."""
        return _continuous(self.env.action_space)


def _told(state: State) -> tuple[State, InfoContainer]:
    info = InfoContainer(state.obs, state.reward, state.terminated, state.truncated)
    return state, info.update(metrics=state.metrics, costs=state.costs)


def _continuous(box: Box) -> spaces.Continuous:
    return spaces.Continuous(low=box.low, high=box.high)
