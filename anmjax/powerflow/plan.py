"""Symbolic elimination: everything about the linear solver that depends on the topology alone.

Newton's Jacobian has one 2x2 block per bus and one per connected bus pair, in both directions.
Buses are eliminated in *levels*: sets of buses of low degree, no two of them neighbours, so that a
level is eliminated by a handful of whole-array operations and the number of levels grows like a
logarithm of the network's size on feeders. Computed once in NumPy; the numeric part is in
``block_lu.py``.

Reference: George & Liu, *Computer Solution of Large Sparse Positive Definite Systems* (1981),
ch. 5 (minimum degree); Luby, "A simple parallel algorithm for the maximal independent set problem",
SIAM J. Comput. 15 (1986) (elimination of independent sets).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np


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


@dataclasses.dataclass(frozen=True, eq=False)
class Level:
    """One level of the elimination; sizes count buses and slots still present when it starts.

    A *slot* is an ordered pair (i, a) with block U = J[i, a] above and L = J[a, i] below the
    diagonal, i eliminated before a. Slots are numbered by the pivot i, so that a level's slots, like
    its pivots, come first among those remaining.
    """

    num_pivots: int
    num_slots: int
    pivot_of_slot: np.ndarray  # (num_slots,) pivot within the level
    target_of_slot: np.ndarray  # (num_slots,) bus a, counted from the first bus after the level
    left: np.ndarray  # (num_products,) slot e1 of the product L[e1] W[e2]
    right: np.ndarray  # (num_products,) slot e2
    to_diagonal: GatherSum  # products into the diagonal blocks of the buses after the level
    to_upper: GatherSum | None  # products into the U blocks of the slots after the level
    to_lower: GatherSum | None  # products into the L blocks of the slots after the level
    slots_to_bus: GatherSum  # slots into their target a: forward substitution
    slots_to_pivot: GatherSum  # slots into their pivot i: back substitution


@dataclasses.dataclass(frozen=True, eq=False)
class SolverPlan:
    """Elimination plan of one topology. Buses are renumbered: pivots by level, the slack last."""

    order: np.ndarray  # (n_bus,) old index of each new bus
    position: np.ndarray  # (n_bus,) new index of each old bus
    pair_from: np.ndarray  # (n_pair,) new index, connected bus pairs, parallel branches merged
    pair_to: np.ndarray  # (n_pair,) new index
    branch_forward: GatherSum  # branches into pairs, those that run along the pair
    branch_backward: GatherSum  # branches into pairs, those that run against it
    pair_to_bus: GatherSum  # pair ends, [from ends, to ends], into buses
    branch_to_bus: GatherSum  # branch ends, [from ends, to ends], into buses
    upper_of_slot: GatherSum  # [pair from->to, pair to->from] into U of all slots
    lower_of_slot: GatherSum  # the same into L of all slots
    levels: tuple[Level, ...]

    @property
    def n_pq(self) -> int:
        """Number of buses whose voltage is unknown."""
        return len(self.order) - 1


def _pad(lists: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    terms = max((len(row) for row in lists), default=0)
    index = np.zeros((terms, len(lists)), np.int32)
    weight = np.zeros((terms, len(lists)), np.int8)
    for j, row in enumerate(lists):
        index[: len(row), j] = row
        weight[: len(row), j] = 1
    return index, weight


def _group(keys: Iterable[int], size: int) -> list[list[int]]:
    lists: list[list[int]] = [[] for _ in range(size)]
    for i, key in enumerate(keys):
        lists[key].append(i)
    return lists


def elimination_levels(neighbours: dict[int, set[int]]) -> list[list[int]]:
    """Independent sets of low-degree vertices that, eliminated in turn, exhaust the graph.

    Args:
      neighbours: adjacency of an undirected graph.

    Returns:
      Vertices by level. A vertex joins a level while its degree is at most one above the smallest
      remaining degree: waiting for the strict minimum deepens the levels without saving fill.
    """
    graph = {i: set(js) for i, js in neighbours.items()}
    levels = []
    while graph:
        bound = min(len(js) for js in graph.values()) + 1
        level: list[int] = []
        blocked: set[int] = set()
        for i in sorted(graph, key=lambda i: (len(graph[i]), i)):
            if len(graph[i]) > bound:
                break
            if i not in blocked:
                level.append(i)
                blocked |= graph[i]
        for i in level:
            around = graph.pop(i)
            for a in around:
                graph[a] |= around
                graph[a] -= {a, i}
        levels.append(level)
    return levels


@functools.lru_cache(maxsize=256)
def solver_plan(n_bus: int, slack: int, from_bus: tuple[int, ...], to_bus: tuple[int, ...]) -> SolverPlan:
    """Plans the solver of a topology.

    Args:
      n_bus: number of buses.
      slack: index of the slack bus.
      from_bus: (n_branch,) bus index.
      to_bus: (n_branch,) bus index.

    Returns:
      The plan, cached by topology.
    """
    pairs = sorted({(min(f, t), max(f, t)) for f, t in zip(from_bus, to_bus, strict=True)})
    neighbours: dict[int, set[int]] = {i: set() for i in range(n_bus) if i != slack}
    for f, t in pairs:
        if slack not in (f, t):
            neighbours[f].add(t)
            neighbours[t].add(f)
    levels = elimination_levels(neighbours)
    order = np.array([i for level in levels for i in level] + [slack], np.int32)
    position = np.argsort(order).astype(np.int32)

    upward = _eliminate(levels, neighbours, position)
    slots = [(i, a) for i in range(n_bus - 1) for a in upward[i]]
    slot_index = {slot: e for e, slot in enumerate(slots)}

    pair_index = {pair: k for k, pair in enumerate(pairs)}
    forward: list[list[int]] = [[] for _ in pairs]
    backward: list[list[int]] = [[] for _ in pairs]
    for k, (f, t) in enumerate(zip(from_bus, to_bus, strict=True)):
        side = forward if f < t else backward
        side[pair_index[min(f, t), max(f, t)]].append(k)

    upper: list[list[int]] = [[] for _ in slots]
    lower: list[list[int]] = [[] for _ in slots]
    for k, (f, t) in enumerate(pairs):
        if slack in (f, t):
            continue
        i, a = int(position[f]), int(position[t])
        e, along, against = (
            (slot_index[i, a], k, k + len(pairs)) if i < a else (slot_index[a, i], k + len(pairs), k)
        )
        upper[e].append(along)
        lower[e].append(against)

    pair_from = position[np.array([f for f, _ in pairs], int)]
    pair_to = position[np.array([t for _, t in pairs], int)]
    ends = np.concatenate([position[np.array(from_bus, int)], position[np.array(to_bus, int)]])
    return SolverPlan(
        order=order,
        position=position,
        pair_from=pair_from,
        pair_to=pair_to,
        branch_forward=GatherSum.build(forward),
        branch_backward=GatherSum.build(backward),
        pair_to_bus=GatherSum.build(_group([*pair_from, *pair_to], n_bus)),
        branch_to_bus=GatherSum.build(_group(ends, n_bus)),
        upper_of_slot=GatherSum.build(upper),
        lower_of_slot=GatherSum.build(lower),
        levels=_plan_levels([len(level) for level in levels], upward, slots, slot_index),
    )


def _eliminate(
    levels: list[list[int]], neighbours: dict[int, set[int]], position: np.ndarray
) -> list[list[int]]:
    """Later neighbours of every pivot, fill included, in the new numbering."""
    graph = {int(position[i]): {int(position[j]) for j in js} for i, js in neighbours.items()}
    upward = []
    for i in range(sum(len(level) for level in levels)):
        around = graph.pop(i)
        upward.append(sorted(around))
        for a in around:
            graph[a] |= around
            graph[a] -= {a, i}
    return upward


def _plan_levels(
    sizes: list[int],
    upward: list[list[int]],
    slots: list[tuple[int, int]],
    slot_index: dict[tuple[int, int], int],
) -> tuple[Level, ...]:
    levels = []
    first_bus = first_slot = 0
    for num_pivots in sizes:
        next_bus = first_bus + num_pivots
        here = [e for e in range(first_slot, len(slots)) if slots[e][0] < next_bus]
        next_slot = first_slot + len(here)
        n_after, slots_after = len(upward) - next_bus, len(slots) - next_slot

        left: list[int] = []
        right: list[int] = []
        diagonal: list[list[int]] = [[] for _ in range(n_after)]
        upper: list[list[int]] = [[] for _ in range(slots_after)]
        lower: list[list[int]] = [[] for _ in range(slots_after)]
        for i in range(first_bus, next_bus):
            for a in upward[i]:
                for b in upward[i]:
                    product = len(left)
                    left.append(slot_index[i, a] - first_slot)
                    right.append(slot_index[i, b] - first_slot)
                    if a == b:
                        diagonal[a - next_bus].append(product)
                    elif a < b:
                        upper[slot_index[a, b] - next_slot].append(product)
                    else:
                        lower[slot_index[b, a] - next_slot].append(product)

        pivot_of_slot = np.array([slots[e][0] - first_bus for e in here], np.int32)
        target_of_slot = np.array([slots[e][1] - next_bus for e in here], np.int32)
        fills = any(upper)
        levels.append(
            Level(
                num_pivots=num_pivots,
                num_slots=len(here),
                pivot_of_slot=pivot_of_slot,
                target_of_slot=target_of_slot,
                left=np.array(left, np.int32),
                right=np.array(right, np.int32),
                to_diagonal=GatherSum.build(diagonal),
                to_upper=GatherSum.build(upper) if fills else None,
                to_lower=GatherSum.build(lower) if fills else None,
                slots_to_bus=GatherSum.build(_group(target_of_slot, n_after)),
                slots_to_pivot=GatherSum.build(_group(pivot_of_slot, num_pivots)),
            )
        )
        first_bus, first_slot = next_bus, next_slot
    return tuple(levels)
