"""Box: the bounds of an action or observation vector."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Box:
    """The vectors ``x`` with ``low <= x <= high``; a bound may be infinite."""

    low: jax.Array  # (n,)
    high: jax.Array  # (n,)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a member."""
        return self.low.shape

    @property
    def dtype(self) -> jnp.dtype:
        """Dtype of a member."""
        return self.low.dtype

    def sample(self, key: jax.Array) -> jax.Array:
        """Draws a member: uniform where bounded, exponential where half-bounded, normal where free.

        Args:
          key: PRNG key.

        Returns:
          (n,) a member of the box.
        """
        key_uniform, key_exponential, key_normal = jax.random.split(key, 3)
        has_low, has_high = jnp.isfinite(self.low), jnp.isfinite(self.high)
        low = jnp.where(has_low, self.low, 0)
        high = jnp.where(has_high, self.high, 0)
        uniform = jax.random.uniform(key_uniform, self.shape, self.dtype)
        tail = jax.random.exponential(key_exponential, self.shape, self.dtype)
        free = jax.random.normal(key_normal, self.shape, self.dtype)
        inside = jnp.clip(low + (high - low) * uniform, low, high)
        half = jnp.where(has_low, low + tail, high - tail)
        return jnp.where(has_low & has_high, inside, jnp.where(has_low | has_high, half, free))

    def contains(self, x: jax.Array) -> jax.Array:
        """True where ``x`` has the right shape and lies within the bounds (a bool array, jit-safe)."""
        x = jnp.asarray(x)
        if x.shape != self.shape:
            return jnp.array(False)
        return jnp.all((x >= self.low) & (x <= self.high))
