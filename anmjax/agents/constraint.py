"""A limit on costs: a Lagrange multiplier that a learner raises while its costs are above the limit.

The learner maximises rewards while the mean over environment steps of c, the sum of ``state.costs``, is to be
at most ``limit``. With a multiplier m it learns from

    (reward - m c) / (1 + m),

which stays of one size as m grows, and after every update, whose mean cost was C, the multiplier becomes

    m = exp( k_p s + I + k_d max(0, s - s before) ),
    I <- I + k_i e,   s <- 0.8 s + 0.2 e,   e = C / limit - 1 cut to [-1, 1].

The integral alone is dual ascent, which swings about the limit; the proportional and the derivative term damp
that. What differs from the reference: the controller is of the logarithm of m, and errors are relative to the
limit, so that one set of gains serves rewards and costs of any size.

A learner takes what it needs: ``check_costs`` as it is created, ``penalized`` in the place of the reward,
``Multiplier.updated`` after an update; PPO does. One that differentiates through ``env.step`` takes the same:
``costs`` have derivatives by actions as the reward has (none where the network has collapsed), ``penalized``
hands them on, and the multiplier is a constant to it. Its critic learns the penalized reward too, so that the
value at the end of a window is of the same kind as what is summed up within.

Reference: Stooke, Achiam, Abbeel, "Responsive safety in reinforcement learning by PID Lagrangian methods",
ICML 2020, arXiv:2007.03964, algorithm 2.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from anmjax.agents.errors import CannotLearnError
from anmjax.envs.records import State

# Of the logarithm of m: far from what any task needs, near enough to come back from.
_LOWEST, _HIGHEST = math.log(1e-4), math.log(1e6)
_SMOOTHING = 0.8  # share of the smoothed error that an update leaves


@struct.dataclass
class Multiplier:
    """The multiplier and the memory of its controller."""

    value: jax.Array  # () m, in units of the reward by units of the costs
    integral: jax.Array  # () I, of the logarithm
    error: jax.Array  # () s, smoothed error

    @classmethod
    def create(cls, dtype: Any) -> Multiplier:
        """The multiplier before the first update, 1."""
        zero = jnp.zeros((), dtype)
        return cls(value=jnp.ones_like(zero), integral=zero, error=zero)

    def updated(self, cost: jax.Array, *, limit: float, gains: tuple[float, ...]) -> Multiplier:
        """The multiplier after an update.

        Args:
          cost: () C, mean over the update's environment steps, of all lanes, of the sum of ``state.costs``.
          limit: on that mean, above 0.
          gains: k_p, k_i, k_d.
        """
        k_p, k_i, k_d = gains
        error = jnp.clip(cost / limit - 1, -1, 1)
        integral = jnp.clip(self.integral + k_i * error, _LOWEST, _HIGHEST)
        smoothed = _SMOOTHING * self.error + (1 - _SMOOTHING) * error
        rise = jnp.maximum(0, smoothed - self.error)
        value = jnp.exp(jnp.clip(k_p * smoothed + integral + k_d * rise, _LOWEST, _HIGHEST))
        return Multiplier(value=value, integral=integral, error=smoothed)


def penalized(after: State, multiplier: jax.Array) -> jax.Array:
    """The reward that a learner with a limit on costs learns from: (reward - m c) / (1 + m).

    Args:
      after: a state, or a batch of states, after a step.
      multiplier: () m.

    Returns:
      () or (n,) the reward of the step less its costs.
    """
    return (after.reward - multiplier * after.costs.sum(-1)) / (1 + multiplier)


def check_costs(env: Any, learner: str) -> None:
    """Checks that an environment has costs to limit.

    Raises:
      CannotLearnError: it has none.
    """
    if not getattr(env, "cost_names", ()):
        raise CannotLearnError(f"{learner} is to limit costs, but the task has none: it has no cost_names.")
