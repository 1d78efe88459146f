"""Keys from the seeds of other libraries."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

# Splits and steps fold a key with small numbers: the keys of later episodes are not theirs.
_LATER_EPISODES = 2**31


def key_of(seed: int) -> jax.Array:
    """The PRNG key of a seed of any size: ``jax.random.key(seed)`` where the seed has 32 bits.

    Args:
      seed: at least 0; words of 32 bits beyond the first are folded in.

    Raises:
      ValueError: the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}, but must be at least 0")
    key = jax.random.key(np.uint32(seed % 2**32))
    while seed := seed >> 32:
        key = jax.random.fold_in(key, np.uint32(seed % 2**32))
    return key


def episode_key(key: jax.Array, episode: jax.Array | int) -> jax.Array:
    """Key of the episode that begins after so many others without a seed of their own.

    Args:
      key: of the last seed, which is the key of its first episode.
      episode: episodes since that one, at least 0.
    """
    later = jax.random.fold_in(key, jnp.asarray(episode, jnp.uint32) + np.uint32(_LATER_EPISODES))
    return jnp.where(jnp.asarray(episode) == 0, key, later)
