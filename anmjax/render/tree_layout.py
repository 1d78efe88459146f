"""Places of the buses of a radial grid: the longest way runs straight, laterals leave it up and down.

A bus stands in the column of its distance from the root. A lateral leaves its bus along the bus's column and
turns into its own row there, so that no two wires cross.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Contour = dict[int, tuple[int, int]]  # column: lowest and highest row that is taken


def tree_layout(order: Sequence[int], parent: Sequence[int]) -> np.ndarray:
    """Columns and rows of a tree's buses.

    Args:
      order: the buses of the tree, parents before their children; the first is the root.
      parent: (n_bus,) of every bus the one that feeds it; that of the root is not read.

    Returns:
      (n_bus, 2) column and row; of buses outside the tree 0. No two buses of the tree share a place.
    """
    column, height = np.zeros(len(parent), int), np.zeros(len(parent), int)
    children: dict[int, list[int]] = {bus: [] for bus in order}
    for bus in order[1:]:
        column[bus] = column[parent[bus]] + 1
        children[parent[bus]].append(bus)
    for bus in reversed(order[1:]):
        height[parent[bus]] = max(height[parent[bus]], height[bus] + 1)

    row = np.zeros(len(parent), int)  # from the parent's, until all are known
    contours: dict[int, Contour] = {}
    for bus in reversed(order):
        straight, laterals = _longest_first(children[bus], height)
        taken = contours.pop(straight[0]) if straight else {}
        here = int(column[bus])
        taken[here] = (0, 0)
        # Short ones first, so that the vertical wires of long ones pass no more than these.
        for child in reversed(laterals):
            row[child] = _join(taken, contours.pop(child), here)
        contours[bus] = taken
    for bus in order[1:]:
        row[bus] += row[parent[bus]]
    return np.stack([column, row], axis=1)


def _longest_first(children: list[int], height: np.ndarray) -> tuple[list[int], list[int]]:
    """The child that goes straight on, if there is one, and the others, the longest first."""
    ordered = sorted(children, key=lambda child: -int(height[child]))
    return ordered[:1], ordered[1:]


def _join(taken: Contour, lateral: Contour, corner: int) -> int:
    """Puts a lateral on the nearer side of what is there already; returns its row."""
    lateral = {corner: (0, 0), **lateral}
    shared = [column for column in lateral if column in taken]
    below = max(taken[column][1] - lateral[column][0] for column in shared) + 1
    above = min(taken[column][0] - lateral[column][1] for column in shared) - 1
    shift = below if below <= -above else above
    for column, (low, high) in lateral.items():
        before = taken.get(column, (low + shift, high + shift))
        taken[column] = (min(before[0], low + shift), max(before[1], high + shift))
    return shift
