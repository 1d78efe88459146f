"""The point nearest to another within inequalities, hard and soft, by a dual active set method.

    minimise   1/2 |x - c|^2 + w' max(Gx - h, 0)         w infinite where an inequality is hard

has x = c - G'z, z from 0 to w. Rows are *active* (Gx = h), or not (Gx < h, z = 0), or *at cost* (Gx > h,
z = w). From the optimum under some active rows, the method takes in the row that is exceeded most: its dual
rises, and x and the duals of the active rows follow so that these stay active, until the row is met or at
cost; a row whose dual comes to an end on the way is active no more. A row at cost that is exceeded no more
comes back by the same road. Every step adds to the dual objective, so that none of the sets of rows returns.
With A the active rows, their pseudo-inverse A+ and the projection on what they leave free,

    d = (I - A+ A) g,  r = A+' g:      dual of g + t:  x - t d,  duals of A - t r,

and both follow a row that comes or goes by a change of rank one. For few variables and many inequalities, of
which few bind: a step costs as much as one product with G.

Reference: Goldfarb & Idnani, "A numerically stable dual method for solving strictly convex quadratic
programs", Math. Prog. 27 (1983), sec. 3; a dual that ends at w is one at 0 of the row's negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes.blocks import num_lanes, set_lanes, take_lanes
from anmjax.lanes.kernels import one_kernel
from anmjax.lanes.rows import at
from anmjax.lanes.schedule import AllAtOnce, Schedule
from anmjax.lanes.varying import as_varying
from anmjax.qp.dense import Algebra, algebra_of

# Of the squared length of a row: what is left free of it below this is rounding.
DEPENDENT = 100
# Lanes that are finished apart, narrow, when no more than these are left.
TAIL = 16
# By bytes of a number: how far a row may be exceeded, in its own unit.
TOL = {8: 1e-10, 4: 2e-6}


@dataclass(frozen=True)
class Pairs:
    """Rows of G made of two rows of a base each: G_i = alpha_i B[first_i] + beta_i B[second_i]."""

    first: tuple[int, ...]
    second: tuple[int, ...]


class Program(NamedTuple):
    """What is to be minimised; every leaf ``[component, *batch]``."""

    base: jax.Array  # (k, n, *batch) B
    alpha: jax.Array  # (m, *batch)
    beta: jax.Array  # (m, *batch)
    h: jax.Array  # (m, *batch) infinite: there is no such row
    w: jax.Array  # (m, *batch) infinite where a row is hard
    c: jax.Array  # (n, *batch)


class ActiveSet(NamedTuple):
    """Active rows, at most n of them, in *slots*; those of an empty slot are -1 and zeros."""

    row: jax.Array  # (n, *batch) int32
    dual: jax.Array  # (n, *batch)
    w: jax.Array  # (n, *batch) cost of the row
    inverse: jax.Array  # (n, n, *batch) transposed pseudo-inverse of the rows: slot, variable
    free: jax.Array  # (n, n, *batch) projection on what the rows leave free


class Found(NamedTuple):
    """Where the method ended."""

    x: jax.Array  # (n, *batch)
    active: ActiveSet
    side: jax.Array  # (m, *batch) 0 of active rows, -1 of those at cost, 1 of others
    converged: jax.Array  # (*batch) bool, no row is on its wrong side


class _State(NamedTuple):
    """Where the method stands."""

    x: jax.Array  # (n, lanes)
    along: jax.Array  # (k, lanes) B x
    side: jax.Array  # (m, lanes)
    active: ActiveSet
    row: jax.Array  # (1, lanes) int32, on its way
    dual: jax.Array  # (1, lanes) of it so far
    moving: jax.Array  # (1, lanes) bool, it has not arrived
    done: jax.Array  # (1, lanes) bool


def find_lanes(pairs: Pairs, num_iters: int, schedule: Schedule, program: Program, begin: ActiveSet) -> Found:
    """Solves every lane of a batch; x = 0 is optimal for the rows of ``begin`` alone."""
    m, n, lanes = len(pairs.first), len(program.c), num_lanes((program, begin))
    dtype, algebra = program.c.dtype, algebra_of(schedule)
    program, begin = jax.tree.map(lambda x: jnp.broadcast_to(x, (*x.shape[:-1], lanes)), (program, begin))
    lowest = jnp.full((1, lanes), TOL[dtype.itemsize], dtype)
    rows = np.arange(m, dtype=np.int32)[:, None]
    side = jnp.ones((m, lanes), dtype)
    for slot in range(n):
        side = jnp.where(rows == begin.row[slot][None], 0, side)
    no = jnp.zeros((1, lanes), bool)
    start = _State(
        jnp.zeros_like(program.c),
        jnp.zeros((len(program.base), lanes), dtype),
        side,
        begin,
        jnp.zeros((1, lanes), jnp.int32),
        jnp.zeros((1, lanes), dtype),
        no,
        no,
    )
    search = _search_whole if isinstance(schedule, AllAtOnce) else _search_loop

    def steps(own: Program, at: tuple[jax.Array, _State], leave: int) -> tuple[jax.Array, _State]:
        """Goes on until no more than so many lanes are left."""

        def more(at: tuple[jax.Array, _State]) -> jax.Array:
            return (at[0] < num_iters) & ((~at[1].done).sum(dtype=np.int32) > leave)

        def step(at: tuple[jax.Array, _State]) -> tuple[jax.Array, _State]:
            made, now = at
            worst = search(pairs, own, now.along, now.side, lowest[:, : now.done.shape[-1]])
            return made + 1, _step(pairs, algebra, own, now, worst)

        return jax.lax.while_loop(more, step, at)

    left = 0 if isinstance(schedule, AllAtOnce) or lanes < 2 * TAIL else TAIL
    made, end = steps(program, as_varying((jnp.int32(0), start), program), left)
    if left:
        (late,) = jnp.nonzero(~end.done[0], size=left, fill_value=lanes)
        finished = steps(take_lanes(program, late), (made, take_lanes(end, late)), 0)[1]
        end = set_lanes(end, finished, late)
    # The last word is the rows': what rounding left of them is taken back.
    own = jnp.maximum(end.active.row, 0)
    first, second = (jnp.asarray(np.array(x, np.int32))[own] for x in (pairs.first, pairs.second))
    alpha, beta, h = (_of_lane(x, own) for x in (program.alpha, program.beta, program.h))
    along = algebra.times(program.base, end.x)
    excess = alpha * _of_lane(along, first) + beta * _of_lane(along, second) - h
    excess = jnp.where(end.active.row >= 0, excess, 0)
    x = end.x - algebra.transposed_times(end.active.inverse, excess)
    return Found(x, end.active, end.side, (end.done & jnp.isfinite(x).all(0, keepdims=True))[0])


def _of_lane(x: jax.Array, index: jax.Array) -> jax.Array:
    """Of every lane its own rows of ``x``: (m, .., lanes), (r, lanes) -> (r, .., lanes)."""
    x = jnp.broadcast_to(x, (*x.shape[:-1], index.shape[-1]))
    index = index.reshape(index.shape[0], *[1] * (x.ndim - 2), index.shape[-1])
    return jnp.take_along_axis(x, index, 0, mode="clip")


def _excess(alpha: Any, first: Any, beta: Any, second: Any, h: Any, side: Any) -> jax.Array:
    """By how much a row is on its wrong side."""
    return side * (alpha * first + beta * second - h)


def _search_whole(
    pairs: Pairs, program: Program, along: jax.Array, side: jax.Array, lowest: jax.Array
) -> jax.Array:
    first, second = (along[np.array(x)] for x in (pairs.first, pairs.second))
    excess = _excess(program.alpha, first, program.beta, second, program.h, side)
    excess = jnp.where(jnp.isnan(excess), -jnp.inf, excess)
    most = excess.max(0, keepdims=True)
    return jnp.where(most > lowest, _where(excess == most), -1)


def _where(mask: jax.Array) -> jax.Array:
    """The first row of a mask that holds, (1, lanes); the first of all where none does."""
    return jax.lax.argmax(mask, 0, np.int32)[None]


def _search_loop(
    pairs: Pairs, program: Program, along: jax.Array, side: jax.Array, lowest: jax.Array
) -> jax.Array:
    """The row that is exceeded most, (1, lanes); -1: none is by more than ``lowest``."""
    tables = np.array(pairs.first, np.int32), np.array(pairs.second, np.int32)

    def run(*args: jax.Array) -> jax.Array:
        alpha, beta, h, along, side, most, which = args

        def row(i: Any, best: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            most, which = best
            first, second = (_row(along, at(table, i)) for table in tables)
            excess = _excess(_row(alpha, i), first, _row(beta, i), second, _row(h, i), _row(side, i))
            more = excess > most
            return jnp.where(more, excess, most), jnp.where(more, i, which)

        return jax.lax.fori_loop(0, len(tables[0]), row, (most, which))[1]

    none = jnp.full(lowest.shape, -1, jnp.int32)
    return one_kernel(run)(program.alpha, program.beta, program.h, along, side, lowest, none)


def _row(x: jax.Array, i: Any) -> jax.Array:
    return jax.lax.dynamic_slice_in_dim(x, i, 1, 0)


def _step(pairs: Pairs, algebra: Algebra, program: Program, now: _State, worst: jax.Array) -> _State:
    """The row on its way, or the worst one, goes as far as the others let it."""
    dtype = now.x.dtype
    done = now.done | (~now.moving & (worst < 0))
    row = jnp.where(now.moving, now.row, jnp.maximum(worst, 0))
    first, second = (jnp.asarray(np.array(x, np.int32))[row] for x in (pairs.first, pairs.second))
    alpha, beta, h, w, side = (
        _of_lane(x, row) for x in (program.alpha, program.beta, program.h, program.w, now.side)
    )
    excess = _excess(alpha, _of_lane(now.along, first), beta, _of_lane(now.along, second), h, side)
    g = alpha * _of_lane(program.base, first)[0] + beta * _of_lane(program.base, second)[0]
    dual = jnp.where(now.moving, now.dual, jnp.where(side < 0, w, 0))

    active = now.active
    d, r = algebra.times(active.free, g), algebra.times(active.inverse, g)
    length, left = (algebra.total(jnp.multiply, g, y) for y in (g, d))
    adds = left > DEPENDENT * float(np.finfo(dtype).eps) * length
    to_row = jnp.where(adds, jnp.maximum(excess, 0) / jnp.where(adds, left, 1), jnp.inf)
    falls = side * r
    to_end = jnp.where(falls > 0, active.dual, active.w - active.dual) / jnp.abs(falls)
    to_end = jnp.where((active.row >= 0) & (falls != 0), jnp.maximum(to_end, 0), jnp.inf)
    to_first = to_end.min(0, keepdims=True)
    to_cost = jnp.where(side > 0, w - dual, dual)
    t = jnp.minimum(jnp.minimum(to_row, to_first), to_cost)

    going = ~done & jnp.isfinite(t)
    met = going & (to_row <= to_first) & (to_row <= to_cost)
    paid = going & ~met & (to_cost <= to_first)
    lost = going & ~met & ~paid
    slots = np.arange(len(now.x), dtype=np.int32)[:, None]
    ending = (slots == _where(to_end == to_first)) & lost
    taken = (slots == _where(active.row < 0)) & met

    move = jnp.where(going, t * side, 0)
    d = jnp.where(going, d, 0)
    r = jnp.where(going, r, 0)
    x = now.x - move * d
    along = now.along - move * algebra.times(program.base, d)
    dual = dual + move

    # Rank one: the row that comes has d left free, the one that goes leaves its own of the inverse free.
    gone = algebra.transposed_times(active.inverse, ending.astype(dtype))
    v = jnp.where(lost, gone, d)
    size = algebra.total(jnp.multiply, v, v)
    scale = jnp.where(met | lost, 1 / jnp.where(size > 0, size, 1), 0)
    share = jnp.where(lost, algebra.times(active.inverse, v), r) * scale
    free = active.free + (jnp.where(lost, scale, -scale) * v)[None] * v[:, None]
    inverse = active.inverse - share[:, None] * v[None]
    inverse = jnp.where(taken[:, None], (scale * v)[None], jnp.where(ending[:, None], 0, inverse))

    left_row = jnp.where(ending, active.row, 0).max(0, keepdims=True)
    at_cost = (ending & (falls < 0)).any(0, keepdims=True)
    rows = np.arange(len(now.side), dtype=np.int32)[:, None]
    own_side = jnp.where(met, 0, jnp.where(paid, -side, side))
    sides = jnp.where(rows == row, own_side, now.side)
    sides = jnp.where((rows == left_row) & lost, jnp.where(at_cost, -1, 1).astype(dtype), sides)
    duals = active.dual - move * r
    active = ActiveSet(
        row=jnp.where(taken, row, jnp.where(ending, -1, active.row)),
        dual=jnp.where(taken, dual, jnp.where(ending, 0, duals)),
        w=jnp.where(taken, w, jnp.where(ending, 0, active.w)),
        inverse=inverse,
        free=free,
    )
    return _State(x, along, sides, active, row, dual, lost, done | ~jnp.isfinite(t))
