"""Symbolic elimination: everything about the linear solver that depends on the topology alone.

Newton's Jacobian has one 2x2 block per bus and one per connected bus pair, in both directions.
Buses are eliminated in *levels*: sets of buses of low degree, no two of them neighbours, so that a
level is eliminated by a handful of whole-array operations and the number of levels grows like a
logarithm of the network's size on feeders. Computed once in NumPy; the numeric part is in
``levels.py``, level by level, and in ``loops.py``, block by block.

Reference: George & Liu, *Computer Solution of Large Sparse Positive Definite Systems* (1981),
ch. 5 (minimum degree); Luby, "A simple parallel algorithm for the maximal independent set problem",
SIAM J. Comput. 15 (1986) (elimination of independent sets).
"""

from __future__ import annotations

import dataclasses
import functools
import heapq
import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from anmjax.lanes.gather import GatherSum

# Degrees that a level more is worth, see ``eliminate``.
LEVEL_WEIGHT = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Level:
    """One level of the elimination.

    Its entries of the matrix are consecutive: the diagonal blocks D of its pivots i, then for every *slot*,
    a pivot i and a later neighbour a, the blocks U = J[i, a], then in the same order the blocks
    L = J[a, i].
    """

    pivots: slice
    slots: slice
    entries: slice
    pivot_of_slot: np.ndarray  # (num_slots,) counted from the level's first pivot
    target_of_slot: np.ndarray  # (num_slots,) bus a
    left: np.ndarray  # (num_products,) slot (i, a) of the product L[a, i] W[i, b], counted from the first
    right: np.ndarray  # (num_products,) slot (i, b)
    updates: GatherSum | None  # products of earlier levels into the level's entries
    forward: GatherSum | None  # slots of earlier levels into the pivots: forward substitution
    backward: GatherSum | None  # the level's slots into their pivots: back substitution


@dataclasses.dataclass(frozen=True, eq=False)
class SolverPlan:
    """Elimination plan of one topology. Buses are renumbered: pivots by level, the slacks last.

    A slack is a bus whose voltage is given; the others are unknown.
    """

    order: np.ndarray  # (n_bus,) old index of each new bus
    position: np.ndarray  # (n_bus,) new index of each old bus
    is_pv: np.ndarray  # (n_unknown,) bool, in the new numbering
    nearest_slack: np.ndarray  # (n_unknown,) which of the slacks is the fewest branches away
    connected: bool  # every bus has a path to a slack when all branches are in service
    # An edge is an ordered pair of connected buses (tail, head), parallel branches merged: first all pairs
    # one way, then in the same order all the other way.
    edge_tail: np.ndarray  # (n_edge,) new index
    edge_head: np.ndarray  # (n_edge,) new index
    branch_to_edge: GatherSum  # branch ends, [from ends, to ends], into the edges that leave them
    branch_to_bus: GatherSum  # branch ends, [from ends, to ends], into buses
    edge_to_bus: GatherSum  # edges into their tails
    entry_source: GatherSum  # edges into the levels' entries and one more; diagonal, fill and that get none
    levels: tuple[Level, ...]
    branches: tuple[tuple[int, ...], tuple[int, ...]]  # from and to buses, old indices

    @property
    def n_unknown(self) -> int:
        """Number of buses but the slacks."""
        return len(self.is_pv)

    @property
    def n_slack(self) -> int:
        """Number of slacks."""
        return len(self.order) - len(self.is_pv)


def _group(keys: Iterable[int], size: int) -> list[list[int]]:
    lists: list[list[int]] = [[] for _ in range(size)]
    for i, key in enumerate(keys):
        lists[key].append(i)
    return lists


