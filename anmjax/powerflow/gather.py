"""Static gathers along one axis, and sums of gathered rows."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata

from anmjax.powerflow.plan import GatherSum

_Out = TypeVar("_Out")


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


def evaluated(fn: Callable[..., _Out]) -> Callable[..., _Out]:
    """``fn`` whose result is evaluated once and stored, on a CPU.

    XLA's CPU backend fuses gathers and cheap arithmetic into each of their readers and evaluates them
    again for every element that is read, up to fifteen times over. A function call that it may not inline
    ends the fusion. GPUs have a cost model for this and are left alone.
    """
    return _called(fn, inlineable="false")


def one_kernel(fn: Callable[..., _Out]) -> Callable[..., _Out]:
    """``fn`` compiled to one kernel, loops and all, on a CPU.

    XLA's CPU backend starts a kernel for every operation of a loop's body, at some tenths of a microsecond
    each. A function call that it may not inline and marks as small, as it does itself with small loops
    (``small_while_loop_hoisting_pass.h``), becomes machine code without them. For loops over slices and
    arithmetic alone: what they work on is better made outside, where kernels are vectorised.
    """

    def of_variables(*args: Any) -> _Out:
        # XLA aborts where a small call reads a constant beside other arrays.
        return call(*jax.lax.optimization_barrier(args))

    call = _called(fn, inlineable="false", xla_cpu_small_call="true")
    return of_variables


def _called(fn: Callable[..., _Out], **attributes: str) -> Callable[..., _Out]:
    """``fn`` as a function call with attributes, on a CPU."""

    def call(*args: Any) -> _Out:
        with set_xla_metadata(**attributes):
            return jax.jit(fn)(*args)

    def run(*args: Any) -> _Out:
        return jax.lax.platform_dependent(*args, cpu=call, default=fn)

    return run
