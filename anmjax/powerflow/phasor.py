"""Complex numbers as real arrays ``[2, component, *batch]``, real part first.

Complex dtypes do not vectorise as well on a CPU, and the solver's 2x2 blocks are made of the parts.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.powerflow.gather import part


def signed(x: jax.Array, first: int, second: int) -> jax.Array:
    """``x`` with its two parts multiplied by the given signs."""
    return x * np.array([first, second], x.dtype).reshape(2, *[1] * (x.ndim - 1))


def conj(x: jax.Array) -> jax.Array:
    """Complex conjugate."""
    return signed(x, 1, -1)


def multiply(x: jax.Array, y: jax.Array) -> jax.Array:
    """Complex product."""
    return part(x, 0, 0) * y + part(x, 1, 0) * signed(jax.lax.rev(y, (0,)), -1, 1)


def square(x: jax.Array) -> jax.Array:
    """Squared magnitude, ``[component, *batch]``."""
    return jax.lax.squeeze(part(x, 0, 0) * part(x, 0, 0) + part(x, 1, 0) * part(x, 1, 0), (0,))


def magnitude(x: jax.Array) -> jax.Array:
    """Magnitude, ``[component, *batch]``, with derivative zero at zero."""
    s = square(x)
    positive = s > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, s, 1)), 0)
