"""Blocks of lanes: pytrees of arrays with a batch axis, the last unless said, cut, chosen and put together.

An axis of size one is shared by all lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from anmjax.lanes.varying import as_varying

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def map_blocks(fn: Callable[[_In], _Out], args: _In, size: int, axis: int = -1) -> _Out:
    """``fn`` of consecutive blocks of lanes; the last overlaps the one before it if it must."""
    lanes = num_lanes(args, axis)
    if lanes == size:
        return fn(args)

    fn = jax.jit(fn)  # traced once, for the shapes and for the loop

    def body(i: jax.Array, out: _Out) -> _Out:
        start = jnp.minimum(i * size, lanes - size)
        return _place_lanes(out, fn(_slice_lanes(args, start, size, axis)), start, axis)

    def room(y: jax.ShapeDtypeStruct) -> jax.Array:
        shape = list(y.shape)
        shape[axis] = lanes
        return jnp.zeros(shape, y.dtype)

    out = jax.tree.map(room, jax.eval_shape(lambda: fn(_slice_lanes(args, 0, size, axis))))
    out = as_varying(out, args)
    return jax.lax.fori_loop(0, -(-lanes // size), body, out)


def num_lanes(args: Any, axis: int = -1) -> int:
    """Lanes of a pytree of which some leaves may be shared."""
    return max(x.shape[axis] for x in jax.tree.leaves(args))


def take_lanes(tree: _In, index: jax.Array) -> _In:
    """The chosen lanes; an index past the last gives the last."""
    return jax.tree.map(lambda x: x if x.shape[-1] == 1 else x.at[..., index].get(mode="clip"), tree)


def set_lanes(tree: _In, part: _In, index: jax.Array) -> _In:
    """``tree`` with the chosen lanes written over; an index past the last writes nothing."""
    return jax.tree.map(lambda x, y: x.at[..., index].set(y, mode="drop"), tree, part)


def _slice_lanes(tree: _In, start: jax.Array | int, size: int, axis: int) -> _In:
    """``size`` consecutive lanes; an axis of size one is shared by all of them."""

    def own(x: jax.Array) -> jax.Array:
        return x if x.shape[axis] == 1 else jax.lax.dynamic_slice_in_dim(x, start, size, axis)

    return jax.tree.map(own, tree)


def _place_lanes(tree: _In, part: _In, start: jax.Array, axis: int) -> _In:
    """``tree`` with consecutive lanes written over."""

    def write(x: jax.Array, y: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(x, y, start, axis)

    return jax.tree.map(write, tree, part)
