"""NormalizeObservation and NormalizeReward: what the learner sees, on a scale of about one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.records import State
from anmjax.envs.spaces import Box
from anmjax.wrappers.running_statistics import RunningStatistics
from anmjax.wrappers.wrapper import Wrapper


class NormalizeObservation(Wrapper):
    """Replaces ``obs`` by ``clip((obs - mean) / std)`` with the statistics that the wrapper holds.

    A wrapper steps a single lane, so it cannot learn statistics that a batch shares. They are a leaf
    instead, the same for all lanes, and fixed during a step; the untouched observation is in
    ``metrics["raw_obs"]``, and between two chunks of steps ``env = env.update(states)`` folds a batch of
    states in, without a new compilation.

    Goes outside ``AutoReset``, whose pool of starts would otherwise keep the scale it was drawn with;
    ``metrics["final_obs"]`` is normalised along.

    Args:
      env: the environment to wrap.
      statistics: RunningStatistics of the observation; None: mean 0, variance 1, until ``update``.
      clip: bound on the normalised entries.
    """

    statistics: RunningStatistics
    clip: float

    added_metrics: ClassVar[tuple[str, ...]] = ("raw_obs",)

    def __init__(self, env: Any, statistics: RunningStatistics | None = None, clip: float = 10.0) -> None:
        if statistics is None:
            space = env.observation_space
            statistics = RunningStatistics.create(space.shape, space.dtype)
        object.__setattr__(self, "env", env)
        object.__setattr__(self, "statistics", statistics)
        object.__setattr__(self, "clip", clip)

    @property
    def observation_space(self) -> Box:
        """The normalised bounds."""
        space = self.env.observation_space
        return Box(self._normalize(space.low), self._normalize(space.high))

    def step(self, state: State, action: jax.Array) -> State:
        """Advances by one time step and normalises the observation."""
        inner = replace(self._inner(state), obs=state.metrics["raw_obs"])
        return self._begin(self.env.step(inner, action))

    def update(self, states: State) -> NormalizeObservation:
        """The wrapper with the observations of a batch of its states (any leading axes) folded in."""
        return replace(self, statistics=self.statistics.update(states.metrics["raw_obs"]))

    def _begin(self, state: State) -> State:
        metrics = state.metrics | {"raw_obs": state.obs}
        if "final_obs" in metrics:
            metrics["final_obs"] = self._normalize(metrics["final_obs"])
        return replace(state, obs=self._normalize(state.obs), metrics=metrics)

    def _normalize(self, obs: jax.Array) -> jax.Array:
        return self.statistics.normalize(obs, clip=self.clip)


class NormalizeReward(Wrapper):
    """Divides ``reward`` by the standard deviation of the discounted return.

    The return of a lane, g <- gamma g + reward, is kept in ``metrics["discounted_return"]`` and the untouched
    reward in ``metrics["raw_reward"]``. As in ``NormalizeObservation`` the statistics are a leaf that
    ``env = env.update(states)`` brings up to date.

    Args:
      env: the environment to wrap.
      statistics: RunningStatistics of the discounted return; None: variance 1, until ``update``.
      clip: bound on the scaled reward.

    Reference: Engstrom et al., "Implementation matters in deep policy gradients", ICLR 2020, section 3.
    """

    statistics: RunningStatistics
    clip: float

    added_metrics: ClassVar[tuple[str, ...]] = ("raw_reward", "discounted_return")

    def __init__(self, env: Any, statistics: RunningStatistics | None = None, clip: float = np.inf) -> None:
        if statistics is None:
            statistics = RunningStatistics.create((), env.observation_space.dtype)
        object.__setattr__(self, "env", env)
        object.__setattr__(self, "statistics", statistics)
        object.__setattr__(self, "clip", clip)

    def step(self, state: State, action: jax.Array) -> State:
        """Advances by one time step and scales the reward."""
        carried = jnp.where(state.t == 0, 0, state.metrics["discounted_return"])
        after = self.env.step(self._inner(state), action)
        total = self.env.gamma * carried + after.reward
        scaled = jnp.clip(after.reward / self.statistics.std(), -self.clip, self.clip)
        metrics = after.metrics | {"raw_reward": after.reward, "discounted_return": total}
        return replace(after, reward=scaled, metrics=metrics)

    def update(self, states: State) -> NormalizeReward:
        """The wrapper with the returns of a batch of its states (any leading axes) folded in."""
        return replace(self, statistics=self.statistics.update(states.metrics["discounted_return"]))

    def _begin(self, state: State) -> State:
        zero = jnp.zeros_like(state.reward)
        return replace(state, metrics=state.metrics | {"raw_reward": zero, "discounted_return": zero})
