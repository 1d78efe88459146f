"""What a program is made of: expressions and statements, as the parser hands them to the interpreter."""

from __future__ import annotations

from dataclasses import dataclass

from anmjax.grid.matlab.values import Value


@dataclass(slots=True)
class Literal:
    """A number, a string, or a table of plain numbers."""

    value: Value


@dataclass(slots=True)
class Name:
    """A variable or a function."""

    name: str


@dataclass(slots=True)
class Colon:
    """All entries along a dimension: ``x(:, 1)``."""


@dataclass(slots=True)
class End:
    """The last index of a dimension: ``x(end, 1)``."""


@dataclass(slots=True)
class Field:
    """A field of a struct: ``base.name``."""

    base: Expression
    name: str


@dataclass(slots=True)
class Index:
    """Entries of a variable, or a call: ``base(arguments)``; with braces the content of cells."""

    base: Expression
    arguments: list[Expression]
    braces: bool


@dataclass(slots=True)
class Unary:
    """A sign ``+``, ``-``, ``~`` before, or a transpose ``'`` behind an operand."""

    operator: str
    operand: Expression


@dataclass(slots=True)
class Chain:
    """Operands with operators of one precedence, carried out from the left: ``first + a - b``."""

    first: Expression
    rest: list[tuple[str, Expression]]


@dataclass(slots=True)
class Range:
    """Numbers ``start:step:stop``."""

    start: Expression
    step: Expression | None
    stop: Expression


@dataclass(slots=True)
class Rows:
    """A matrix ``[...]`` or cells ``{...}``; rows without elements are left out."""

    rows: list[list[Expression]]
    cells: bool


Expression = Literal | Name | Colon | End | Field | Index | Unary | Chain | Range | Rows


@dataclass(slots=True)
class Assign:
    """``target = value`` or ``[target, ~] = value``; None for a value that is thrown away."""

    targets: list[Expression | None]
    value: Expression
    several: bool  # whether the targets stand in brackets


@dataclass(slots=True)
class Evaluate:
    """An expression on its own: a call, or a value to be shown."""

    value: Expression


@dataclass(slots=True)
class Command:
    """A name with words, ``format long``."""

    name: str
    words: str


@dataclass(slots=True)
class If:
    """Conditions, each with the statements of its branch; None for the condition of ``else``."""

    branches: list[tuple[Expression | None, list[Statement]]]


@dataclass(slots=True)
class While:
    """Statements repeated while a condition holds."""

    condition: Expression
    body: list[Statement]


@dataclass(slots=True)
class For:
    """Statements repeated for each column of a value."""

    name: str
    value: Expression
    body: list[Statement]


@dataclass(slots=True)
class Switch:
    """Cases of a value, each with its statements; None for ``otherwise``."""

    value: Expression
    cases: list[tuple[Expression | None, list[Statement]]]


@dataclass(slots=True)
class Jump:
    """``return``, ``break`` or ``continue``."""

    keyword: str


Action = Assign | Evaluate | Command | If | While | For | Switch | Jump


@dataclass(slots=True)
class Statement:
    """An action, and where its text is: that of a block ends with the line that opens it."""

    action: Action
    start: int
    stop: int


@dataclass(slots=True)
class Function:
    """A function: its name, its outputs and what it does."""

    name: str
    outputs: list[str]
    body: list[Statement]
    start: int  # position of its first line
    stop: int


@dataclass(slots=True)
class Program:
    """A file: the statements of a script, or none, and functions of which the first may be the file's own."""

    script: list[Statement]
    functions: list[Function]
