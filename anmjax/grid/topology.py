"""Which buses hang together."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np


def islands(
    n_bus: int, from_bus: Sequence[int] | np.ndarray, to_bus: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Number of the island of each bus, (n_bus,) int: buses with a path of branches between them share one.

    Args:
      n_bus: number of buses.
      from_bus: (n_branch,) bus indices.
      to_bus: (n_branch,) bus indices.
    """
    from scipy import sparse  # not before it is needed: it takes a while to import

    ends = np.asarray(from_bus, int), np.asarray(to_bus, int)
    graph = sparse.coo_array((np.ones(len(ends[0])), ends), (n_bus, n_bus))
    return np.asarray(sparse.csgraph.connected_components(graph, directed=False)[1])


@functools.lru_cache(maxsize=64)
def on_loops(
    n_bus: int,
    slacks: tuple[int, ...],
    from_bus: tuple[int, ...],
    to_bus: tuple[int, ...],
    closed: tuple[bool, ...],
) -> tuple[int, ...]:
    """Branches in service without which every bus still has a path to a slack.

    Args:
      n_bus: number of buses.
      slacks: bus indices of the slacks.
      from_bus: (n_branch,) bus indices.
      to_bus: (n_branch,) bus indices.
      closed: (n_branch,) whether they are in service.
    """
    up = np.array(closed)
    # Slacks hold their voltages, each by itself: one bus, as far as paths to them go.
    merged = np.where(np.isin(np.arange(n_bus), slacks), slacks[0], np.arange(n_bus))
    ends = merged[np.array([from_bus, to_bus])]

    def count(branches: np.ndarray) -> int:
        return int(islands(n_bus, *ends[:, branches]).max())

    whole = count(up)
    each = np.eye(len(closed), dtype=bool)
    return tuple(int(k) for k in np.flatnonzero(up) if count(up & ~each[k]) == whole)
