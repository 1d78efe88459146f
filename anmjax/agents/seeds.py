"""Keys from seeds."""

from __future__ import annotations

import numbers
from typing import Any

import jax

LARGEST_SEED = 2**32 - 1


def key_of_seed(seed: Any) -> jax.Array:
    """The PRNG key of a seed.

    JAX keeps 32 bits of a seed without x64: ``jax.random.key(2**32)`` is ``jax.random.key(0)``.

    Raises:
      ValueError: ``seed`` is not a whole number from 0 to 2**32 - 1.
    """
    whole = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
    if not whole or not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed is {seed!r}, expected a whole number from 0 to {LARGEST_SEED}")
    return jax.random.key(int(seed))