def eliminate(
    neighbours: dict[int, set[int]], level_weight: float = LEVEL_WEIGHT
) -> tuple[list[list[int]], dict[int, set[int]]]:
    """Eliminates a graph, vertices of low degree and of low level first.

    A vertex is one level above the highest of the vertices whose elimination changed its neighbourhood, so
    that no two vertices of a level are neighbours and a level can be eliminated at once. Strict minimum
    degree would walk along a feeder from its ends, one bus a level; weighing the level in makes the depth
    grow like a logarithm, for a little fill.

    Args:
      neighbours: adjacency of an undirected graph; used up.
      level_weight: degrees that a level more is worth.

    Returns:
      Vertices by level, and the later neighbours of every vertex, fill included.
    """
    level = dict.fromkeys(neighbours, 0)
    later: dict[int, set[int]] = {}

    def key(i: int) -> tuple[float, int, int]:
        return len(neighbours[i]) + level_weight * level[i], level[i], i

    queue = [key(i) for i in neighbours]
    heapq.heapify(queue)
    while neighbours:
        entry = heapq.heappop(queue)
        i = entry[-1]
        if i in later or entry != key(i):
            continue  # eliminated, or changed and queued again since
        around = later[i] = neighbours.pop(i)
        for a in around:
            neighbours[a] |= around
            neighbours[a] -= {a, i}
            level[a] = max(level[a], level[i] + 1)
            heapq.heappush(queue, key(a))
    levels: list[list[int]] = [[] for _ in range(1 + max(level.values(), default=-1))]
    for i in later:
        levels[level[i]].append(i)
    return levels, later


@functools.lru_cache(maxsize=256)
def solver_plan(
    n_bus: int,
    slacks: tuple[int, ...],
    from_bus: tuple[int, ...],
    to_bus: tuple[int, ...],
    pv: tuple[int, ...] = (),
    level_weight: float = LEVEL_WEIGHT,
) -> SolverPlan:
    """Plans the solver of a topology.

    Args:
      n_bus: number of buses.
      slacks: (n_slack,) indices of the slack buses; they keep this order.
      from_bus: (n_branch,) bus index.
      to_bus: (n_branch,) bus index.
      pv: indices of the PV buses.
      level_weight: see ``eliminate``.

    Returns:
      The plan, cached by topology.
    """
    ends = [*zip(from_bus, to_bus, strict=True), *zip(to_bus, from_bus, strict=True)]
    pairs = sorted({(min(end), max(end)) for end in ends})
    edges = [*pairs, *((t, f) for f, t in pairs)]
    held = set(slacks)
    neighbours: dict[int, set[int]] = {i: set() for i in range(n_bus) if i not in held}
    for tail, head in edges:
        if tail not in held and head not in held:
            neighbours[tail].add(head)
    levels, later = eliminate(neighbours, level_weight)
    order = np.array([i for level in levels for i in level] + list(slacks), np.int32)
    position = np.argsort(order).astype(np.int32)

    unknown = order[: n_bus - len(slacks)]
    nearest = _nearest(n_bus, slacks, edges)

    edge_index = {(position[t], position[h]): e for e, (t, h) in enumerate(edges)}
    upward = [sorted(position[a] for a in later[i]) for i in unknown]
    pivots = _runs(len(level) for level in levels)
    slots = _slots(pivots, upward)
    entries = _entries(pivots, slots)
    edge_tail = position[[tail for tail, _ in edges]]
    return SolverPlan(
        order=order,
        position=position,
        is_pv=np.isin(unknown, pv),
        nearest_slack=np.maximum(nearest[unknown], 0),
        connected=bool((nearest >= 0).all()),
        edge_tail=edge_tail,
        edge_head=position[[head for _, head in edges]],
        branch_to_edge=GatherSum.build(
            _group((edge_index[position[t], position[h]] for t, h in ends), len(edges))
        ),
        branch_to_bus=GatherSum.build(_group((position[tail] for tail, _ in ends), n_bus)),
        edge_to_bus=GatherSum.build(_group(edge_tail, n_bus)),
        entry_source=GatherSum.build([*([edge_index[e]] if e in edge_index else [] for e in entries), []]),
        levels=_plan_levels(pivots, slots, entries),
        branches=(from_bus, to_bus),
    )


