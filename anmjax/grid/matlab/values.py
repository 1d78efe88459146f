"""The values of a program, their operators, and how matrices are joined.

Numbers are float64, logicals bool and cells object arrays, all of two dimensions; strings are ``str``;
structs are dicts. No value is ever changed in place: variables share them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from anmjax.grid.matlab.limits import Unreadable, check_size


class DoubleQuoted(str):
    """A string in double quotes: an object of its own in MATLAB, characters in Octave."""


@dataclass(frozen=True)
class Unknown:
    """The value of what is not carried out: an error wherever it is used."""

    reason: str
    start: int = 0  # of the statement that assigned it, in the text
    stop: int = 0
    reported: bool = False  # whether the statement is a fault already


Value = np.ndarray | str | Mapping[str, "Value"] | Unknown


def numbers(value: Value) -> np.ndarray:
    """The value as float64, where it is of numbers or logicals."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.astype(np.float64, copy=False)
    raise Unreadable(f"{describe(value)} is no table of numbers")


def number(value: Value) -> float:
    """The value as a float, where it is one number."""
    table = numbers(value)
    if table.size != 1:
        raise Unreadable(f"{describe(value)} is not one number")
    return float(table[0, 0])


def logicals(value: Value) -> np.ndarray:
    """Whether entries are other than 0."""
    table = numbers(value)
    if np.isnan(table).any():
        raise Unreadable("NaN is neither true nor false")
    return table != 0


def is_true(value: Value) -> bool:
    """Whether a condition holds: all entries are other than 0, and there are some."""
    table = logicals(value)
    return table.size > 0 and bool(table.all())


def describe(value: Value) -> str:
    """What a value is, in words."""
    if isinstance(value, str):
        return "a string"
    if isinstance(value, Unknown):
        return f"an unknown value ({value.reason})"
    if isinstance(value, np.ndarray):
        kind = {"O": "cells", "b": "logicals"}.get(value.dtype.kind, "a table")
        return f"{kind} of shape {value.shape}"
    return "a struct"


def scalar(value: float) -> np.ndarray:
    """A number as a value."""
    return np.full((1, 1), value, np.float64)


def operate(operator: str, a: Value, b: Value) -> np.ndarray:
    """Applies an operator between operands, entry by entry; ones along a dimension are repeated.

    Raises:
      Unreadable: the shapes do not go together, the result would be complex, or a product, division or
        power is that of matrices.
    """
    x, y = numbers(a), numbers(b)
    shape = _common_shape(x.shape, y.shape)
    check_size(shape[0] * shape[1])
    if operator in ("&", "|"):
        if x.shape != y.shape and 0 in (x.size, y.size):
            raise Unreadable(f"'{operator}' of a number and an empty table is not read")
        p, q = logicals(x), logicals(y)
        return p & q if operator == "&" else p | q
    if operator in _COMPARISONS:
        return _COMPARISONS[operator](x, y)
    one = x.size == 1 or y.size == 1
    if operator == "*" and not one:
        raise Unreadable("a product of two matrices is not read, only '.*'")
    if operator == "/" and y.size != 1:
        raise Unreadable("a division by a matrix is not read, only './'")
    if operator == "^" and not (x.size == 1 and y.size == 1):
        raise Unreadable("a power of a matrix is not read, only '.^'")
    if operator in ("^", ".^") and np.any((x < 0) & (y != np.floor(y)) | (x < 0) & np.isinf(y)):
        raise Unreadable("a power of a negative number would be complex")
    with np.errstate(all="ignore"):  # what is not finite is reported where it reaches a table
        return _ARITHMETIC[operator.lstrip(".")](x, y)


_COMPARISONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "~=": np.not_equal,
}
_ARITHMETIC: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
}


def _common_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, int]:
    shape = []
    for m, n in zip(a, b, strict=True):
        if m != n and 1 not in (m, n):
            raise Unreadable(f"shapes {a} and {b} do not go together")
        shape.append(n if m == 1 else m)
    return shape[0], shape[1]


def sign(operator: str, value: Value) -> np.ndarray:
    """Applies a sign before an operand, or the transpose behind it."""
    if operator == "'":
        if not isinstance(value, np.ndarray):
            raise Unreadable(f"{describe(value)} has no transpose")
        return value.T
    if operator == "~":
        return ~logicals(value)
    return -numbers(value) if operator == "-" else numbers(value)


def whole_range(start: float, step: float, stop: float) -> np.ndarray:
    """The row ``start:step:stop``.

    Only whole numbers: MATLAB and Octave round other ranges differently.
    """
    if not (start == np.floor(start) and step == np.floor(step) and np.isfinite([start, step, stop]).all()):
        raise Unreadable("a range must be of whole numbers")
    if max(abs(start), abs(step), abs(stop)) > 2**52:
        raise Unreadable("a range must be of numbers up to 2^52")
    count = 0 if step == 0 else max(0, int((stop - start) // step) + 1)
    check_size(count)
    return (start + step * np.arange(count, dtype=np.float64))[np.newaxis]


def join(rows: list[list[Value]]) -> Value:
    """Joins the elements of a matrix ``[...]``.

    Raises:
      Unreadable: the shapes do not fit, or the kinds of value do not go together.
    """
    elements = [element for row in rows for element in row]
    if any(isinstance(element, str) for element in elements):
        if len(rows) != 1 or not all(type(element) is str for element in elements):
            raise Unreadable("strings are joined only with strings in single quotes, in one row")
        check_size(sum(len(element) for element in elements if isinstance(element, str)))
        return "".join(element for element in elements if isinstance(element, str))
    arrays = []
    for row in rows:
        line = []
        for element in row:
            if not isinstance(element, np.ndarray):
                raise Unreadable(f"{describe(element)} is no part of a matrix")
            line.append(element)
        arrays.append(line)
    kinds = {element.dtype for line in arrays for element in line}
    if len(kinds) > 1 and np.dtype(object) in kinds:
        raise Unreadable("cells and numbers are not joined in brackets")
    return _stack(arrays, np.dtype(np.float64) if len(kinds) != 1 else kinds.pop())


def _stack(rows: list[list[np.ndarray]], kind: np.dtype) -> np.ndarray:
    """Puts arrays side by side and rows upon each other; empty tables ``[]`` have no part in it."""
    elements = [element for row in rows for element in row]
    if any(element.dtype != kind for element in elements) and any(e.shape == (0, 0) for e in elements):
        raise Unreadable("logicals and an empty table are not joined")
    filled = [[element for element in row if element.shape != (0, 0)] for row in rows]
    filled = [row for row in filled if row]
    if not filled:
        return np.zeros((0, 0), kind)
    check_size(sum(element.size for element in elements))
    lines = []
    for row in filled:
        if len({len(element) for element in row}) > 1:
            raise Unreadable("the elements of a row must have the same number of rows")
        lines.append(np.hstack(row) if len(row) > 1 else row[0])
    widths = sorted({line.shape[1] for line in lines})
    if len(widths) > 1:
        listed = " or ".join(map(str, widths[:5]))
        raise Unreadable(f"the rows of a matrix must have the same number of columns, not {listed}")
    return np.vstack(lines).astype(kind, copy=False)
