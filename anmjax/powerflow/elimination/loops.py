"""The elimination of ``levels.py`` as loops, block by block: the same small program for every network.

The factors are D^-1, in place of the diagonal blocks, M[a, i] = L[a, i] D^-1, and the blocks U as they are,
so that J = M D (D^-1 U), the diagonals of M and D^-1 U ones, and

    J x = r:   y_a = r_a - sum_i M[a, i] y_i,          x_i = D^-1 (y_i - sum_a U[i, a] x_a),
    J' x = r:  z_a = D^-T (r_a - sum_i U[i, a]' z_i),  x_i = z_i - sum_a M[a, i]' x_a.

Of a radial network only the diagonal blocks change: blocks U that all lanes share stay shared. On a CPU each
of the functions is one kernel. A GPU would start a kernel for every block.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes.gather import GatherSum, gather_sum
from anmjax.lanes.kernels import one_kernel
from anmjax.lanes.rows import at, replaced, row
from anmjax.lanes.two_by_two import inverse, matmul, matvec, transpose
from anmjax.powerflow.elimination.plan import SolverPlan

_Carry = TypeVar("_Carry")


@dataclasses.dataclass(frozen=True, eq=False)
class Loops:
    """What the loops go through. A *slot* is a bus i and a later neighbour a; slots are sorted by i."""

    slot_ends: np.ndarray  # (n + 1,) where the slots of each bus begin and end
    pair_ends: np.ndarray  # (n + 1,) where the pairs of each bus begin and end
    pivot: np.ndarray  # (num_slots,) bus i
    target: np.ndarray  # (num_slots,) bus a
    # (num_pairs,) slots (i, a), (i, b) and (a, b), for a before b.
    first: np.ndarray
    second: np.ndarray
    between: np.ndarray
    upper: GatherSum  # edges into the blocks U = J[i, a]; fill gets none
    lower: GatherSum  # edges into the blocks L = J[a, i]


class LoopFactors(NamedTuple):
    """What the elimination leaves behind."""

    inverse: jax.Array  # (2, 2, n, *batch) D^-1 by bus
    lower: jax.Array  # (2, 2, num_slots, *batch) M
    upper: jax.Array  # (2, 2, num_slots, *batch) U


@functools.lru_cache(maxsize=256)
def plan_loops(plan: SolverPlan) -> Loops:
    """Lists what the elimination of a plan does, bus by bus."""
    around: list[list[int]] = [[] for _ in range(plan.n_unknown)]
    for level in plan.levels:
        for i, a in zip(level.pivot_of_slot.tolist(), level.target_of_slot.tolist(), strict=True):
            around[level.pivots.start + i].append(a)
    slots = [(i, a) for i, later in enumerate(around) for a in sorted(later)]
    index = {slot: s for s, slot in enumerate(slots)}
    pairs = [
        (index[i, a], index[i, b], index[a, b])
        for i, later in enumerate(around)
        for a, b in itertools.combinations(sorted(later), 2)
    ]
    ends = zip(plan.edge_tail.tolist(), plan.edge_head.tolist(), strict=True)
    edge = {end: e for e, end in enumerate(ends)}
    pivot, target = np.array(slots, np.int32).reshape(-1, 2).T
    first, second, between = np.array(pairs, np.int32).reshape(-1, 3).T
    return Loops(
        slot_ends=np.cumsum([0, *map(len, around)], dtype=np.int32),
        pair_ends=np.cumsum([0, *(math.comb(len(later), 2) for later in around)], dtype=np.int32),
        pivot=pivot,
        target=target,
        first=first,
        second=second,
        between=between,
        upper=GatherSum.build([[edge[i, a]] if (i, a) in edge else [] for i, a in slots]),
        lower=GatherSum.build([[edge[a, i]] if (a, i) in edge else [] for i, a in slots]),
    )


def factor(loops: Loops, edges: jax.Array, diagonal: jax.Array) -> LoopFactors:
    """Factorises without pivoting between blocks.

    Args:
      loops: of the plan.
      edges: (2, 2, n_edge, *batch) blocks of the edges.
      diagonal: (2, 2, n, *batch) diagonal blocks.

    Returns:
      The factors. A singular pivot leaves non-finite numbers in its own lane only.
    """
    batch = jnp.broadcast_shapes(edges.shape[3:], diagonal.shape[3:])
    upper, lower = (gather_sum(source, edges, 2) for source in (loops.upper, loops.lower))
    d, m = (jnp.broadcast_to(x, (*x.shape[:3], *batch)) for x in (diagonal, lower))
    if len(loops.first):
        upper = jnp.broadcast_to(upper, m.shape)
    return one_kernel(functools.partial(_eliminate, loops))(LoopFactors(d, m, upper))


def _eliminate(loops: Loops, blocks: LoopFactors) -> LoopFactors:
    """Turns the blocks D, L and U into the factors."""

    def slot(s: jax.Array, blocks: LoopFactors) -> LoopFactors:
        d, m, u = blocks
        i, a = at(loops.pivot, s), at(loops.target, s)
        m = replaced(m, matmul(row(m, s, 2), row(d, i, 2)), s, 2)
        d = replaced(d, row(d, a, 2) - matmul(row(m, s, 2), row(u, s, 2)), a, 2)
        return LoopFactors(d, m, u)

    def pair(k: jax.Array, blocks: LoopFactors) -> LoopFactors:
        d, m, u = blocks
        s, t, between = (at(table, k) for table in (loops.first, loops.second, loops.between))
        u = replaced(u, row(u, between, 2) - matmul(row(m, s, 2), row(u, t, 2)), between, 2)
        m = replaced(m, row(m, between, 2) - matmul(row(m, t, 2), row(u, s, 2)), between, 2)
        return LoopFactors(d, m, u)

    def bus(i: jax.Array, blocks: LoopFactors) -> LoopFactors:
        d, m, u = blocks
        blocks = LoopFactors(replaced(d, inverse(row(d, i, 2)), i, 2), m, u)
        blocks = _each(loops.slot_ends, i, slot, blocks)
        return _each(loops.pair_ends, i, pair, blocks)

    return _loop(blocks.inverse.shape[2], bus, blocks)


def solve(loops: Loops, factors: LoopFactors, rhs: jax.Array) -> jax.Array:
    """Solves ``J x = rhs``; both (2, n, *batch) in elimination order."""

    def substitute(factors: LoopFactors, x: jax.Array) -> jax.Array:
        n, num_slots = x.shape[1], len(loops.pivot)

        def forward(s: jax.Array, x: jax.Array) -> jax.Array:
            i, a = at(loops.pivot, s), at(loops.target, s)
            return _subtract(x, a, row(factors.lower, s, 2), i)

        def back(k: jax.Array, x: jax.Array) -> jax.Array:
            i = n - 1 - k
            x = _each(loops.slot_ends, i, functools.partial(own_slot, i), x)
            return replaced(x, matvec(row(factors.inverse, i, 2), row(x, i, 1)), i, 1)

        def own_slot(i: jax.Array, s: jax.Array, x: jax.Array) -> jax.Array:
            return _subtract(x, i, row(factors.upper, s, 2), at(loops.target, s))

        return _loop(n, back, _loop(num_slots, forward, x))

    return one_kernel(substitute)(factors, _of_lanes(factors, rhs))


def solve_transposed(loops: Loops, factors: LoopFactors, rhs: jax.Array) -> jax.Array:
    """Solves ``J' x = rhs`` with the factors of J; both (2, n, *batch) in elimination order."""

    def substitute(factors: LoopFactors, x: jax.Array) -> jax.Array:
        n, num_slots = x.shape[1], len(loops.pivot)

        def forward(i: jax.Array, x: jax.Array) -> jax.Array:
            x = replaced(x, matvec(transpose(row(factors.inverse, i, 2)), row(x, i, 1)), i, 1)
            return _each(loops.slot_ends, i, functools.partial(own_slot, i), x)

        def own_slot(i: jax.Array, s: jax.Array, x: jax.Array) -> jax.Array:
            return _subtract(x, at(loops.target, s), transpose(row(factors.upper, s, 2)), i)

        def back(k: jax.Array, x: jax.Array) -> jax.Array:
            s = num_slots - 1 - k
            i, a = at(loops.pivot, s), at(loops.target, s)
            return _subtract(x, i, transpose(row(factors.lower, s, 2)), a)

        return _loop(num_slots, back, _loop(n, forward, x))

    return one_kernel(substitute)(factors, _of_lanes(factors, rhs))


def _of_lanes(factors: LoopFactors, x: jax.Array) -> jax.Array:
    """``x`` for every lane, where only the factors have lanes of their own."""
    return jnp.broadcast_to(x, (*x.shape[:2], *jnp.broadcast_shapes(factors.inverse.shape[3:], x.shape[2:])))


def _subtract(x: jax.Array, i: jax.Array, block: jax.Array, k: jax.Array) -> jax.Array:
    """``x`` with a block times its row ``k`` taken from its row ``i``."""
    return replaced(x, row(x, i, 1) - matvec(block, row(x, k, 1)), i, 1)


def _loop(count: int, step: Callable[[jax.Array, _Carry], _Carry], x: _Carry) -> _Carry:
    return jax.lax.fori_loop(0, count, step, x) if count else x


def _each(ends: np.ndarray, i: jax.Array, step: Callable[[jax.Array, _Carry], _Carry], x: _Carry) -> _Carry:
    """``step`` for all that belongs to bus ``i``."""
    return jax.lax.fori_loop(at(ends, i), at(ends, i + 1), step, x) if ends[-1] else x
