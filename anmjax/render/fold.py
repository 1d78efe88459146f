"""A long tree folded like a ribbon: bands of columns below each other, every second one upside down.

Turned so, the wires from one band to the next make nested bows at the side, and none crosses another.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

SCREEN = (930, 620)  # pixels that a diagram has, about
WORTH = 1.4  # how much larger all must become for a fold
GAP = 1.4  # between two bands
BOW = 0.8, 0.3  # how far out the innermost bow of a wire is, and how much farther each other one


class Fold(NamedTuple):
    """Where the cells of a tree go: column and row to x and y."""

    width: int  # columns in a band
    low: np.ndarray  # (n_band,) lowest row of each band
    high: np.ndarray  # (n_band,) highest row
    crossing: tuple[np.ndarray, ...]  # for each band the rows of the wires that go on to the next, ascending

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        bows = BOW[0] + BOW[1] * max((len(rows) for rows in self.crossing), default=0)
        sides = min(len(self.low) - 1, 2) * bows
        return self.width + 0.5 + sides, float((self.high - self.low + GAP).sum()) + 0.1

    def place(self, cells: np.ndarray) -> np.ndarray:
        """Places of cells, (n, 2) to (n, 2)."""
        band, column = np.divmod(cells[:, 0], self.width)
        return self._in_band(band, column, cells[:, 1])

    def _in_band(self, band: np.ndarray, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        turned = band % 2 == 1
        top = np.concatenate([[0], np.cumsum(self.high - self.low + GAP)])[band]
        x = np.where(turned, self.width - 1 - column, column)
        return np.stack([x, top + np.where(turned, self.high[band] - row, row - self.low[band])], axis=1)

    def wire(self, parent: np.ndarray, child: np.ndarray) -> np.ndarray:
        """The points of the wire between two cells: along the parent's column, then along the child's row."""
        cells = [parent, child] if parent[1] == child[1] else [parent, [parent[0], child[1]], child]
        points = self.place(np.array(cells))
        band = int(parent[0] // self.width)
        if child[0] // self.width == band:
            return points
        # The bow is as far out as there are wires within it.
        rows = self.crossing[band]
        inside = len(rows) - 1 - int(np.searchsorted(rows, child[1]))
        if band % 2:
            inside = len(rows) - 1 - inside
        side = self.width - 1 + BOW[0] + BOW[1] * inside
        x = self.width - 1 - side if band % 2 else side
        bow = [[x, points[-2, 1]], [x, points[-1, 1]]]
        return np.concatenate([points[:-1], bow, points[-1:]])


def best_fold(cells: np.ndarray, parent: np.ndarray, child: np.ndarray) -> Fold:
    """The fold that makes a tree largest on a screen; none if that gains little.

    Args:
      cells: (n_bus, 2) columns and rows, whole numbers.
      parent: (n_wire,) indices of buses.
      child: (n_wire,) indices of buses, each one column right of its parent.
    """
    columns = int(cells[:, 0].max()) + 1
    best = fold(cells, parent, child, columns)
    for bands in range(2, 9):
        other = fold(cells, parent, child, math.ceil(columns / bands))
        if _scale(other) > WORTH * _scale(best):
            best = other
    return best


def fold(cells: np.ndarray, parent: np.ndarray, child: np.ndarray, width: int) -> Fold:
    """The fold of a tree to so many columns; arguments as of ``best_fold``."""
    bands = cells[:, 0] // width
    # Wires take rows too: of a child, in the column of its parent.
    band = np.concatenate([bands, bands[parent]])
    row = np.concatenate([cells[:, 1], cells[child, 1]])
    number = int(bands.max()) + 1
    low, high = (np.array([pick(row[band == k]) for k in range(number)], int) for pick in (np.min, np.max))
    goes_on = bands[child] > bands[parent]
    crossing = tuple(np.unique(cells[child[goes_on & (bands[parent] == k)], 1]) for k in range(number - 1))
    return Fold(width, low, high, crossing)


def _scale(folded: Fold) -> float:
    """Pixels that a length of 1 has on a screen."""
    return min(space / (length + 1) for space, length in zip(SCREEN, folded.size, strict=True))
