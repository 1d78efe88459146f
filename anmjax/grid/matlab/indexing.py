"""Entries of a table: read, assigned and deleted by one or two indices, counted from 1 down the columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anmjax.grid.matlab.limits import Unreadable, check_size
from anmjax.grid.matlab.values import Value, describe

Positions = np.ndarray | None  # (n,) counted from 0; None for all along a dimension


def select(table: np.ndarray, indices: Sequence[Value | None]) -> np.ndarray:
    """Reads ``table(i)`` or ``table(i, j)``, where None stands for a colon.

    Raises:
      Unreadable: an index is no whole number within the table, or there are not one or two of them.
    """
    if len(indices) == 2:
        rows, columns = (
            np.arange(size) if index is None else _positions(index)
            for index, size in zip(indices, table.shape, strict=True)
        )
        check_size(len(rows) * len(columns))
        _check_within(rows, table.shape[0])
        _check_within(columns, table.shape[1])
        return table[np.ix_(rows, columns)]
    if len(indices) != 1:
        raise Unreadable(f"a table has one or two indices, not {len(indices)}")
    entries = table.reshape(-1, order="F")
    index = indices[0]
    if index is None:
        return entries[:, np.newaxis]
    positions = _positions(index)
    _check_within(positions, table.size)
    return entries[positions].reshape(_shape(table, index, len(positions)), order="F")


def _shape(table: np.ndarray, index: Value, count: int) -> tuple[int, int]:
    """The shape of ``table(index)``: that of the index, unless both are vectors."""
    assert isinstance(index, np.ndarray)
    shape = index.shape
    if index.dtype == bool:  # as if its positions had been found first
        shape = (0, 0) if index.size == 1 and count == 0 else (1, count) if shape[0] == 1 else (count, 1)
    if 1 in shape and 1 in table.shape and table.size != 1:
        return (1, count) if table.shape[0] == 1 else (count, 1)
    return shape[0], shape[1]


def _positions(index: Value) -> np.ndarray:
    """The positions that an index asks for, counted from 0."""
    if not isinstance(index, np.ndarray) or index.dtype == object:
        raise Unreadable(f"{describe(index)} is no index")
    if index.dtype == bool:
        if index.size == 0:
            raise Unreadable("an index of no logicals is not read")
        return np.flatnonzero(index.reshape(-1, order="F"))
    flat = index.reshape(-1, order="F")
    if not np.all((flat == np.floor(flat)) & (flat >= 1) & (flat <= 2**52)):
        raise Unreadable("an index must be a whole number, from 1")
    return flat.astype(np.int64) - 1


def _check_within(positions: np.ndarray, size: int) -> None:
    if len(positions) and positions.max() >= size:
        raise Unreadable(f"an index must be one of 1 to {size}")


def store(table: np.ndarray, indices: Sequence[Value | None], value: np.ndarray) -> np.ndarray:
    """The table after ``table(i) = value`` or ``table(i, j) = value``; it grows where an index lies beyond.

    Raises:
      Unreadable: the entries cannot hold the value, or an index is not read.
    """
    if table.dtype == bool and value.dtype != bool:
        raise Unreadable("numbers are not stored among logicals")
    if (table.dtype == object) != (value.dtype == object):
        raise Unreadable("cells hold only cells, and numbers only numbers")
    if len(indices) == 2:
        return _store_block(table, indices, value)
    if len(indices) != 1:
        raise Unreadable(f"a table has one or two indices, not {len(indices)}")
    index = indices[0]
    count = table.size if index is None else len(positions := _positions(index))
    if value.size not in (1, count):
        raise Unreadable(f"{count} entries cannot hold {value.size} values")
    if index is not None and count and (needed := int(positions.max()) + 1) > table.size:
        table = _grown_vector(table, needed)
    entries = table.reshape(-1, order="F").copy()
    entries[slice(None) if index is None else positions] = value.reshape(-1, order="F")
    return entries.reshape(table.shape, order="F")


def _store_block(table: np.ndarray, indices: Sequence[Value | None], value: np.ndarray) -> np.ndarray:
    positions = []
    for axis, index in enumerate(indices):
        if index is not None:
            positions.append(_positions(index))
        else:  # a colon into [] takes what the value has
            positions.append(np.arange(value.shape[axis] if table.shape == (0, 0) else table.shape[axis]))
    shape = len(positions[0]), len(positions[1])
    check_size(shape[0] * shape[1])
    if value.size != 1 and [n for n in shape if n != 1] != [n for n in value.shape if n != 1]:
        raise Unreadable(f"{shape[0]} x {shape[1]} entries cannot hold {value.shape} values")
    needed = [
        max(size, int(p.max()) + 1 if len(p) else 0) for size, p in zip(table.shape, positions, strict=True)
    ]
    result = _resized(table, (needed[0], needed[1])).copy()
    if shape[0] and shape[1]:
        result[np.ix_(*positions)] = value if value.size == 1 else value.reshape(shape, order="F")
    return result


def _grown_vector(table: np.ndarray, needed: int) -> np.ndarray:
    if table.shape == (0, 0) or table.shape[0] == 1:
        return _resized(table, (1, needed))
    if table.shape[1] == 1 and table.size:
        return _resized(table, (needed, 1))
    raise Unreadable(f"an index must be one of 1 to {table.size}")


def _resized(table: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The table with rows and columns added: of zeros, of cells with nothing in them."""
    if shape == table.shape:
        return table
    check_size(shape[0] * shape[1])
    larger = np.zeros(shape, table.dtype)
    if table.dtype == object:
        for position in np.ndindex(shape):
            larger[position] = np.zeros((0, 0))
    larger[: table.shape[0], : table.shape[1]] = table
    return larger


def delete(table: np.ndarray, indices: Sequence[Value | None]) -> np.ndarray:
    """The table after ``table(i, :) = []``, ``table(:, j) = []`` or, of a vector, ``table(i) = []``.

    Raises:
      Unreadable: an index is not read, or what remains would be no table.
    """
    if len(indices) == 2 and [index is None for index in indices].count(True) == 1:
        axis = 1 if indices[0] is None else 0
    elif len(indices) == 1 and 1 in table.shape and table.size > 1:
        axis = 1 if table.shape[0] == 1 else 0
    else:
        raise Unreadable("only rows, columns or entries of a vector are deleted")
    index = indices[axis] if len(indices) == 2 else indices[0]
    if index is None:
        raise Unreadable("a vector is not deleted as a whole")
    positions = _positions(index)
    _check_within(positions, table.shape[axis])
    return np.delete(table, positions, axis)
