"""Matrices of two rows and two columns, ``[2, 2, component, *batch]``: the batch comes last."""

from __future__ import annotations

import jax
import numpy as np

from anmjax.lanes.gather import part


def inverse(m: jax.Array) -> jax.Array:
    """Inverses of the blocks ``m``, (2, 2, component, *batch)."""
    sign = np.array([[1, -1], [-1, 1]], m.dtype).reshape(2, 2, *[1] * (m.ndim - 2))
    a, b, c, d = (part(part(m, i, 0), j, 1) for i in (0, 1) for j in (0, 1))
    return jax.lax.rev(transpose(m), (0, 1)) * (sign * (1 / (a * d - b * c)))


def transpose(m: jax.Array) -> jax.Array:
    """Transposes of the blocks ``m``, (2, 2, component, *batch)."""
    return jax.lax.transpose(m, (1, 0, *range(2, m.ndim)))


def matvec(m: jax.Array, x: jax.Array) -> jax.Array:
    """Blocks times vectors (2, component, *batch)."""
    first, second = (jax.lax.squeeze(part(m, j, 1), (1,)) for j in (0, 1))
    return first * part(x, 0, 0) + second * part(x, 1, 0)


def matmul(m: jax.Array, n: jax.Array) -> jax.Array:
    """Blocks times blocks."""
    return part(m, 0, 1) * part(n, 0, 0) + part(m, 1, 1) * part(n, 1, 0)
