"""Which buses hang together."""

from __future__ import annotations

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
