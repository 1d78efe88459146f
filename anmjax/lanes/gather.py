"""Static gathers along one axis, and sums of gathered rows."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes.kernels import evaluated


@dataclasses.dataclass(frozen=True, eq=False)
class GatherSum:
    """Static index lists of ``out[j] = sum_k source[lists[j][k]]``, evaluated as a few gathers.

    Rows are summed at most ``FAN_IN`` at a time, so a hub with many neighbours costs a logarithmic
    number of stages instead of padding every row to the hub's length.
    """

    FAN_IN = 4

    # One (index, weight) per stage, both (terms, rows): weight 0 marks padding.
    stages: tuple[tuple[np.ndarray, np.ndarray], ...]

    @classmethod
    def build(cls, lists: Sequence[Sequence[int]]) -> GatherSum:
        """Plans the sum of the source rows named in each list; an empty list gives zero."""
        stages = []
        while max((len(row) for row in lists), default=0) > cls.FAN_IN:
            chunks: list[Sequence[int]] = []
            parents: list[list[int]] = []
            for row in lists:
                parents.append(list(range(len(chunks), len(chunks) + -(-len(row) // cls.FAN_IN))))
                chunks += [row[i : i + cls.FAN_IN] for i in range(0, len(row), cls.FAN_IN)]
            stages.append(_pad(chunks))
            lists = parents
        stages.append(_pad(lists))
        return cls(tuple(stages))


def _pad(lists: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    terms = max((len(row) for row in lists), default=0)
    index = np.zeros((terms, len(lists)), np.int32)
    weight = np.zeros((terms, len(lists)), np.int8)
    for j, row in enumerate(lists):
        index[: len(row), j] = row
        weight[: len(row), j] = 1
    return index, weight


def take(x: jax.Array, index: np.ndarray | jax.Array, axis: int = 0) -> jax.Array:
    """``x[index]`` along ``axis``, the index in bounds; a static run of consecutive rows is a slice."""
    if isinstance(index, np.ndarray) and len(index) and (np.diff(index) == 1).all():
        return jax.lax.slice_in_dim(x, int(index[0]), int(index[0]) + len(index), axis=axis)
    if isinstance(index, np.ndarray) and axis == 2:
        # As rows of the blocks' entries: XLA gathers along the first axis, and would turn the blocks round.
        rows = np.arange(x.shape[0] * x.shape[1])[:, None] * x.shape[2] + index
        taken = take(x.reshape(-1, *x.shape[3:]), rows.reshape(-1))
        return taken.reshape(*x.shape[:2], len(index), *x.shape[3:])
    # Not x[index]: tracing jax.numpy's indexing takes longer than compiling what it gives.
    others = tuple(i for i in range(x.ndim) if i != axis)
    numbers = jax.lax.GatherDimensionNumbers(
        offset_dims=others, collapsed_slice_dims=(axis,), start_index_map=(axis,)
    )
    sizes = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
    return jax.lax.gather(
        x, index.astype(np.int32)[:, None], numbers, sizes, mode=jax.lax.GatherScatterMode.PROMISE_IN_BOUNDS
    )


def with_rows(x: jax.Array, rows: np.ndarray, own: jax.Array) -> jax.Array:
    """``x`` with ``own`` in the place of some static rows, (n, *batch); a gather, as a scatter is slower."""
    index = np.arange(x.shape[0])
    index[rows] = x.shape[0] + np.arange(len(rows))
    batch = jnp.broadcast_shapes(x.shape[1:], own.shape[1:])
    return take(jnp.concatenate([jnp.broadcast_to(y, (len(y), *batch)) for y in (x, own)]), index)


def part(x: jax.Array, index: int, axis: int) -> jax.Array:
    """``x[index]`` along ``axis``, which stays with size one."""
    return jax.lax.slice_in_dim(x, index, index + 1, axis=axis)


def place(x: jax.Array, own: jax.Array, *start: int) -> jax.Array:
    """``x`` with ``own`` written over it from the static index ``start``, whole along the further axes.

    Unlike a concatenation it ends a fusion: ``own`` is evaluated once, whoever reads ``x``.
    """
    own = jnp.broadcast_to(own, (*own.shape[: len(start)], *x.shape[len(start) :]))
    return jax.lax.dynamic_update_slice(x, own, (*start, *[0] * (x.ndim - len(start))))


def gather_sum(plan: GatherSum, x: jax.Array, axis: int = 0) -> jax.Array:
    """Evaluates a ``GatherSum``: rows of ``x`` along ``axis`` summed by static lists."""
    for stage in plan.stages[:-1]:
        x = evaluated(functools.partial(_gather_stage, stage, axis))(x)
    return _gather_stage(plan.stages[-1], axis, x)


def _gather_stage(stage: tuple[np.ndarray, np.ndarray], axis: int, x: jax.Array) -> jax.Array:
    total = None
    for rows, mask in zip(*stage, strict=True):
        term = take(x, rows, axis)
        if not mask.all():
            there = mask.astype(bool).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
            term = jnp.where(there, term, 0)
        total = term if total is None else total + term
    if total is None:
        return jnp.zeros((*x.shape[:axis], stage[0].shape[1], *x.shape[axis + 1 :]), x.dtype)
    return total