def plan_of_least_fill(plan: SolverPlan) -> SolverPlan:
    """The plan of the same topology by degree alone, for eliminations that go bus by bus anyway.

    The elimination of a radial network then fills in nothing.
    """
    slacks, pv = plan.order[plan.n_unknown :].tolist(), plan.order[: plan.n_unknown][plan.is_pv].tolist()
    return solver_plan(len(plan.order), tuple(slacks), *plan.branches, tuple(pv), 0.0)


def _nearest(n_bus: int, slacks: tuple[int, ...], edges: list[tuple[int, int]]) -> np.ndarray:
    """Which of the slacks is the fewest branches away from each bus, (n_bus,), -1 where none has a path."""
    from scipy import sparse  # not before it is needed: it takes a while to import

    tail, head = np.array(edges, np.int32).reshape(-1, 2).T
    graph = sparse.csr_array((np.ones(len(tail)), (tail, head)), (n_bus, n_bus))
    _, _, source = sparse.csgraph.dijkstra(
        graph, indices=list(slacks), unweighted=True, min_only=True, return_predecessors=True
    )
    number = np.full(n_bus, -1, np.int32)
    number[list(slacks)] = np.arange(len(slacks))
    return np.where(source < 0, -1, number[np.maximum(source, 0)])


def _slots(pivots: list[slice], upward: list[list[int]]) -> list[list[tuple[int, int]]]:
    """Pivots and their later neighbours, level by level."""
    return [[(i, a) for i in range(own.start, own.stop) for a in upward[i]] for own in pivots]


def _entries(pivots: list[slice], slots: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Block positions (row, column) of the factors, level by level."""
    entries: list[tuple[int, int]] = []
    for own, pairs in zip(pivots, slots, strict=True):
        entries += [(i, i) for i in range(own.start, own.stop)] + pairs + [(a, i) for i, a in pairs]
    return entries


def _plan_levels(
    pivots: list[slice], slots: list[list[tuple[int, int]]], entries: list[tuple[int, int]]
) -> tuple[Level, ...]:
    """Index lists of every level: who updates what, seen from the block that is updated."""
    index = {entry: e for e, entry in enumerate(entries)}
    updates: list[list[int]] = [[] for _ in entries]
    passed: list[list[int]] = [[] for _ in range(pivots[-1].stop if pivots else 0)]
    num_slots = num_entries = num_products = 0
    levels = []
    for buses, pairs in zip(pivots, slots, strict=True):
        groups = _group((i - buses.start for i, _ in pairs), buses.stop - buses.start)
        products = [(e, f) for group in groups for e in group for f in group]
        own = slice(num_entries, num_entries + len(groups) + 2 * len(pairs))
        levels.append(
            Level(
                pivots=buses,
                slots=slice(num_slots, num_slots + len(pairs)),
                entries=own,
                pivot_of_slot=np.array([i - buses.start for i, _ in pairs], np.int32),
                target_of_slot=np.array([a for _, a in pairs], np.int32),
                left=np.array([e for e, _ in products], np.int32),
                right=np.array([f for _, f in products], np.int32),
                updates=_unless_empty(updates[own]),
                forward=_unless_empty(passed[buses]),
                backward=_unless_empty(groups),
            )
        )
        for product, (e, f) in enumerate(products, num_products):
            updates[index[pairs[e][1], pairs[f][1]]].append(product)
        for e, (_, a) in enumerate(pairs, num_slots):
            passed[a].append(e)
        num_slots, num_entries = num_slots + len(pairs), own.stop
        num_products += len(products)
    return tuple(levels)


def _runs(sizes: Iterable[int]) -> list[slice]:
    """Consecutive slices of the given sizes."""
    ends = np.cumsum([0, *sizes])
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]


def _unless_empty(lists: Sequence[Sequence[int]]) -> GatherSum | None:
    return GatherSum.build(lists) if any(lists) else None
