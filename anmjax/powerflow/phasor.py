"""Complex numbers as real arrays ``[2, component, *batch]``, real part first.

Complex dtypes do not vectorise as well on a CPU, and the solver's 2x2 blocks are made of the parts.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def signed(x: jax.Array, first: int, second: int) -> jax.Array:
    """``x`` with its two parts multiplied by the given signs."""
    return x * np.array([first, second], x.dtype).reshape(2, *[1] * (x.ndim - 1))


def conj(x: jax.Array) -> jax.Array:
    """Complex conjugate."""
    return signed(x, 1, -1)


def multiply(x: jax.Array, y: jax.Array) -> jax.Array:
    """Complex product."""
    return x[:1] * y + x[1:] * signed(jnp.flip(y, 0), -1, 1)


def square(x: jax.Array) -> jax.Array:
    """Squared magnitude, ``[component, *batch]``."""
    return x[0] * x[0] + x[1] * x[1]


def magnitude(x: jax.Array) -> jax.Array:
    """Magnitude, ``[component, *batch]``, with derivative zero at zero."""
    s = square(x)
    positive = s > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, s, 1)), 0)
