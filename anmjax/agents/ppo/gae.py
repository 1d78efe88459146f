"""Generalized advantage estimation."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def generalized_advantages(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    terminated: jax.Array,
    done: jax.Array,
    *,
    gamma: float | jax.Array,
    gae_lambda: float,
) -> jax.Array:
    """Advantages of the actions taken, backwards along each lane.

      delta_t = reward_t + gamma (1 - terminated_t) next_value_t - value_t,
      A_t = delta_t + gamma lambda (1 - done_t) A_{t+1},    A_T = 0.

    A termination is worth 0 from then on. A truncation only cuts the sum: ``next_value`` is the value of the
    observation before the reset, so the estimate goes on as if the episode did.

    Args:
      reward: (T, ...) rewards.
      value: (T, ...) values of the observations acted on.
      next_value: (T, ...) values of the observations reached, before any reset.
      terminated: (T, ...) bool, a terminal state was reached.
      done: (T, ...) bool, terminated or truncated.
      gamma: discount factor.
      gae_lambda: weight of long over short returns.

    Returns:
      (T, ...) advantages; ``advantages + value`` are the returns to learn values from.

    Reference: Schulman et al., "High-dimensional continuous control using generalized advantage estimation",
    ICLR 2016, equation 16.
    """
    delta = reward + gamma * jnp.where(terminated, 0, next_value) - value
    weight = jnp.where(done, 0, jnp.asarray(gamma * gae_lambda, reward.dtype))

    def backwards(following: jax.Array, at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        advantage = at[0] + at[1] * following
        return advantage, advantage

    return jax.lax.scan(backwards, jnp.zeros_like(delta[0]), (delta, weight), reverse=True)[1]
