"""Places of the buses of a meshed grid: as far from each other as the number of branches between them.

    minimise  sum over i < j of  (|x_i - x_j| - d_ij)^2 / d_ij^2 ,

d_ij the least number of branches between two buses, by majorisation: every bus moves to the weighted mean of
where the others would have it. The start is spectral: two eigenvectors of -J D^2 J / 2, classical scaling.

Reference: Gansner, Koren & North, "Graph drawing by stress majorization", Graph Drawing 2004.
"""

from __future__ import annotations

import numpy as np

NUM_ITERS = 120
LEAST_DISTANCE = 0.7  # of two buses, in lengths of a branch


def mesh_layout(n_bus: int, ends: np.ndarray) -> np.ndarray:
    """Places of the buses of a connected grid.

    Args:
      n_bus: number of buses.
      ends: (n_branch, 2) bus indices.

    Returns:
      (n_bus, 2), a branch some 1 long; no two buses nearer to each other than ``LEAST_DISTANCE``.
    """
    from scipy import sparse

    if n_bus == 1:
        return np.zeros((1, 2))
    graph = sparse.coo_array((np.ones(len(ends)), tuple(ends.T)), (n_bus, n_bus)).tocsr()
    distance = sparse.csgraph.shortest_path(graph, directed=False, unweighted=True)
    place = _scaled(distance)
    weight = 1 / np.where(distance > 0, distance, np.inf) ** 2
    total = weight.sum(1)[:, None]
    for _ in range(NUM_ITERS):
        between = np.linalg.norm(place[:, None] - place[None], axis=-1)
        pull = weight * distance / np.maximum(between, 1e-3)
        place = (weight @ place + pull.sum(1)[:, None] * place - pull @ place) / total
    return _apart(_level(place))


def _scaled(distance: np.ndarray) -> np.ndarray:
    """Classical scaling; buses that it cannot tell apart get places of their own on a spiral."""
    centred = distance**2 - (distance**2).mean(0) - (distance**2).mean(1)[:, None] + (distance**2).mean()
    values, vectors = np.linalg.eigh(-centred / 2)
    place = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 0))
    turn = 2.4 * np.arange(len(place))
    spiral = np.stack([np.cos(turn), np.sin(turn)], 1) * np.sqrt(np.arange(len(place)) / len(place))[:, None]
    return place + 0.3 * spiral


def _level(place: np.ndarray) -> np.ndarray:
    """Turned so that it is widest from left to right."""
    place = place - place.mean(0)
    return place @ np.linalg.svd(place, full_matrices=False)[2].T


def _apart(place: np.ndarray) -> np.ndarray:
    """Pushes apart buses that are too near each other; scales all where that does not suffice."""
    from scipy.spatial import cKDTree

    for _ in range(100):
        pairs = cKDTree(place).query_pairs(LEAST_DISTANCE, output_type="ndarray")
        if not len(pairs):
            return place
        first, second = pairs.T
        gap = place[second] - place[first]
        length = np.linalg.norm(gap, axis=1, keepdims=True)
        push = 0.52 * (LEAST_DISTANCE - length) * gap / np.maximum(length, 1e-9)
        place = place.copy()
        np.add.at(place, first, -push)
        np.add.at(place, second, push)
    nearest = cKDTree(place).query(place, k=2)[0][:, 1].min()
    return place * max(1, LEAST_DISTANCE / max(nearest, 1e-9))
