"""The elimination of a plan cut into short steps that all look alike, so that a loop can work through them.

A step rewrites ``ROWS`` consecutive rows of a buffer, each by a few terms; a row that needs more terms is
rewritten again by the next step. What a step reads stands in tables, padded with a row of zeros. Steps of a
level depend on earlier levels alone.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from anmjax.powerflow.plan import SolverPlan

# Rows of a step, and terms of a row in the factorisation and in a substitution: measured from 33 to
# 1,354 buses. More rows or terms start fewer loops, for more padding.
ROWS, PRODUCTS, COLUMNS = 4, 2, 4


@dataclasses.dataclass(frozen=True, eq=False)
class Steps:
    """Steps over one buffer, by level."""

    ends: np.ndarray  # (num_levels + 1,) where the steps of each level begin and end
    start: np.ndarray  # (num_steps,) first of the rows that the step rewrites
    own: np.ndarray  # (num_steps, ROWS) bool, False: the row stays as it is
    # Each (num_steps, terms * ROWS): the rows that the first term of every row reads, then the second...
    terms: tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class PlanSteps:
    """All steps of a plan. Entries are those of the plan's matrix, the last of them zero."""

    diagonal: np.ndarray  # (n,) entry of each bus's diagonal block
    updates: Steps  # of entries: minus (entry L, entry U)
    pivots: Steps  # of entries: the inverse of the block plus (bus)
    lower: Steps  # of entries: times (entry of the pivot), from the right
    upper: Steps  # of entries, one level: times (entry of the pivot), from the left
    forward: Steps  # of buses, one level: minus (entry L or entry U, times bus)
    backward: Steps  # of buses, one level: minus (entry L or entry U, times bus)


Terms = Sequence[tuple[int, ...]]


@functools.lru_cache(maxsize=256)
def plan_steps(plan: SolverPlan) -> PlanSteps:
    """Cuts a plan's elimination into steps; the plan must have at least ``ROWS`` buses beside the slack."""
    n, n_entry = len(plan.order) - 1, plan.levels[-1].entries.stop
    diagonal = np.zeros(n, np.int32)
    updates: list[list[tuple[int, ...]]] = [[] for _ in range(n_entry)]
    forward: list[list[tuple[int, ...]]] = [[] for _ in range(n)]
    backward: list[list[tuple[int, ...]]] = [[] for _ in range(n)]
    index: dict[tuple[int, int], int] = {}
    scaled: dict[int, list[tuple[int, ...]]] = {}
    blocks = []
    for level in plan.levels:
        p, q = level.pivots.stop - level.pivots.start, len(level.pivot_of_slot)
        first, upper, lower, stop = level.entries.start + np.cumsum([0, p, q, q])
        diagonal[level.pivots] = np.arange(first, upper)
        pivot, target = level.pivot_of_slot + level.pivots.start, level.target_of_slot
        for e, (i, a) in enumerate(zip(pivot.tolist(), target.tolist(), strict=True)):
            index[i, a], index[a, i] = upper + e, lower + e
            scaled[upper + e] = scaled[lower + e] = [(diagonal[i],)]
            forward[a].append((lower + e, upper + e, i))
            backward[i].append((lower + e, upper + e, a))
        blocks.append([range(first, upper), range(upper, lower), range(lower, stop)])
    index |= {(i, i): e for i, e in enumerate(diagonal.tolist())}
    for level, (_, upper, lower) in zip(plan.levels, blocks, strict=True):
        for e, f in zip(level.left, level.right, strict=True):
            row, column = level.target_of_slot[e], level.target_of_slot[f]
            updates[index[row, column]].append((lower[e], upper[f]))
    inverted: dict[int, list[tuple[int, ...]]] = {e: [(i,)] for i, e in enumerate(diagonal.tolist())}
    buses = [range(level.pivots.start, level.pivots.stop) for level in plan.levels]
    zero, size = n_entry, n_entry + 1
    return PlanSteps(
        diagonal=diagonal,
        updates=_cut(blocks, updates, PRODUCTS, (zero, zero), size),
        pivots=_cut([[d] for d, _, _ in blocks], inverted, 1, (0,), size),
        lower=_cut([[low] for _, _, low in blocks], scaled, 1, (zero,), size),
        upper=_cut([[up for _, up, _ in blocks]], scaled, 1, (zero,), size),
        forward=_cut([buses], forward, COLUMNS, (zero, zero, 0), n),
        backward=_cut([buses[::-1]], backward, COLUMNS, (zero, zero, 0), n),
    )


def _cut(
    levels: Sequence[Sequence[range]],
    terms_of: Sequence[Terms] | dict[int, list[tuple[int, ...]]],
    num_terms: int,
    padding: tuple[int, ...],
    size: int,
) -> Steps:
    """Cuts ranges of rows of a buffer into steps, level by level.

    Args:
      levels: ranges of rows by level.
      terms_of: the terms of every row.
      num_terms: terms of a row in one step.
      padding: the term that changes nothing.
      size: rows of the buffer.
    """
    ends, starts, own, terms = [0], [], [], []
    for ranges in levels:
        for rows in ranges:
            for first in range(rows.start, rows.stop, ROWS):
                chunk = range(first, min(first + ROWS, rows.stop))
                start = min(first, size - ROWS)
                for k in range(0, max(len(terms_of[row]) for row in chunk), num_terms):
                    table = np.empty((num_terms, ROWS, len(padding)), np.int32)
                    table[:] = padding
                    for row in chunk:
                        piece = terms_of[row][k : k + num_terms]
                        table[: len(piece), row - start] = np.reshape(piece, (-1, len(padding)))
                    starts.append(start)
                    own.append([start + j in chunk for j in range(ROWS)])
                    terms.append(table)
        ends.append(len(starts))
    tables = np.array(terms, np.int32).reshape(-1, num_terms * ROWS, len(padding))
    return Steps(
        ends=np.array(ends, np.int32),
        start=np.array(starts, np.int32),
        own=np.array(own, bool).reshape(-1, ROWS),
        terms=tuple(tables[..., k] for k in range(len(padding))),
    )
