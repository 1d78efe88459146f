"""Observations as networks see them, and actions as a task wants them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.agents.errors import CannotLearnError
from anmjax.envs.spaces import Box

# Of a cyclic entry: how many turns a period each pair of sine and cosine makes.
HARMONICS = (1, 2, 4)


def check_bounded(box: Box, learner: str) -> None:
    """Checks that [-1, 1] can be scaled to a box of actions.

    Raises:
      CannotLearnError: a bound is infinite.
    """
    low, high = np.asarray(box.low), np.asarray(box.high)
    unbounded = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high)))
    if unbounded.size:
        raise CannotLearnError(
            f"{learner} scales actions to their box, but the bounds of action entries {unbounded.tolist()} "
            "are infinite."
        )


def cycles_of(env: Any) -> tuple[tuple[int, float], ...]:
    """The cyclic entries of an environment's observation, (index, period) each; none where it names none."""
    return tuple(getattr(env, "observation_cycles", ()))


def with_cycles(obs: jax.Array, scaled: jax.Array, cycles: tuple[tuple[int, float], ...]) -> jax.Array:
    """Scaled observations with sines and cosines in the place of cyclic entries.

    To a network, 23:45 and 0:00 are then as close as they are.

    Args:
      obs: (..., n_obs) observations in the task's units.
      scaled: (..., n_obs) the same, scaled.
      cycles: (index, period) of the cyclic entries.

    Returns:
      (..., n_obs + 5 for every cycle).
    """
    if not cycles:
        return scaled
    plain = np.setdiff1d(np.arange(obs.shape[-1]), [index for index, _ in cycles])
    parts = [scaled[..., plain]]
    for index, period in cycles:
        turns = obs[..., index, None] * np.asarray(HARMONICS, obs.dtype)
        angle = turns * jnp.asarray(2 * np.pi / period, obs.dtype)
        parts += [jnp.sin(angle), jnp.cos(angle)]
    return jnp.concatenate(parts, -1)


def unscale(box: Box, scaled: jax.Array) -> jax.Array:
    """The action of ``scaled`` in [-1, 1], clipped there first: -1 is the box's low, 1 its high."""
    return stretch(box, jnp.clip(scaled, -1, 1))


def stretch(box: Box, scaled: jax.Array) -> jax.Array:
    """The action of ``scaled``, outside the box where that is outside [-1, 1]."""
    low, high = jnp.asarray(box.low, scaled.dtype), jnp.asarray(box.high, scaled.dtype)
    expand = (None,) * (scaled.ndim - low.ndim)
    return (0.5 * (low + high))[expand] + (0.5 * (high - low))[expand] * scaled
