"""How a batch of power flows is worked through: all at once, or on a CPU in blocks that fit its cache.

On a CPU every block is iterated until few of its lanes still move; after the last one the stragglers of all
blocks are gathered into blocks of their own and finished: a lane that needs ten iterations does not make its
neighbours wait. Lanes that share a network and a flat start share their first Jacobian as well.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.powerflow.admittance import BranchParameters, Shunts, admittance
from anmjax.powerflow.block_lu import Factors, solve, solve_transposed
from anmjax.powerflow.connectivity import all_energised
from anmjax.powerflow.gather import take
from anmjax.powerflow.newton import (
    Iterate,
    Problem,
    Schedule,
    factor_jacobian,
    flat_start,
    iterate,
    moving,
    rounding_floor,
    start_at,
    update,
)
from anmjax.powerflow.plan import SolverPlan

_In = TypeVar("_In")
_Out = TypeVar("_Out")

# Bytes of a block's matrices and products, a few times a core's L2 cache: there the cost of starting a
# kernel and the cost of missing the cache balance.
BLOCK_BYTES = 3_000_000
# Lanes of a block at least, in bytes of a row: below, loops of a few lanes cost more than missing the cache.
MIN_ROW_BYTES = 128
# Stragglers are finished in blocks of the same size, so that a batch is cut into a few blocks also where it
# would fit as one, if they keep this many lanes.
MIN_BLOCKS, MIN_BLOCK = 4, 128
# A block is left when no more than one lane in so many still moves.
STRAGGLER_SHARE = 8
# The shared first factorisation is compiled apart from those of the lanes; with more levels than this it is
# not worth half as much compile time again.
MAX_LEVELS_TO_SHARE = 16


class Inputs(NamedTuple):
    """What a power flow depends on; every leaf ``[component, *batch]``, axes of size one are shared."""

    branch: BranchParameters
    shunts: Shunts
    v_set: jax.Array  # (n_bus, *batch) p.u., by bus index; that of PQ buses does not matter
    s: jax.Array  # (2, n_bus - 1, *batch) p.u., injections in the plan's order
    start: jax.Array | None  # (2, n_bus - 1, *batch) angle and excess to start from; None: flat


class Result(NamedTuple):
    """Where the iteration ended."""

    x: jax.Array  # (2, n_bus - 1, *batch) angle in rad, magnitude excess in p.u.
    mismatch: jax.Array  # (*batch) p.u., largest error of the equations
    converged: jax.Array  # (*batch) bool
    iterations: jax.Array  # (*batch) int, updates made


def problem_of(plan: SolverPlan, inputs: Inputs) -> Problem:
    """The equations of a batch."""
    adm = admittance(plan, inputs.branch, inputs.shunts)
    return Problem(adm, take(inputs.v_set, plan.order) - 1, inputs.s)


def solve_lanes(plan: SolverPlan, schedule: Schedule, inputs: Inputs) -> Result:
    """Solves every lane of a batch; not differentiable by itself, see ``implicit.py``.

    A lane without a solution ends at the flat start.
    """

    def whole(inputs: Inputs) -> Result:
        problem = problem_of(plan, inputs)
        at = start_at(plan, problem, _start(plan, inputs))
        return _finish(plan, schedule, inputs, iterate(plan, problem, at, schedule))

    def blocks(inputs: Inputs) -> Result:
        return _solve_blocks(plan, schedule, inputs)

    result = _by_platform(blocks, whole, inputs, inputs.s.ndim - 2)
    flat = flat_start(plan, problem_of(plan, inputs))
    return result._replace(x=jnp.where(result.converged[None, None], result.x, flat))


def solve_jacobian_lanes(
    plan: SolverPlan, transposed: bool, inputs: Inputs, x: jax.Array, converged: jax.Array, rhs: jax.Array
) -> jax.Array:
    """Solves with the Jacobian by (theta, ln |V|) at ``x``, or its transpose; zero where not converged."""

    def whole(args: tuple[Inputs, jax.Array, jax.Array, jax.Array]) -> jax.Array:
        inputs, x, converged, rhs = args
        problem = problem_of(plan, inputs)
        at = start_at(plan, problem, x)
        factors = factor_jacobian(plan, problem, at.x, at.sent)
        step = (solve_transposed if transposed else solve)(plan.levels, factors, rhs)
        return jnp.where(converged[None, None], step, 0)

    def blocks(args: tuple[Inputs, jax.Array, jax.Array, jax.Array]) -> jax.Array:
        return _map_blocks(whole, args, _block_size(plan, args))

    return _by_platform(blocks, whole, (inputs, x, converged, rhs), rhs.ndim - 2)


def _start(plan: SolverPlan, inputs: Inputs) -> jax.Array:
    return flat_start(plan, problem_of(plan, inputs)) if inputs.start is None else inputs.start


def _finish(plan: SolverPlan, schedule: Schedule, inputs: Inputs, at: Iterate) -> Result:
    allowed = schedule.tol + rounding_floor(plan, problem_of(plan, inputs), at.x)
    solved = (at.largest <= allowed)[0, 0] & all_energised(plan, inputs.branch.in_service)
    mismatch = jnp.where(jnp.isfinite(at.largest), at.largest, jnp.finfo(at.x.dtype).max)
    return Result(at.x, mismatch[0, 0], solved, at.updates[0, 0])


class _Progress(NamedTuple):
    """Where the walk through the blocks stands."""

    blocks_done: jax.Array  # () int
    waiting: jax.Array  # (lanes,) bool, left as stragglers
    served: jax.Array  # (rows of stragglers) int, lane of each; past the last lane: none
    results: Result  # of the lanes, then of the rows of stragglers


def _solve_blocks(plan: SolverPlan, schedule: Schedule, inputs: Inputs) -> Result:
    lanes, size = _num_lanes(inputs), _block_size(plan, inputs)
    num_blocks, share = -(-lanes // size), size // STRAGGLER_SHARE
    rows = -(-num_blocks * share // size) * size  # room for as many stragglers as there can be
    factors = _shared_factors(plan, inputs)

    def work(own: Inputs, x: jax.Array, updates: jax.Array, first: jax.Array) -> tuple[Result, jax.Array]:
        problem = problem_of(plan, own)
        at = start_at(plan, problem, x, updates)
        if factors is not None:
            at = jax.lax.cond(
                first, lambda at: update(plan, problem, at, schedule, factors), lambda at: at, at
            )
        at = iterate(plan, problem, at, schedule, leave=jnp.where(first, share, 0))
        return _finish(plan, schedule, own, at), moving(at, schedule)[0, 0]

    def next_block(start: jax.Array | int) -> tuple[Inputs, jax.Array, jax.Array]:
        own = _slice_lanes(inputs, start, size)
        x = _start(plan, own)
        return own, jnp.broadcast_to(x, (*x.shape[:-1], size)), jnp.zeros(size, np.int32)

    def step(at: _Progress) -> _Progress:
        first = at.blocks_done < num_blocks
        start = jnp.minimum(at.blocks_done * size, lanes - size)
        if not rows:
            result, _ = work(*next_block(start), first)
            return at._replace(
                blocks_done=at.blocks_done + 1, results=_place_lanes(at.results, result, start)
            )

        def stragglers() -> tuple[jax.Array, Inputs, jax.Array, jax.Array]:
            (index,) = jnp.nonzero(at.waiting, size=size, fill_value=lanes)
            return index, *_take_lanes((inputs, at.results.x, at.results.iterations), index)

        index, own, x, updates = jax.lax.cond(
            first, lambda: (jnp.full(size, lanes), *next_block(start)), stragglers
        )
        result, moves = work(own, x, updates, first)
        row = (at.blocks_done - num_blocks) * size
        return _Progress(
            at.blocks_done + 1,
            jax.lax.cond(
                first,
                lambda: _place_lanes(at.waiting, moves, start),
                lambda: at.waiting.at[index].set(moves, mode="drop"),
            ),
            _place_lanes(at.served, index, jnp.where(first, 0, row)),
            _place_lanes(at.results, result, jnp.where(first, start, lanes + row)),
        )

    end = jax.lax.while_loop(
        lambda at: (at.blocks_done < num_blocks) | at.waiting.any(),
        step,
        _Progress(
            blocks_done=jnp.array(0),
            waiting=jnp.zeros(lanes, bool),
            served=jnp.full(rows, lanes),
            results=_no_results(inputs.s, lanes + rows),
        ),
    )
    return jax.tree.map(
        lambda y: y[..., :lanes].at[..., end.served].set(y[..., lanes:], mode="drop"), end.results
    )


def _no_results(s: jax.Array, lanes: int) -> Result:
    """Room for the results of ``lanes`` lanes."""
    zeros = functools.partial(jnp.zeros, dtype=s.dtype)
    return Result(
        zeros((*s.shape[:2], lanes)), zeros(lanes), zeros(lanes, dtype=bool), zeros(lanes, dtype=np.int32)
    )


def _shared_factors(plan: SolverPlan, inputs: Inputs) -> Factors | None:
    """Factors of the first Jacobian of all lanes, if they share a network and start flat."""
    if len(plan.levels) > MAX_LEVELS_TO_SHARE or inputs.start is not None:
        return None
    if _num_lanes(inputs._replace(s=inputs.s[..., :1])) > 1:
        return None
    problem = problem_of(plan, inputs._replace(s=inputs.s[..., :1]))
    at = start_at(plan, problem, _start(plan, inputs))
    return factor_jacobian(plan, problem, at.x, at.sent)


def _block_size(plan: SolverPlan, args: Any) -> int:
    """Lanes of a block.

    An odd multiple of eight: rows of a power of two in bytes would compete for the same cache sets, at
    almost twice the time.
    """
    lanes = _num_lanes(args)
    most = lanes // MIN_BLOCKS if lanes >= MIN_BLOCKS * MIN_BLOCK else lanes
    itemsize = max(x.dtype.itemsize for x in jax.tree.leaves(args))
    blocks = sum(2 * (level.entries.stop - level.entries.start) + len(level.left) for level in plan.levels)
    fits = min(max(BLOCK_BYTES // max(4 * itemsize * blocks, 1), MIN_ROW_BYTES // itemsize), most)
    if lanes <= fits:
        return lanes
    eights = -(-lanes // -(-lanes // fits) // 8)  # of blocks that are equally long
    return min(8 * (eights + 1 - eights % 2), lanes)


def _by_platform(
    blocks: Callable[[_In], _Out], whole: Callable[[_In], _Out], args: _In, num_axes: int
) -> _Out:
    """Works through the lanes in blocks on a CPU, with all batch axes as one; as a whole elsewhere."""
    batch = jnp.broadcast_shapes(*(x.shape[x.ndim - num_axes :] for x in jax.tree.leaves(args)))

    def join(x: jax.Array) -> jax.Array:
        component = x.shape[: x.ndim - num_axes]
        if math.prod(x.shape) == math.prod(component):
            return x.reshape(*component, 1)
        return jnp.broadcast_to(x, (*component, *batch)).reshape(*component, -1)

    def on_cpu(args: _In) -> _Out:
        out = blocks(jax.tree.map(join, args))
        return jax.tree.map(lambda y: y.reshape(*y.shape[:-1], *batch), out)

    return jax.lax.platform_dependent(args, cpu=on_cpu, default=whole)


def _map_blocks(fn: Callable[[_In], _Out], args: _In, size: int) -> _Out:
    """``fn`` of consecutive blocks of lanes; the last overlaps the one before it if it must."""
    lanes = _num_lanes(args)
    if lanes == size:
        return fn(args)

    def body(i: jax.Array, out: _Out) -> _Out:
        start = jnp.minimum(i * size, lanes - size)
        return _place_lanes(out, fn(_slice_lanes(args, start, size)), start)

    shapes = jax.eval_shape(lambda: fn(_slice_lanes(args, 0, size)))
    out = jax.tree.map(lambda y: jnp.zeros((*y.shape[:-1], lanes), y.dtype), shapes)
    return jax.lax.fori_loop(0, -(-lanes // size), body, out)


def _num_lanes(args: Any) -> int:
    return max(x.shape[-1] for x in jax.tree.leaves(args))


def _slice_lanes(tree: _In, start: jax.Array | int, size: int) -> _In:
    """``size`` consecutive lanes; an axis of size one is shared by all of them."""

    def own(x: jax.Array) -> jax.Array:
        return x if x.shape[-1] == 1 else jax.lax.dynamic_slice_in_dim(x, start, size, x.ndim - 1)

    return jax.tree.map(own, tree)


def _take_lanes(tree: _In, index: jax.Array) -> _In:
    """The chosen lanes; an index past the last gives the last."""
    return jax.tree.map(lambda x: x if x.shape[-1] == 1 else x.at[..., index].get(mode="clip"), tree)


def _place_lanes(tree: _In, part: _In, start: jax.Array | int) -> _In:
    """``tree`` with consecutive lanes written over."""

    def write(x: jax.Array, y: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(x, y, start, x.ndim - 1)

    return jax.tree.map(write, tree, part)
