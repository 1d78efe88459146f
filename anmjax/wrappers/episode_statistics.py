"""EpisodeStatistics: return and length of the running and of the last finished episode."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp

from anmjax.envs.records import State
from anmjax.wrappers.wrapper import Wrapper


class EpisodeStatistics(Wrapper):
    """Adds four entries to ``metrics``, undiscounted, up to and including the step that made them.

      episode_return, episode_length: of the episode that the step belongs to;
      last_return, last_length: of the last episode that this lane finished, 0 before there is one.

    A step from ``t = 0`` begins an episode, so the wrapper works inside ``AutoReset`` (the usual place,
    around ``TimeLimit``) as well as around it.
    """

    added_metrics: ClassVar[tuple[str, ...]] = (
        "episode_return",
        "episode_length",
        "last_return",
        "last_length",
    )

    def step(self, state: State, action: jax.Array) -> State:
        """Advances by one time step and adds up."""
        before = state.metrics
        after = self.env.step(self._inner(state), action)
        begins = state.t == 0
        total = jnp.where(begins, 0, before["episode_return"]) + after.reward
        length = jnp.where(begins, 0, before["episode_length"]) + 1
        done = after.terminated | after.truncated
        statistics = {
            "episode_return": total,
            "episode_length": length,
            "last_return": jnp.where(done, total, before["last_return"]),
            "last_length": jnp.where(done, length, before["last_length"]),
        }
        return replace(after, metrics=after.metrics | statistics)

    def _begin(self, state: State) -> State:
        nothing, zero = jnp.zeros_like(state.reward), jnp.zeros_like(state.t)
        statistics = {
            "episode_return": nothing,
            "episode_length": zero,
            "last_return": nothing,
            "last_length": zero,
        }
        return replace(state, metrics=state.metrics | statistics)
