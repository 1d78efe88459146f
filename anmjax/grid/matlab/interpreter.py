"""Carries out a program: assignments, blocks and jumps, each as MATLAB does or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import repeat

import numpy as np

from anmjax.grid.matlab.columns import COLUMN_FUNCTIONS
from anmjax.grid.matlab.evaluation import Evaluator, Reported
from anmjax.grid.matlab.functions import WITHOUT_EFFECT, several_values
from anmjax.grid.matlab.indexing import delete, store
from anmjax.grid.matlab.limits import Budget, OutOfBudget, Unreadable
from anmjax.grid.matlab.statements import UnreadableStatement, parse
from anmjax.grid.matlab.tokens import normalize_lines
from anmjax.grid.matlab.tree import (
    Action,
    Assign,
    Command,
    Evaluate,
    Expression,
    Field,
    For,
    If,
    Index,
    Jump,
    Literal,
    Name,
    Rows,
    Statement,
    Switch,
    While,
)
from anmjax.grid.matlab.values import Unknown, Value, describe, is_true, number, scalar

MAX_COMPLAINTS = 20
# Tables of plain numbers hold these words, which are read before variables are known.
_RESERVED = ("Inf", "inf", "NaN", "nan")


@dataclass(frozen=True)
class Complaint:
    """A statement that is not carried out."""

    line: int  # where it starts, from 1
    statement: str
    reason: str


@dataclass
class Outcome:
    """What a program left."""

    values: list[Value | None] = field(default_factory=list)  # of the outputs, in their order; None if unset
    complaints: list[Complaint] = field(default_factory=list)  # where there are any, values mean nothing


def run(text: str, script_output: str) -> Outcome:
    """Carries out the first function of a file, or the statements of a script.

    Args:
      text: the file.
      script_output: the variable that a script is run for.

    Returns:
      The values of the function's outputs, or of the script's variable, or what was not carried out.
    """
    text = normalize_lines(text)
    try:
        program = parse(text)
    except UnreadableStatement as error:
        return Outcome(complaints=[_complaint(text, error.start, error.stop, error)])
    functions = frozenset(function.name for function in program.functions)
    interpreter = _Interpreter(text, functions)
    if program.script or not program.functions:
        outputs, body = [script_output], program.script
        if program.functions and not any(
            isinstance(s.action, (Assign, If, For, While, Switch)) for s in body
        ):
            first = program.functions[0]
            reason = Unreadable(
                "the statements before a function make the file a script, which does not call it"
            )
            return Outcome(complaints=[_complaint(text, first.start, first.stop, reason)])
    else:
        outputs, body = program.functions[0].outputs, program.functions[0].body
        interpreter.variables["nargin"] = scalar(0)
    return interpreter.outcome(body, outputs)


def _complaint(text: str, start: int, stop: int, error: Unreadable) -> Complaint:
    first = text.count("\n", 0, start) + 1
    line = first if error.position is None else text.count("\n", 0, error.position) + 1
    place = f" (in line {line})" if line != first else ""
    return Complaint(first, " ".join(text[start:stop].split()), f"{error}{place}")


class _Abort(Exception):
    """Raised where what follows a fault cannot be carried out."""


class _Interpreter:
    def __init__(self, text: str, functions: frozenset[str]) -> None:
        self._text = text
        self._evaluator = Evaluator(functions, Budget())
        self._complaints: list[Complaint] = []
        self._loops = 0

    @property
    def variables(self) -> dict[str, Value]:
        return self._evaluator.variables

    def outcome(self, body: list[Statement], outputs: list[str]) -> Outcome:
        try:
            self._block(body)
        except _Abort:
            return Outcome(complaints=self._complaints)
        values = [self.variables.get(name) for name in outputs]
        for value in values:
            if isinstance(value, Unknown) and not value.reported:
                error = Unreadable(f"an output of the file is not known: {value.reason}")
                self._complaints.append(_complaint(self._text, value.start, value.stop, error))
        return Outcome(values, self._complaints)

    def _block(self, statements: list[Statement]) -> str | None:
        """Carries out statements; returns the jump that ends them, if any."""
        for statement in statements:
            try:
                jump = self._action(statement.action, statement)
            except Unreadable as error:
                self._complain(statement, error)
            else:
                if jump:
                    return jump
        return None

    def _complain(self, statement: Statement, error: Unreadable) -> None:
        """Notes a fault, and goes on to find others where what follows does not depend on it."""
        action = statement.action
        if not isinstance(error, Reported):
            self._complaints.append(_complaint(self._text, statement.start, statement.stop, error))
        is_simple = isinstance(action, (Assign, Evaluate, Command)) and not self._loops
        if not is_simple or isinstance(error, OutOfBudget) or len(self._complaints) >= MAX_COMPLAINTS:
            raise _Abort
        if isinstance(action, Assign):
            for target in action.targets:
                while isinstance(target, Index):
                    target = target.base
                try:
                    if target is not None:
                        self._assign(target, Unknown("a fault", reported=True))
                except Unreadable:
                    raise _Abort from None

    def _action(self, action: Action, statement: Statement) -> str | None:
        if isinstance(action, Assign):
            self._assignment(action, statement)
        elif isinstance(action, Evaluate):
            self._call(action.value)
        elif isinstance(action, Command):
            if action.name == "clear":
                self._clear(action.words.split())
        elif isinstance(action, Jump):
            if action.keyword != "return" and not self._loops:
                raise Unreadable(f"{action.keyword} is outside of a loop")
            return action.keyword
        elif isinstance(action, If):
            for condition, body in action.branches:
                if condition is None or is_true(self._evaluator.evaluate(condition)):
                    return self._block(body)
        elif isinstance(action, Switch):
            return self._switch(action)
        else:
            return self._loop(action)
        return None

    def _loop(self, action: While | For) -> str | None:
        self._loops += 1
        try:
            for _ in self._columns(action) if isinstance(action, For) else repeat(None):
                self._evaluator.budget.spend(1)
                if isinstance(action, While) and not is_true(self._evaluator.evaluate(action.condition)):
                    break
                jump = self._block(action.body)
                if jump == "break":
                    break
                if jump == "return":
                    return jump
        finally:
            self._loops -= 1
        return None

    def _columns(self, action: For) -> Iterator[None]:
        """Assigns one column after the other to the variable of a loop."""
        value = self._evaluator.evaluate(action.value)
        if not isinstance(value, np.ndarray) or value.dtype == object:
            raise Unreadable(f"a loop over {describe(value)} is not read")
        rows, count = value.shape
        if rows == 0 and count > 0:
            raise Unreadable(f"a loop over {describe(value)} is not read")
        if count == 0:
            self.variables.pop(action.name, None)  # MATLAB and Octave leave different things
        for column in range(count):
            self._assign(Name(action.name), value[:, column : column + 1])
            yield

    def _switch(self, action: Switch) -> str | None:
        value = self._evaluator.evaluate(action.value)
        for condition, body in action.cases:
            if condition is None or _matches(value, self._evaluator.evaluate(condition)):
                return self._block(body)
        return None

    def _clear(self, names: list[str]) -> None:
        if not names or names in (["all"], ["-all"], ["variables"]):
            self.variables.clear()
            return
        for name in names:
            if not name.isidentifier() or name in ("classes", "functions", "global", "import", "java", "mex"):
                raise Unreadable(f"clear {name} is not read")
            self.variables.pop(name, None)

    def _call(self, node: Expression) -> None:
        base = node.base if isinstance(node, Index) and not node.braces else node
        if isinstance(base, Name) and self._evaluator.is_function(base.name):
            if base.name in WITHOUT_EFFECT:
                return  # its arguments change nothing either
            if base is node and base.name == "clear":
                self.variables.clear()
                return
            if base is node and base.name == "define_constants":
                for columns, places in COLUMN_FUNCTIONS.values():
                    self.variables.update(zip(columns.split(), map(scalar, places), strict=True))
                return
        self._evaluator.evaluate(node)

    def _assignment(self, action: Assign, statement: Statement) -> None:
        if action.several and len(action.targets) > 1:
            node = action.value
            base = node.base if isinstance(node, Index) and not node.braces else node
            if not (isinstance(base, Name) and self._evaluator.is_function(base.name)):
                raise Unreadable("only a function gives several values")
            arguments = node.arguments if isinstance(node, Index) else []
            values = several_values(
                base.name, [self._evaluator.evaluate(a) for a in arguments], len(action.targets)
            )
            for target, value in zip(action.targets, values, strict=False):
                if target is not None:
                    self._assign(target, self._placed(value, statement))
            return
        (target,) = action.targets
        if isinstance(target, Index):
            self._assign_entries(target, action.value)
        elif target is not None:
            self._assign(target, self._placed(self._evaluator.evaluate(action.value), statement))

    def _placed(self, value: Value, statement: Statement) -> Value:
        """The value, which remembers the statement that assigned it where it is not known."""
        if isinstance(value, Unknown):
            return replace(value, start=statement.start, stop=statement.stop)
        return value

    def _assign(self, target: Expression, value: Value) -> None:
        if isinstance(target, Name):
            if target.name in _RESERVED:
                raise Unreadable(f"{target.name} is no variable")
            self.variables[target.name] = value
            return
        if not isinstance(target, Field):
            raise Unreadable("fields of entries are not assigned")
        struct = self._current(target.base)
        if struct is None or (isinstance(struct, np.ndarray) and struct.shape == (0, 0)):
            struct = {}
        if not isinstance(struct, Mapping):
            raise Unreadable(f"{describe(struct)} has no fields")
        self._evaluator.budget.spend(len(struct))
        self._assign(target.base, {**struct, target.name: value})

    def _current(self, node: Expression) -> Value | None:
        """The value that is assigned to in part; None where there is none yet."""
        if isinstance(node, Name):
            value = self.variables.get(node.name)
        elif isinstance(node, Field):
            struct = self._current(node.base)
            if struct is not None and not isinstance(struct, Mapping):
                raise Unreadable(f"{describe(struct)} has no fields")
            value = None if struct is None else struct.get(node.name)
        else:
            raise Unreadable("entries of entries are not assigned")
        if isinstance(value, Unknown):
            raise (Reported if value.reported else Unreadable)(f"the value is not known: {value.reason}")
        return value

    def _assign_entries(self, target: Index, node: Expression) -> None:
        table = self._current(target.base)
        if target.braces and (table is None or (isinstance(table, np.ndarray) and table.shape == (0, 0))):
            table = np.empty((0, 0), object)
        if not isinstance(table, np.ndarray) or (target.braces and table.dtype != object):
            raise Unreadable(
                f"{_written(target.base)} is no {'cells' if target.braces else 'table'} at this point"
            )
        indices = self._evaluator.indices(table, target.arguments)
        nothing = (
            isinstance(node, Literal) and isinstance(node.value, np.ndarray) and node.value.shape == (0, 0)
        )
        if (nothing or node == Rows([], False)) and not target.braces:
            result = delete(table, indices)
        else:
            value = self._evaluator.evaluate(node)
            if target.braces:
                if not all(isinstance(index, np.ndarray) and index.size == 1 for index in indices):
                    raise Unreadable("the content of several cells is not assigned")
                content, value = value, np.empty((1, 1), object)
                value[0, 0] = content
            if not isinstance(value, np.ndarray):
                raise Unreadable(f"{describe(value)} is not stored in a table")
            result = store(table, indices, value)
        self._evaluator.budget.spend(result.size)
        self._assign(target.base, result)


def _matches(value: Value, case: Value) -> bool:
    """Whether a case of a switch is that of the value."""
    if isinstance(case, np.ndarray) and case.dtype == object:
        contents = case.reshape(-1, order="F").tolist()
        if any(isinstance(content, np.ndarray) and content.dtype == object for content in contents):
            raise Unreadable("cells within the cells of a case are not read")
        return any(_matches(value, content) for content in contents)
    if type(value) is str and type(case) is str:
        return value == case
    if isinstance(value, str) or isinstance(case, str):
        if type(value) not in (str, np.ndarray) or type(case) not in (str, np.ndarray):
            raise Unreadable("a switch on strings in double quotes is not read")
        return False
    return number(value) == number(case)


def _written(node: Expression) -> str:
    return f"{_written(node.base)}.{node.name}" if isinstance(node, Field) else getattr(node, "name", "it")
