"""Complex numbers as real arrays ``[2, component, *batch]``, real part first.

Complex dtypes do not vectorise as well on a CPU, and the solver's 2x2 blocks are made of the parts.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def parts(x: jax.Array) -> Sequence[jax.Array]:
    """Real and imaginary part, each ``[1, component, *batch]``."""
    # One operation, whose transpose is a concatenation: that of two slices is two padded arrays and a sum.
    return jax.lax.split(x, (1, 1), axis=0)


def stack(re: jax.Array, im: jax.Array) -> jax.Array:
    """The phasor of two parts, each ``[component, *batch]``."""
    return jnp.stack(jnp.broadcast_arrays(re, im))


def unstack(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Real and imaginary part, each ``[component, *batch]``."""
    re, im = parts(x)
    return jax.lax.squeeze(re, (0,)), jax.lax.squeeze(im, (0,))


def signed(x: jax.Array, first: int, second: int) -> jax.Array:
    """``x`` with its two parts multiplied by the given signs."""
    return x * np.array([first, second], x.dtype).reshape(2, *[1] * (x.ndim - 1))


def conj(x: jax.Array) -> jax.Array:
    """Complex conjugate."""
    return signed(x, 1, -1)


def multiply(x: jax.Array, y: jax.Array) -> jax.Array:
    """Complex product."""
    re, im = parts(x)
    return re * y + im * signed(jax.lax.rev(y, (0,)), -1, 1)


def inverse(x: jax.Array) -> jax.Array:
    """1 / x."""
    return conj(x) / square(x)[None]


def square(x: jax.Array) -> jax.Array:
    """Squared magnitude, ``[component, *batch]``."""
    re, im = parts(x)
    return jax.lax.squeeze(re * re + im * im, (0,))


def magnitude(x: jax.Array) -> jax.Array:
    """Magnitude, ``[component, *batch]``, with derivative zero at zero."""
    s = square(x)
    positive = s > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, s, 1)), 0)


def to_complex(x: jax.Array) -> jax.Array:
    """``[component, *batch]`` of a complex dtype."""
    return jax.lax.complex(*unstack(x))
