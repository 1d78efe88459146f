"""What expressions are worth, given the variables of a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from anmjax.grid.matlab.functions import call
from anmjax.grid.matlab.indexing import select
from anmjax.grid.matlab.limits import MAX_CALLS, Budget, OutOfBudget, Unreadable
from anmjax.grid.matlab.tree import (
    Chain,
    Colon,
    End,
    Expression,
    Field,
    Index,
    Literal,
    Name,
    Range,
    Rows,
    Unary,
)
from anmjax.grid.matlab.values import (
    Unknown,
    Value,
    describe,
    is_true,
    join,
    number,
    numbers,
    operate,
    scalar,
    sign,
    whole_range,
)


class Reported(Unreadable):
    """Raised for a value that a statement should have given which is a fault already."""


class Evaluator:
    """Evaluates expressions; ``variables`` may change between them.

    Args:
      local_functions: names of the functions of the file, which are not called.
      budget: what the program may still do.
    """

    def __init__(self, local_functions: frozenset[str], budget: Budget) -> None:
        self.variables: dict[str, Value] = {}
        self.budget = budget
        self._local = local_functions
        self._calls = 0  # of evaluate, within each other
        # The table whose index is read, with the place and count of its indices: what ``end`` stands for.
        self._indexed: list[tuple[np.ndarray, int, int]] = []
        self._readers: dict[type, Callable[[Expression], Value]] = {
            Name: self._name,
            Colon: self._colon,
            End: self._end,
            Field: self._field,
            Index: self._index,
            Unary: lambda node: sign(node.operator, self.evaluate(node.operand)),  # type: ignore[union-attr]
            Chain: self._chain,
            Range: self._range,
            Rows: self._rows,
        }

    def evaluate(self, node: Expression) -> Value:
        """The value of an expression.

        Raises:
          Unreadable: it is beyond what is read, or an error in MATLAB as well.
        """
        if isinstance(node, Literal):
            self.budget.spend(0, Budget.WORD)
            return node.value
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise OutOfBudget("the expression is nested too deep")
        try:
            value = self._readers[type(node)](node)
        finally:
            self._calls -= 1
        self.budget.spend(value.size if isinstance(value, np.ndarray) else 1)
        return value

    def is_function(self, name: str) -> bool:
        """Whether a name is that of a function, known or not, rather than of a variable."""
        if name in self.variables:
            return False
        if name in self._local:
            raise Unreadable(f"{name} is a function of the file, and these are not called")
        return True

    def indices(self, table: np.ndarray, arguments: list[Expression]) -> list[Value | None]:
        """The indices of a table, None for a colon."""
        found: list[Value | None] = []
        for place, argument in enumerate(arguments):
            if isinstance(argument, Colon):
                found.append(None)
                continue
            self._indexed.append((table, place, len(arguments)))
            try:
                found.append(self.evaluate(argument))
            finally:
                self._indexed.pop()
        return found

    def _name(self, node: Expression) -> Value:
        assert isinstance(node, Name)
        if self.is_function(node.name):
            return call(node.name, [])
        value = self.variables[node.name]
        return _known(value)

    def _colon(self, node: Expression) -> Value:
        raise Unreadable("':' stands for no value here")

    def _end(self, node: Expression) -> Value:
        if not self._indexed:
            raise Unreadable("'end' is read only within an index")
        table, place, count = self._indexed[-1]
        return scalar(table.size if count == 1 else table.shape[place] if place < 2 else 1)

    def _field(self, node: Expression) -> Value:
        assert isinstance(node, Field)
        struct = self.evaluate(node.base)
        if not isinstance(struct, Mapping):
            raise Unreadable(f"{describe(struct)} has no fields")
        if node.name not in struct:
            raise Unreadable(f"the field {node.name} is not known")
        return _known(struct[node.name])

    def _index(self, node: Expression) -> Value:
        assert isinstance(node, Index)
        if isinstance(node.base, Name) and self.is_function(node.base.name):
            if node.braces or any(isinstance(argument, Colon) for argument in node.arguments):
                raise Unreadable(f"{node.base.name} is not known")
            return call(node.base.name, [self.evaluate(argument) for argument in node.arguments])
        table = self.evaluate(node.base)
        if not isinstance(table, np.ndarray):
            raise Unreadable(f"{describe(table)} cannot be indexed")
        if node.braces and table.dtype != object:
            raise Unreadable(f"{describe(table)} is no cells")
        entries = select(table, self.indices(table, node.arguments))
        if not node.braces:
            return entries
        if entries.size != 1:
            raise Unreadable("the content of several cells is not read")
        content: Value = entries[0, 0]
        return content

    def _chain(self, node: Expression) -> Value:
        assert isinstance(node, Chain)
        value = self.evaluate(node.first)
        for operator, operand in node.rest:
            if operator in ("&&", "||"):
                holds = _condition(value)
                if holds == (operator == "||"):
                    value = np.full((1, 1), holds)
                    continue  # what follows is not evaluated
                value = np.full((1, 1), _condition(self.evaluate(operand)))
            else:
                value = operate(operator, value, self.evaluate(operand))
                self.budget.spend(value.size)
        return value

    def _range(self, node: Expression) -> Value:
        assert isinstance(node, Range)
        start = number(self.evaluate(node.start))
        step = 1.0 if node.step is None else number(self.evaluate(node.step))
        return whole_range(start, step, number(self.evaluate(node.stop)))

    def _rows(self, node: Expression) -> Value:
        assert isinstance(node, Rows)
        rows = [[self.evaluate(element) for element in row] for row in node.rows]
        if not node.cells:
            return join(rows)
        if len({len(row) for row in rows}) > 1:
            raise Unreadable("the rows of cells must have the same number of columns")
        cells = np.empty((len(rows), len(rows[0]) if rows else 0), object)
        for i, row in enumerate(rows):
            for j, content in enumerate(row):
                if isinstance(content, Unknown):
                    raise Unreadable(f"{describe(content)} is not stored")
                cells[i, j] = content
        return cells


def _known(value: Value) -> Value:
    if isinstance(value, Unknown):
        raise (Reported if value.reported else Unreadable)(f"the value is not known: {value.reason}")
    return value


def _condition(value: Value) -> bool:
    if numbers(value).size != 1:
        raise Unreadable(f"{describe(value)} is not one condition, as '&&' and '||' need")
    return is_true(value)
