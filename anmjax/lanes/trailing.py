"""Batch-trailing evaluation: the layout in which whole batches of grids are simulated.

A function written for arrays ``[component, *batch]`` sweeps long contiguous runs of lanes in every
operation. ``jax.vmap`` puts the batch first instead; ``batch_trailing`` turns its batch axes round,
for any nesting of vmap, so that users write ``jax.vmap(f)`` and the hardware sees the fast layout.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from anmjax.lanes.blocks import map_blocks
from anmjax.lanes.elements import by_element
from anmjax.lanes.schedule import AllAtOnce, CPUBlocks, Fit, Schedule, scheduled
from anmjax.lanes.varying import as_varying, tangents_of

_Out = TypeVar("_Out")


# What is made of arguments takes several times as many bytes, and the caches hold it; besides, turning arrays
# of a power of two of lanes round at once would have every element compete for the same cache sets. What
# lanes share is worked out for every chunk.
FIT = Fit(share=0.5, min_lanes=2048)


def batch_trailing(
    fn: Callable[..., _Out], schedule: Schedule | None = None, fit: Fit = FIT
) -> Callable[..., _Out]:
    """Makes ``jax.vmap`` of ``fn``, however nested, append one trailing axis to its arguments.

    Not differentiable in reverse mode (see ``jax.custom_batching.custom_vmap``).

    Args:
      fn: function of pytrees of arrays ``[*component, *batch]``, with one batch axis or none, that broadcasts
        over it; an axis of size one means that the argument is shared by all lanes.
      schedule: how a batch is worked through; None: as the platform wants it.
      fit: how many lanes at a time, where that is in chunks.

    Returns:
      The same function for one lane.
    """
    own = fn
    # Traced once a shape, though of_lane asks for it again and again.
    fn = jax.jit(lambda *args: own(*as_varying(args, args)))
    lane = jax.custom_batching.custom_vmap(fn)
    lanes = jax.custom_batching.custom_vmap(lambda *args: _evaluate(fn, schedule, fit, args))

    @lane.def_vmap
    def of_lane(axis_size: int, in_batched: list[Any], *args: Any) -> tuple[_Out, Any]:
        if not axis_size:
            return _of_no_lanes(fn, in_batched, args)
        args = jax.tree.map(lambda batched, x: x if batched else x[None], tuple(in_batched), args)
        out = lanes(*args)
        return out, jax.tree.map(lambda _: True, out)

    @lanes.def_vmap
    def of_lanes(axis_size: int, in_batched: list[Any], *args: Any) -> tuple[_Out, Any]:
        """Joins one more axis of lanes to the one there is."""
        if not axis_size:
            return _of_no_lanes(lanes, in_batched, args)
        flags, leaves = jax.tree.leaves(in_batched), jax.tree.leaves(args)
        lanes_so_far = max(x.shape[int(batched)] for batched, x in zip(flags, leaves, strict=True))

        def join(batched: bool, x: jax.Array) -> jax.Array:
            x = x if batched else x[None]
            if x.shape[:2] == (1, 1):
                return x[0]
            x = jnp.broadcast_to(x, (axis_size, lanes_so_far, *x.shape[2:]))
            return x.reshape(-1, *x.shape[2:])

        out = lanes(*jax.tree.map(join, tuple(in_batched), args))
        out = jax.tree.map(lambda y: y.reshape(axis_size, -1, *y.shape[1:]), out)
        return out, jax.tree.map(lambda _: True, out)

    return lane


def _of_no_lanes(fn: Callable[..., Any], in_batched: list[Any], args: tuple[Any, ...]) -> tuple[Any, Any]:
    """What ``vmap`` of a function over no lanes at all gives: arrays without an entry."""

    def one(batched: bool, x: jax.Array) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape[int(batched) :], x.dtype)

    out = jax.eval_shape(fn, *jax.tree.map(one, tuple(in_batched), args))
    return jax.tree.map(lambda y: jnp.zeros((0, *y.shape), y.dtype), out), jax.tree.map(lambda _: True, out)


def _evaluate(fn: Callable[..., _Out], schedule: Schedule | None, fit: Fit, args: tuple[Any, ...]) -> _Out:
    """``fn`` of leaves ``[lanes, *component]``, where one lane is shared by all."""
    leaves = jax.tree.leaves(args)
    lanes = max(len(x) for x in leaves)
    lane_bytes = sum(x.dtype.itemsize * math.prod(x.shape[1:]) for x in leaves if len(x) == lanes)

    def whole(args: tuple[Any, ...], lanes: int = lanes, fn: Callable[..., _Out] = fn) -> _Out:
        out = fn(*jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), args))
        return jax.tree.map(lambda y: jnp.moveaxis(jnp.broadcast_to(y, (*y.shape[:-1], lanes)), -1, 0), out)

    def run(schedule: Schedule, args: tuple[Any, ...]) -> _Out:
        if isinstance(schedule, AllAtOnce):
            return whole(args, fn=by_element(fn, schedule))
        size = schedule.chunk(lanes, lane_bytes, fit)
        return map_blocks(functools.partial(whole, lanes=size), args, size, axis=0)

    if schedule is None and CPUBlocks().chunk(lanes, lane_bytes, fit) == lanes:
        return whole(args)  # all at once anywhere
    return scheduled(run, args, schedule)


def differentiable_batch_trailing(
    fn: Callable[..., _Out],
    schedule: Schedule | None = None,
    fit: Fit = FIT,
    of_one: Callable[..., _Out] | None = None,
) -> Callable[..., _Out]:
    """``batch_trailing`` with the derivatives, of every order and mode, of ``fn`` for one lane.

    Evaluation is batch-trailing; under differentiation ``of_one``, the same function for one lane, or ``fn``
    is evaluated lane by lane and vmapped as usual, so that whatever it is made of brings its own derivative
    rules.
    """
    lane = jax.custom_jvp(batch_trailing(fn, schedule, fit))

    def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[_Out, _Out]:
        return jvp_of_perturbed(fn if of_one is None else of_one, primals, tangents)

    lane.defjvp(rule, symbolic_zeros=True)
    return lane


def jvp_of_perturbed(
    fn: Callable[..., _Out], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[_Out, _Out]:
    """``jax.jvp`` that spends nothing on arguments whose tangent is a ``SymbolicZero``."""
    leaves, treedef = jax.tree.flatten(primals)
    dots = jax.tree.leaves(tangents, is_leaf=lambda x: isinstance(x, SymbolicZero))
    perturbed = [i for i, dot in enumerate(dots) if not isinstance(dot, SymbolicZero)]

    def of_perturbed(*values: jax.Array) -> _Out:
        merged = list(leaves)
        for i, value in zip(perturbed, values, strict=True):
            merged[i] = value
        return fn(*jax.tree.unflatten(treedef, merged))

    out, dot = jax.jvp(of_perturbed, [leaves[i] for i in perturbed], [dots[i] for i in perturbed])
    return out, tangents_of(out, dot)
