"""The elimination of ``levels.py`` bus by bus, in rows of a kernel that has a lane a thread.

Bus i takes from its own blocks, and from those with its later neighbours a, what all earlier neighbours k
have left, and is done with:

    D_i = J_ii - sum_k L[i, k] W[k, i],                          z_i = D_i^-1 (r_i - sum_k L[i, k] z_k),
    W[i, a] = D_i^-1 (J[i, a] - sum_k L[i, k] W[k, a]),      L[a, i] = J[a, i] - sum_k L[a, k] W[k, i],

and back, x_i = z_i - sum_a W[i, a] x_a. Every block is written once, and sums stay in registers: of a row
that waits for later ones, as in ``loops.py``, a GPU's memory would read and write each time. Without fill
the blocks L are those of the Jacobian. The transposed system J' x = r is solved with the same factors:

    c_i = r_i - sum_k W[k, i]' c_k,    x_i = D_i^-T (c_i - sum_a L[a, i]' x_a).

Reference: Duff, Erisman & Reid, *Direct Methods for Sparse Matrices* (2nd ed., 2017), ch. 12.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from anmjax.lanes.row_kernel import Row, loop, of_rows
from anmjax.lanes.two_by_two import inverse, matmul, matvec, transpose
from anmjax.powerflow.elimination.loops import plan_loops
from anmjax.powerflow.elimination.plan import SolverPlan

# A table in NumPy, and in a kernel that of ``anmjax.lanes.row_kernel``.
Table: TypeAlias = Any


class Pairs(NamedTuple):
    """Pairs of slots (k, i) and (k, a), of the slots (i, a) in their order."""

    ends: Table  # (num_slots + 1,) where the pairs of each slot begin and end
    first: Table  # (num_pairs,) slots (k, i)
    second: Table  # (num_pairs,) slots (k, a)


class Slots(NamedTuple):
    """What the elimination goes through, as of ``loops.Loops``: slot s is a bus i and a later neighbour a."""

    slot_ends: Table  # (n + 1,) where the slots of each bus begin and end
    pivot: Table  # (num_slots,) bus i
    target: Table  # (num_slots,) bus a
    into_ends: Table  # (n + 1,) where those of ``into`` begin and end
    into: Table  # (num_slots,) slots (k, i) of each bus i
    pairs: Pairs | None  # None: there is no fill
    there: Table  # (num_slots,) edge from i to a; n_edge: a fill
    back: Table  # (num_slots,) edge from a to i


@functools.lru_cache(maxsize=256)
def plan_slots(plan: SolverPlan) -> Slots:
    """Lists what the elimination of a plan does, bus by bus."""
    loops = plan_loops(plan)
    into = np.argsort(loops.target, kind="stable").astype(np.int32)
    pairs = np.argsort(loops.between, kind="stable").astype(np.int32)
    num_slots = len(loops.pivot)
    ends = zip(plan.edge_tail.tolist(), plan.edge_head.tolist(), strict=True)
    edge = {end: e for e, end in enumerate(ends)}
    slots = list(zip(loops.pivot.tolist(), loops.target.tolist(), strict=True))

    def edges(ends: list[tuple[int, int]]) -> np.ndarray:
        return np.array([edge.get(end, len(edge)) for end in ends], np.int32)

    return Slots(
        slot_ends=loops.slot_ends,
        pivot=loops.pivot,
        target=loops.target,
        into_ends=ends_of(loops.target[into], plan.n_unknown),
        into=into,
        pairs=Pairs(ends_of(loops.between[pairs], num_slots), loops.first[pairs], loops.second[pairs])
        if len(pairs)
        else None,
        there=edges(slots),
        back=edges([(a, i) for i, a in slots]),
    )


def ends_of(keys: np.ndarray, size: int) -> np.ndarray:
    """Where each of so many keys begins and ends among sorted ones."""
    return np.searchsorted(keys, np.arange(size + 1)).astype(np.int32)


class Blocks(NamedTuple):
    """What the elimination leaves behind, and reads again: ``Rows``."""

    half: Any  # (2, n) z or c, and from the back substitution on x
    upper: Any  # (2, 2, num_slots) W
    lower: Any | None  # (2, 2, num_slots) L; None: those of the Jacobian
    inverse: Any | None  # (2, 2, n) D^-1; None: it is not the transposed system that is solved


def eliminate(
    slots: Slots,
    blocks: Blocks,
    i: jax.Array,
    diagonal: Row,
    rhs: Row,
    edges: Callable[[jax.Array], tuple[Row, Row]],
    back: Callable[[jax.Array], Row],
) -> None:
    """Eliminates bus ``i``.

    Args:
      slots: of the plan.
      blocks: of the earlier buses; those of this one are written.
      i: the bus.
      diagonal: (2, 2, 1) its block of the Jacobian.
      rhs: (2, 1) its right-hand side.
      edges: the Jacobian's blocks J[i, a] and J[a, i] of a slot.
      back: its block J[a, i] alone, of a slot of any bus; asked for where ``blocks`` have no L.
    """

    def lower(s: jax.Array) -> Row:
        return back(s) if blocks.lower is None else blocks.lower[s]

    def earlier(k: jax.Array, carry: tuple[Row, Row]) -> tuple[Row, Row]:
        s = slots.into[k]
        left, right, half = lower(s), blocks.upper[s], blocks.half[slots.pivot[s]]
        there = _minus_product(carry[0], left, right)
        if blocks.inverse is None:
            return there, _minus_image(carry[1], left, half)
        return there, _minus_transposed_image(carry[1], right, half)

    ends = slots.into_ends[i], slots.into_ends[i + 1]
    diagonal, rhs = loop(*ends, earlier, (diagonal, rhs))
    pivot = of_rows(inverse)(diagonal)
    if blocks.inverse is None:
        blocks.half[i] = of_rows(matvec)(pivot, rhs)
    else:
        blocks.half[i], blocks.inverse[i] = rhs, pivot

    def later(s: jax.Array, _: tuple[()]) -> tuple[()]:
        def pair(pairs: Pairs, k: jax.Array, carry: tuple[Row, Row]) -> tuple[Row, Row]:
            own, other = pairs.first[k], pairs.second[k]
            there = _minus_product(carry[0], lower(own), blocks.upper[other])
            return there, _minus_product(carry[1], lower(other), blocks.upper[own])

        there, lower_one = edges(s)
        if slots.pairs is not None:
            ends = slots.pairs.ends[s], slots.pairs.ends[s + 1]
            there, lower_one = loop(*ends, functools.partial(pair, slots.pairs), (there, lower_one))
        blocks.upper[s] = of_rows(matmul)(pivot, there)
        if blocks.lower is not None:
            blocks.lower[s] = lower_one
        return ()

    loop(slots.slot_ends[i], slots.slot_ends[i + 1], later, ())


def solve_back(slots: Slots, blocks: Blocks, i: jax.Array, back: Callable[[jax.Array], Row]) -> Row:
    """Solution of bus ``i``, (2, 1), once those of later buses stand in ``blocks.half``; written there.

    ``back`` as of ``eliminate``.
    """

    def later(s: jax.Array, x: Row) -> Row:
        other = blocks.half[slots.target[s]]
        if blocks.inverse is None:
            return _minus_image(x, blocks.upper[s], other)
        return _minus_transposed_image(x, back(s) if blocks.lower is None else blocks.lower[s], other)

    x = loop(slots.slot_ends[i], slots.slot_ends[i + 1], later, blocks.half[i])
    if blocks.inverse is not None:
        x = _transposed_image(blocks.inverse[i], x)
    blocks.half[i] = x
    return x


@of_rows
def _minus_product(x: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
    return x - matmul(left, right)


@of_rows
def _minus_image(x: jax.Array, block: jax.Array, other: jax.Array) -> jax.Array:
    return x - matvec(block, other)


@of_rows
def _minus_transposed_image(x: jax.Array, block: jax.Array, other: jax.Array) -> jax.Array:
    return x - matvec(transpose(block), other)


@of_rows
def _transposed_image(block: jax.Array, x: jax.Array) -> jax.Array:
    return matvec(transpose(block), x)
