"""Network dicts that the tests of this folder start from."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from anmjax.grid.tables import TABLES

# Every kind of device, with every column given where it applies.
FULL: dict[str, Any] = {
    "baseMVA": 10.0,
    "bus": [
        [0, 0, 132.0, 1.0, 1.0],
        [1, 1, 33.0, 1.1, 0.9],
        [2, 1, 33.0, 1.05, 0.95],
        [3, 1, 11.0, 1.1, 0.9],
    ],
    "device": [
        [0, 0, 0, None, 90.0, -80.0, 70.0, -60.0, 50.0, None, 40.0, -30.0, None, None, None],
        [1, 1, -1, 0.3, 0.0, -7.0, None, None, None, None, None, None, None, None, None],
        [2, 2, 1, None, 9.0, 1.0, 6.0, -5.0, 7.0, None, 3.0, -2.0, None, None, None],
        [3, 2, 2, None, 8.0, 0.0, 4.0, -4.0, 6.0, None, 2.0, -2.0, None, None, None],
        [4, 3, 3, None, 5.0, -6.0, 4.0, -4.0, 3.0, -3.0, 2.0, -2.0, 20.0, 1.0, 0.9],
    ],
    "branch": [
        [0, 1, 0.01, 0.1, 0.02, 30.0, 1.02, 30.0],
        [1, 2, 0.02, 0.05, 0.0, 20.0, 1.0, 0.0],
        [2, 3, 0.03, 0.04, 0.01, 10.0, 1.0, 0.0],
    ],
}

# The same grid with every value left out that has a default.
SPARSE: dict[str, Any] = {
    "baseMVA": 7.0,
    "bus": [[0, 0, 132.0, 1.0, None], *FULL["bus"][1:]],
    "device": [
        [0, 0, 0, *12 * [None]],
        [1, 1, -1, 0.3, *11 * [None]],
        [2, 2, 1, *12 * [None]],
        [3, 2, 2, *12 * [None]],
        [4, 3, 3, *9 * [None], 20.0, None, None],
        [5, 3, -1, -0.4, None, -3.0, *9 * [None]],
        [6, 3, 1, None, 8.0, None, 5.0, -4.0, *7 * [None]],
        [7, 3, 3, None, 8.0, -9.0, 5.0, -4.0, *4 * [None], 13.0, None, None],
    ],
    "branch": [
        [0, 1, 0.01, None, None, None, None, None],
        [1, 2, None, 0.05, None, None, None, None],
        [2, 3, 0.03, 0.04, None, None, None, None],
    ],
}

PLACE = {table.name: {name: i for i, name in enumerate(table.names)} for table in TABLES}


def changed(*changes: tuple[str, int, str, Any], base: dict[str, Any] = FULL) -> dict[str, Any]:
    """Copies a network dict and sets cells, given as (table, row, column, value)."""
    d = copy.deepcopy(base)
    for table, row, column, value in changes:
        d[table][row][PLACE[table][column]] = value
    return d


def as_arrays(d: dict[str, Any]) -> dict[str, Any]:
    """The dict as gym-anm wants it: object arrays."""
    return {"baseMVA": d["baseMVA"], **{t.name: np.array(d[t.name], dtype=object) for t in TABLES}}
