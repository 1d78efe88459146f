"""The grammar of expressions: MATLAB's precedences, and its rules for what parts the elements of a matrix.

Reference: MathWorks, MATLAB, "Operator Precedence".
"""

from __future__ import annotations

import numpy as np

from anmjax.grid.matlab.limits import MAX_DEPTH, Unreadable
from anmjax.grid.matlab.tokens import Token
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
from anmjax.grid.matlab.values import DoubleQuoted, numbers

# Operators between operands, those that bind least first; all bind from the left.
_OPERATORS = (
    ("||",),
    ("&&",),
    ("|",),
    ("&",),
    ("<", "<=", ">", ">=", "==", "~="),
    (":",),
    ("+", "-"),
    ("*", "/", ".*", "./"),
)
_LEVELS = {operator: level for level, operators in enumerate(_OPERATORS) for operator in operators}
_RANGE = _LEVELS[":"]


class ExpressionParser:
    """Recursive descent over tokens; the statements are the part of a subclass."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0
        self._in_matrix = False
        self._in_index = 0  # how many indices, or calls, are open

    def peek(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._next]

    def take(self) -> Token:
        """The token that comes next, read."""
        self._next += 1
        return self._tokens[self._next - 1]

    def at(self, *signs: str) -> bool:
        """Whether one of these signs comes next."""
        token = self._tokens[self._next]
        return token.kind == "op" and token.text in signs

    def expect(self, sign: str) -> None:
        """Reads a sign that must come next."""
        if not self.at(sign):
            raise self.unexpected(f"{sign!r} was expected")
        self._next += 1

    def unexpected(self, reason: str = "") -> Unreadable:
        """An error about the token that comes next."""
        token = self.peek()
        word = {"newline": "the end of the line", "stop": "the end"}.get(token.kind, repr(token.text))
        return Unreadable(f"{reason}, not {word}" if reason else f"{word} is not expected here", token.start)

    def enter(self) -> None:
        """Counts a level of nesting, which ``leave`` takes back."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable(f"expressions or blocks are nested deeper than {MAX_DEPTH}", self.peek().start)

    def leave(self) -> None:
        """Takes back a level of nesting."""
        self._depth -= 1

    def expression(self) -> Expression:
        """Reads an expression."""
        self.enter()
        value = self._binary(0)
        self.leave()
        return value

    def _binary(self, lowest: int) -> Expression:
        """Reads operands with the operators between them that bind at least as ``lowest`` does."""
        left, chain_level = self._unary(), -1
        while True:
            token = self.peek()
            level = _LEVELS.get(token.text, -1) if token.kind == "op" else -1
            if level < lowest or level < 0 or self._starts_element(token):
                return left
            if level == _RANGE:
                left, chain_level = self._range(left), -1
                continue
            self._next += 1
            right = self._binary(level + 1)
            if chain_level == level and isinstance(left, Chain):
                left.rest.append((token.text, right))
            else:
                left, chain_level = Chain(left, [(token.text, right)]), level

    def _range(self, start: Expression) -> Expression:
        self.expect(":")
        middle = self._binary(_RANGE + 1)
        if not self.at(":"):
            return Range(start, None, middle)
        self._next += 1
        stop = self._binary(_RANGE + 1)
        if self.at(":"):
            raise self.unexpected("a range has two or three parts")
        return Range(start, middle, stop)

    def _starts_element(self, token: Token) -> bool:
        """Whether a sign within a matrix belongs to the next element: ``[1 -2]``, unlike ``[1 - 2]``."""
        if not (self._in_matrix and token.spaced and token.text in ("+", "-")):
            return False
        return not self._tokens[self._next + 1].spaced

    def _unary(self) -> Expression:
        if not self.at("+", "-", "~"):
            return self._power()
        sign = self.take().text
        self.enter()
        operand = self._unary()  # binds less than a power: -2^2 is -4
        self.leave()
        value = operand.value if isinstance(operand, Literal) else None
        if sign == "-" and isinstance(value, np.ndarray) and value.shape == (1, 1):
            # So that the negative numbers of a table are words, as the others are, and not steps.
            return Literal(-numbers(value))
        return Unary(sign, operand)

    def _power(self) -> Expression:
        value = self._postfix()
        chain: Chain | None = None
        for _ in range(MAX_DEPTH):
            if self.at("'", ".'"):
                self._next += 1
                value, chain = Unary("'", value), None
            elif self.at("^", ".^"):
                operator = self.take().text
                exponent = self._exponent()
                if chain is None:
                    value = chain = Chain(value, [])
                chain.rest.append((operator, exponent))
            else:
                return value
        raise self.unexpected(f"more than {MAX_DEPTH} powers and transposes are not read")

    def _exponent(self) -> Expression:
        if not self.at("+", "-", "~"):
            return self._postfix()
        sign = self.take().text
        value = Unary(sign, self._postfix())
        if self.at("^", ".^", "'", ".'"):
            raise self.unexpected("an exponent with a sign must stand in parentheses here")
        return value

    def _postfix(self) -> Expression:
        value = self._operand()
        for _ in range(MAX_DEPTH):
            token = self.peek()
            if token.kind == "field":
                self._check_indexable(value)
                self._next += 1
                value = Field(value, token.text)
            elif self.at("(", "{") and not (self._in_matrix and token.spaced):
                self._check_indexable(value)
                if isinstance(value, Index) and not value.braces:
                    raise self.unexpected("parentheses cannot be indexed")
                value = Index(value, self._arguments(), token.text == "{")
            else:
                return value
        raise self.unexpected(f"more than {MAX_DEPTH} fields and indices are not read")

    def _check_indexable(self, value: Expression) -> None:
        if not isinstance(value, (Name, Field, Index)):
            raise self.unexpected("only a variable has fields and indices")

    def _arguments(self) -> list[Expression]:
        closer = ")" if self.take().text == "(" else "}"
        inside, self._in_matrix = self._in_matrix, False
        self._in_index += 1
        arguments: list[Expression] = []
        while not self.at(closer):
            if arguments:
                self.expect(",")
            following = self._tokens[self._next + 1]
            if self.at(":") and following.kind == "op" and following.text in (",", closer):
                self._next += 1
                arguments.append(Colon())
            else:
                arguments.append(self.expression())
        self._next += 1
        self._in_matrix = inside
        self._in_index -= 1
        return arguments

    def _operand(self) -> Expression:
        token = self.peek()
        if self.at("("):
            self._next += 1
            inside, self._in_matrix = self._in_matrix, False
            value = self.expression()
            self.expect(")")
            self._in_matrix = inside
            # What stands in parentheses is a value: it has neither fields nor indices.
            return Chain(value, [])
        if self.at("[", "{"):
            return self._rows()
        self._next += 1
        if token.kind == "number":
            return Literal(np.full((1, 1), float(token.text.replace("d", "e").replace("D", "e"))))
        if token.kind == "name":
            return Name(token.text)
        if token.kind == "table" and token.value is not None:
            return Literal(token.value)
        if token.kind == "string":
            return Literal(token.text)
        if token.kind == "double_quoted":
            return Literal(DoubleQuoted(token.text))
        if token.kind == "operand_end" and self._in_index:
            return End()
        self._next -= 1
        raise self.unexpected("a value was expected")

    def _rows(self) -> Expression:
        cells = self.take().text == "{"
        closer = "}" if cells else "]"
        inside, self._in_matrix = self._in_matrix, True
        rows: list[list[Expression]] = []
        row: list[Expression] = []
        parted = True  # whether the next element may follow without a space
        while not self.at(closer):
            token = self.peek()
            if token.kind == "newline" or self.at(";"):
                self._next += 1
                rows.append(row)
                row, parted = [], True
            elif self.at(","):
                if parted:
                    raise self.unexpected("an element was expected")
                self._next += 1
                parted = True
            elif parted or token.spaced:
                row.append(self.expression())
                parted = False
            else:
                raise self.unexpected("a space, comma or semicolon was expected")
        self._next += 1
        self._in_matrix = inside
        rows.append(row)
        return Rows([row for row in rows if row], cells)
