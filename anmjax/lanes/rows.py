"""Rows of arrays by a number that is known when the program runs: what loops over buses or edges read."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def at(table: np.ndarray, i: jax.Array) -> jax.Array:
    """Entry of a static table."""
    return jax.lax.dynamic_index_in_dim(jnp.asarray(table), i, 0, keepdims=False)


def row(x: jax.Array, i: jax.Array, axis: int) -> jax.Array:
    """One row along an axis, which stays, of size one."""
    return jax.lax.dynamic_slice_in_dim(x, i, 1, axis)


def replaced(x: jax.Array, new: jax.Array, i: jax.Array, axis: int) -> jax.Array:
    """The array with one row written over."""
    return jax.lax.dynamic_update_slice_in_dim(x, new, i, axis)
