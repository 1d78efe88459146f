"""Fallback: a policy that gives way to another where its action would violate limits."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from anmjax.agents.acting import action_of
from anmjax.agents.violation import violates
from anmjax.envs.protocol import Environment
from anmjax.envs.records import State


@struct.dataclass
class Fallback:
    """Acts as ``policy`` does, unless the step that comes of it violates limits: then as ``instead`` does.

    The step is simulated first: what it brings is known, as to ``SafeAction`` with a perfect forecast.
    Whether the other action keeps the limits is not asked. Both actions are computed at every step.
    """

    env: Environment  # that the states are of
    policy: Any  # as for ``evaluate``
    instead: Any  # likewise: a planner, ``MPCConstant(env, ac=True)`` say

    def act(self, key: jax.Array, state: State) -> jax.Array:
        """The action in a state of one lane.

        Args:
          key: PRNG key of random policies.
          state: current state of the lane.

        Returns:
          (n_action,) in the task's units.
        """
        action = action_of(self.policy, key, state)
        after = self.env.step(state, action)
        broken = violates(after.metrics) | after.terminated
        return jnp.where(broken, action_of(self.instead, key, state), action)
