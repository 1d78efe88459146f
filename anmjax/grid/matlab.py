"""Reads the arithmetic that MATPOWER case files use: a small part of MATLAB, and nothing is executed.

A reader of statements such as ``mpc.bus(:, [PD, QD]) = mpc.bus(:, [PD, QD]) / 1e3``: recursive descent over
numbers, names, fields of the case, indices, matrices and the operators ``+ - * / ^`` (with and without a
dot), plus a few functions. Values are two-dimensional float arrays. Whatever else a statement holds raises
``Unreadable``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

# Strings are values that no arithmetic takes; a quote after an operand (a transpose) is no token at all.
_TOKEN = re.compile(
    r"(?P<space>[ \t]+)|(?P<newline>\n)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z]\w*(?:\.[A-Za-z]\w*)*)"
    r"|(?P<string>'(?:[^'\n]|'')*'|\"[^\"\n]*\")"
    r"|(?P<op>\.\*|\./|\.\^|[-+*/^()\[\],;:=])"
)
_CONSTANTS = {"Inf": np.inf, "inf": np.inf, "NaN": np.nan, "nan": np.nan, "pi": np.pi}
_FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sqrt": np.sqrt,
    "abs": np.abs,
}
# What MATPOWER's functions of these names return: the columns of its tables, counted from 1.
_INDEX_FUNCTIONS = {
    "idx_bus": (
        "PQ PV REF NONE BUS_I BUS_TYPE PD QD GS BS BUS_AREA VM VA BASE_KV ZONE VMAX VMIN LAM_P LAM_Q "
        "MU_VMAX MU_VMIN",
        (1, 2, 3, 4, *range(1, 18)),
    ),
    "idx_brch": (
        "F_BUS T_BUS BR_R BR_X BR_B RATE_A RATE_B RATE_C TAP SHIFT BR_STATUS PF QF PT QT MU_SF MU_ST "
        "ANGMIN ANGMAX MU_ANGMIN MU_ANGMAX",
        (*range(1, 12), *range(14, 20), 12, 13, 20, 21),
    ),
    "idx_gen": (
        "GEN_BUS PG QG QMAX QMIN VG MBASE GEN_STATUS PMAX PMIN MU_PMAX MU_PMIN MU_QMAX MU_QMIN PC1 PC2 "
        "QC1MIN QC1MAX QC2MIN QC2MAX RAMP_AGC RAMP_10 RAMP_30 RAMP_Q APF",
        (*range(1, 11), *range(22, 26), *range(11, 22)),
    ),
}


class Unreadable(ValueError):
    """Raised for a statement beyond the part of MATLAB that is read; the message says what is."""


class Workspace:
    """The variables of a case file: ``values["mpc.bus"]``, ``values["Vbase"]``, all of them 2-D arrays."""

    def __init__(self) -> None:
        self.values: dict[str, np.ndarray | str] = {}

    def run(self, statement: str) -> None:
        """Carries out assignments, separated by semicolons, commas or line ends.

        Raises:
          Unreadable: the text holds something else; what was assigned before it stays.
        """
        if statement.strip(" \t\n;") == "define_constants":
            for function in _INDEX_FUNCTIONS:
                self._define_columns(function, None)
            return
        reader = _Reader(statement, self.values)
        while not reader.at_end():
            self._assign(reader)

    def _assign(self, reader: _Reader) -> None:
        if reader.peek() == "[":
            names = reader.names()
            reader.expect("=")
            self._define_columns(reader.name(), names)
            reader.end_statement()
            return
        target = reader.name()
        index = reader.indices(self._shape(target)) if reader.peek() == "(" else None
        reader.expect("=")
        value = reader.expression()
        reader.end_statement()
        if index is None:
            self.values[target] = value
            return
        table = self.values[target]
        if isinstance(value, str) or isinstance(table, str):
            raise Unreadable("strings cannot be indexed")
        if value.shape not in ((1, 1), (len(index[0]), len(index[1]))):
            raise Unreadable(f"{len(index[0])} x {len(index[1])} entries cannot hold {value.shape} values")
        table = table.copy()
        table[np.ix_(*index)] = value
        self.values[target] = table

    def _shape(self, target: str) -> tuple[int, int]:
        value = self.values.get(target)
        if value is None or isinstance(value, str):
            raise Unreadable(f"{target} is no table at this point")
        rows, columns = value.shape
        return rows, columns

    def _define_columns(self, function: str, names: list[str] | None) -> None:
        if function not in _INDEX_FUNCTIONS:
            raise Unreadable(f"only {', '.join(_INDEX_FUNCTIONS)} may return several values, not {function}")
        columns, numbers = _INDEX_FUNCTIONS[function]
        names = columns.split() if names is None else names
        if len(names) > len(numbers):
            raise Unreadable(f"{function} returns {len(numbers)} values, not {len(names)}")
        # Like MATLAB by position: the names are the file's own.
        for name, number in zip(names, numbers, strict=False):
            self.values[name] = np.full((1, 1), float(number))


class _Reader:
    """Recursive descent over the tokens of one statement."""

    def __init__(self, text: str, values: Mapping[str, np.ndarray | str]) -> None:
        self._values = values
        self._tokens: list[tuple[str, str, bool]] = []  # kind, text, whether a space came before
        self._next = 0
        self._in_matrix = False
        position, spaced = 0, False
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise Unreadable(f"{text[position]!r} is not read")
            if match.lastgroup != "space":
                self._tokens.append((match.lastgroup, match.group(), spaced))
            spaced = match.lastgroup == "space"
            position = match.end()
        self._tokens.append(("end", "", True))

    def at_end(self) -> bool:
        while self.peek() in (";", ",", "\n"):
            self._next += 1
        return self._tokens[self._next][0] == "end"

    def peek(self) -> str:
        return self._tokens[self._next][1]

    def expect(self, text: str) -> None:
        if self.peek() != text:
            raise Unreadable(f"{text!r} was expected, not {self.peek() or 'the end'!r}")
        self._next += 1

    def name(self) -> str:
        kind, text, _ = self._tokens[self._next]
        if kind != "name":
            raise Unreadable(f"a name was expected, not {text or 'the end'!r}")
        self._next += 1
        return text

    def names(self) -> list[str]:
        """Reads ``[NAME, NAME NAME]``."""
        self.expect("[")
        names = []
        while self.peek() != "]":
            if self.peek() in (",", "\n"):
                self._next += 1
            else:
                names.append(self.name())
        self.expect("]")
        return names

    def end_statement(self) -> None:
        if self._tokens[self._next][0] != "end" and self.peek() not in (";", ",", "\n"):
            raise Unreadable(f"{self.peek()!r} is not expected here")

    def expression(self) -> np.ndarray | str:
        """Reads a string, or sums of products of powers."""
        if self._tokens[self._next][0] == "string":
            self._next += 1
            return self._tokens[self._next - 1][1][1:-1]
        return self._sum()

    def indices(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Reads ``(rows, columns)``, counted from 1, as positions counted from 0."""
        self.expect("(")
        rows = self._index(shape[0])
        self.expect(",")
        columns = self._index(shape[1])
        self.expect(")")
        return rows, columns

    def _index(self, size: int) -> np.ndarray:
        if self.peek() == ":":
            self._next += 1
            return np.arange(size)
        inside, self._in_matrix = self._in_matrix, False
        first = self._sum()
        if self.peek() == ":":
            self._next += 1
            ends = _scalar(first), _scalar(self._sum())
            if not 1 <= ends[0] <= ends[1] <= size:  # before a range of any length is made
                raise Unreadable(f"a range must lie in 1 to {size}")
            first = np.arange(ends[0], ends[1] + 1)
        self._in_matrix = inside
        index = first.ravel()
        if not np.all((index == np.floor(index)) & (index >= 1) & (index <= size)):
            raise Unreadable(f"an index must be one of 1 to {size}")
        return index.astype(int) - 1

    def _sum(self) -> np.ndarray:
        value = self._product()
        while self.peek() in ("+", "-") and not self._starts_element():
            operator = self._take()
            other = self._product()
            value = _combine(np.add if operator == "+" else np.subtract, value, other)
        return value

    def _product(self) -> np.ndarray:
        value = self._signed()
        while self.peek() in ("*", "/", ".*", "./"):
            operator = self._take()
            other = self._signed()
            if operator == "*" and value.size > 1 and other.size > 1:
                raise Unreadable("a product of two matrices is not read, only '.*'")
            if operator == "/" and other.size > 1:
                raise Unreadable("a division by a matrix is not read, only './'")
            value = _combine(np.multiply if "*" in operator else np.divide, value, other)
        return value

    def _signed(self) -> np.ndarray:
        if self.peek() in ("+", "-"):  # binds less than a power: -2^2 is -4
            return -self._signed() if self._take() == "-" else self._signed()
        return self._power()

    def _power(self) -> np.ndarray:
        value = self._operand()
        while self.peek() in ("^", ".^"):
            operator = self._take()
            negative = self.peek() in ("+", "-") and self._take() == "-"
            exponent = self._operand()
            if operator == "^" and (value.size > 1 or exponent.size > 1):
                raise Unreadable("a power of a matrix is not read, only '.^'")
            value = _combine(np.power, value, -exponent if negative else exponent)
        return value

    def _operand(self) -> np.ndarray:
        kind, text, _ = self._tokens[self._next]
        if kind == "number":
            self._next += 1
            return np.full((1, 1), float(text))
        if text == "(":
            return self._parenthesis()
        if text == "[":
            return self._matrix()
        name = self.name()
        # Within a matrix, a parenthesis after a space opens the next element.
        called = self.peek() == "(" and not (self._in_matrix and self._tokens[self._next][2])
        if name in self._values:
            value = self._values[name]
            if isinstance(value, str):
                raise Unreadable(f"{name} is a string")
            if not called:
                return value
            rows, columns = value.shape
            return value[np.ix_(*self.indices((rows, columns)))]
        if name in _FUNCTIONS and called:
            with np.errstate(invalid="ignore"):  # NaN is reported where it reaches a table
                return _FUNCTIONS[name](self._parenthesis())
        if name in _CONSTANTS and not called:
            return np.full((1, 1), _CONSTANTS[name])
        raise Unreadable(f"{name} is not known")

    def _parenthesis(self) -> np.ndarray:
        inside, self._in_matrix = self._in_matrix, False
        self.expect("(")
        value = self._sum()
        self.expect(")")
        self._in_matrix = inside
        return value

    def _matrix(self) -> np.ndarray:
        inside, self._in_matrix = self._in_matrix, True
        self.expect("[")
        rows: list[list[np.ndarray]] = [[]]
        while self.peek() != "]":
            if self.peek() in (";", "\n"):
                self._next += 1
                rows.append([])
            elif self.peek() == ",":
                self._next += 1
            else:
                rows[-1].append(self._sum())
        self.expect("]")
        self._in_matrix = inside
        filled = [row for row in rows if row]
        if not filled:
            return np.zeros((0, 0))
        try:
            return np.vstack([np.hstack(row) for row in filled])
        except ValueError:
            raise Unreadable("the rows of a matrix must have the same number of columns") from None

    def _starts_element(self) -> bool:
        """Whether a sign within a matrix belongs to the next element: ``[1 -2]``, unlike ``[1 - 2]``."""
        return self._in_matrix and self._tokens[self._next][2] and not self._tokens[self._next + 1][2]

    def _take(self) -> str:
        self._next += 1
        return self._tokens[self._next - 1][1]


def _combine(
    operation: Callable[[np.ndarray, np.ndarray], np.ndarray], a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """Applies an operation entry by entry, to equal shapes or a matrix and a scalar."""
    if a.shape != b.shape and a.size != 1 and b.size != 1:
        raise Unreadable(f"shapes {a.shape} and {b.shape} do not go together")
    with np.errstate(all="ignore"):  # what is not finite is reported where it reaches a table
        return operation(a, b)


def _scalar(value: np.ndarray) -> float:
    if value.size != 1:
        raise Unreadable("an end of a range must be one number")
    return float(value[0, 0])
