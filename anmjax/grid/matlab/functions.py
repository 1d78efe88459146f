"""The functions that a program may call: a table of names, each with what it does to its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from anmjax.grid.matlab.columns import COLUMN_FUNCTIONS, DCLINE_COLUMNS
from anmjax.grid.matlab.limits import Unreadable, check_size
from anmjax.grid.matlab.values import (
    DoubleQuoted,
    Unknown,
    Value,
    describe,
    logicals,
    number,
    numbers,
    operate,
    scalar,
)

Arguments = Sequence[Value]


def _entrywise(
    function: Callable[[np.ndarray], np.ndarray], domain: Callable[[np.ndarray], np.ndarray] | None = None
) -> Callable[[Arguments], Value]:
    """A function of one table, entry by entry; outside of its domain it would be complex."""

    def call(arguments: Arguments) -> Value:
        (table,) = map(numbers, arguments)
        if domain is not None and not np.all(domain(table) | np.isnan(table)):
            raise Unreadable("the value would be complex")
        with np.errstate(all="ignore"):  # what is not finite is reported where it reaches a table
            return function(table)

    return call


def _round(table: np.ndarray) -> np.ndarray:
    """Halves away from zero, unlike NumPy."""
    whole = np.trunc(table)
    return whole + np.sign(table) * (np.abs(table - whole) >= 0.5)


def _filled(value: float | bool) -> Callable[[Arguments], Value]:
    """``zeros(n)``, ``zeros(m, n)`` or ``zeros([m n])`` for any value."""

    def call(arguments: Arguments) -> Value:
        return np.full(_asked_shape(arguments), value)

    return call


def _asked_shape(arguments: Arguments) -> tuple[int, int]:
    sizes = [size for argument in arguments for size in numbers(argument).ravel()] or [1.0]
    if len(sizes) > 2 or (len(arguments) == 2 and any(numbers(a).size != 1 for a in arguments)):
        raise Unreadable("a table has two dimensions")
    if any(size != np.floor(size) or abs(size) > 2**52 for size in sizes):
        raise Unreadable("the size of a table must be whole numbers")
    rows, columns = (max(0, int(size)) for size in (sizes if len(sizes) == 2 else 2 * sizes))
    check_size(rows * columns)
    return rows, columns


def _cell(arguments: Arguments) -> Value:
    cells = np.empty(_asked_shape(arguments), object)
    for position in np.ndindex(cells.shape):
        cells[position] = np.zeros((0, 0))
    return cells


def _shape(value: Value) -> tuple[int, int]:
    if isinstance(value, (DoubleQuoted, Unknown)):
        raise Unreadable(f"{describe(value)} has no size here")
    if isinstance(value, str):
        return (1, len(value)) if value else (0, 0)
    return (value.shape[0], value.shape[1]) if isinstance(value, np.ndarray) else (1, 1)


def _size(arguments: Arguments) -> Value:
    value, *dimension = arguments
    shape = _shape(value)
    if not dimension:
        return np.array([shape], np.float64)
    (axis,) = map(number, dimension)
    if axis not in (1, 2):
        raise Unreadable("a table has the dimensions 1 and 2")
    return scalar(shape[int(axis) - 1])


def _of_shape(function: Callable[[tuple[int, int]], float | bool]) -> Callable[[Arguments], Value]:
    def call(arguments: Arguments) -> Value:
        (value,) = arguments
        return np.full((1, 1), function(_shape(value)))

    return call


def _reduction(
    function: Callable[[np.ndarray], np.ndarray], of_nothing: np.ndarray, takes_axis: bool = True
) -> Callable[[Arguments], Value]:
    """A function of each column, or of a row as a whole; ``function`` takes columns."""

    def call(arguments: Arguments) -> Value:
        value, *dimension = arguments
        table = numbers(value)
        if dimension and not (takes_axis and len(dimension) == 1 and number(dimension[0]) in (1, 2)):
            raise Unreadable("a table has the dimensions 1 and 2")
        if table.size == 0:
            if table.shape != (0, 0) or dimension:
                raise Unreadable(f"a function of {describe(table)} is not read")
            return of_nothing
        across = number(dimension[0]) == 2 if dimension else len(table) == 1
        return function(table.T)[:, np.newaxis] if across else function(table)[np.newaxis]

    return call


def _extreme(function: np.ufunc) -> Callable[[Arguments], Value]:
    """``max`` or ``min``: of a table, or of two entry by entry; NaN counts only where all is NaN."""
    reduce = _reduction(lambda table: function.reduce(table, axis=0), np.zeros((0, 0)), takes_axis=False)

    def call(arguments: Arguments) -> Value:
        if len(arguments) == 1:
            return reduce(arguments)
        a, b = map(numbers, arguments)
        operate("+", a, b)  # whether the shapes go together
        return function(a, b)

    return call


def _find(arguments: Arguments) -> Value:
    (table,) = map(numbers, arguments)
    if table.size == 0 and table.shape not in ((0, 0), (1, 0), (0, 1)):
        raise Unreadable(f"find of {describe(table)} is not read")
    found = np.flatnonzero(table.reshape(-1, order="F")) + 1.0
    if table.shape in ((0, 0), (1, 1)) and len(found) == 0:
        return np.zeros((0, 0))
    return found[np.newaxis] if table.shape[0] == 1 else found[:, np.newaxis]


def _remainder(
    function: np.ufunc, of_zero: Callable[[np.ndarray], np.ndarray]
) -> Callable[[Arguments], Value]:
    def call(arguments: Arguments) -> Value:
        a, b = map(numbers, arguments)
        operate("+", a, b)  # whether the shapes go together
        if not all(np.all((table == np.floor(table)) & (abs(table) <= 2**52)) for table in (a, b)):
            raise Unreadable("a remainder must be of whole numbers")  # of others it is a matter of rounding
        a, b = np.broadcast_arrays(a, b)
        return np.where(b == 0, of_zero(a), function(a, np.where(b == 0, 1.0, b)))

    return call


def _strcmp(arguments: Arguments) -> Value:
    a, b = arguments
    if not (isinstance(a, str) and isinstance(b, str)):
        raise Unreadable("strcmp is read for two strings only")
    if any(isinstance(text, DoubleQuoted) and "\\" in text for text in (a, b)):
        raise Unreadable("a string in double quotes with a backslash is not read")
    return np.full((1, 1), str(a) == str(b))


def _is_field(arguments: Arguments) -> Value:
    struct, name = arguments
    if not isinstance(name, str):
        raise Unreadable("isfield is read for one name only")
    return np.full((1, 1), isinstance(struct, Mapping) and name in struct)


def _struct(arguments: Arguments) -> Value:
    names, values = arguments[::2], arguments[1::2]
    if len(names) != len(values) or not all(isinstance(name, str) for name in names):
        raise Unreadable("struct takes names, each with a value")
    if any(isinstance(value, np.ndarray) and value.dtype == object for value in values):
        raise Unreadable("struct with cells, which makes several, is not read")
    return {str(name): value for name, value in zip(names, values, strict=True)}


def _is_kind(test: Callable[[Value], bool]) -> Callable[[Arguments], Value]:
    def call(arguments: Arguments) -> Value:
        (value,) = arguments
        if isinstance(value, (DoubleQuoted, Unknown)):
            raise Unreadable(f"the kind of {describe(value)} is not read")
        return np.full((1, 1), test(value))

    return call


def _has_kind(kinds: str) -> Callable[[Value], bool]:
    return lambda value: isinstance(value, np.ndarray) and value.dtype.kind in kinds


_TRUE, _FALSE = np.full((1, 1), True), np.full((1, 1), False)

FUNCTIONS: dict[str, Callable[[Arguments], Value]] = {
    "sin": _entrywise(np.sin),
    "cos": _entrywise(np.cos),
    "tan": _entrywise(np.tan),
    "asin": _entrywise(np.arcsin, lambda x: np.abs(x) <= 1),
    "acos": _entrywise(np.arccos, lambda x: np.abs(x) <= 1),
    "atan": _entrywise(np.arctan),
    "sqrt": _entrywise(np.sqrt, lambda x: x >= 0),
    "exp": _entrywise(np.exp),
    "log": _entrywise(np.log, lambda x: x >= 0),
    "log10": _entrywise(np.log10, lambda x: x >= 0),
    "abs": _entrywise(np.abs),
    "sign": _entrywise(np.sign),
    "floor": _entrywise(np.floor),
    "ceil": _entrywise(np.ceil),
    "fix": _entrywise(np.trunc),
    "round": _entrywise(_round),
    "double": _entrywise(lambda x: x),
    "isnan": _entrywise(np.isnan),
    "isinf": _entrywise(np.isinf),
    "isfinite": _entrywise(np.isfinite),
    "logical": _entrywise(logicals),
    "pi": _filled(np.pi),
    "Inf": _filled(np.inf),
    "inf": _filled(np.inf),
    "NaN": _filled(np.nan),
    "nan": _filled(np.nan),
    "eps": _filled(2.0**-52),
    "true": _filled(True),
    "false": _filled(False),
    "zeros": _filled(0.0),
    "ones": _filled(1.0),
    "cell": _cell,
    "size": _size,
    "numel": _of_shape(lambda shape: float(shape[0] * shape[1])),
    "length": _of_shape(lambda shape: float(max(shape) if min(shape) else 0)),
    "isempty": _of_shape(lambda shape: 0 in shape),
    "find": _find,
    # One after the other, as Octave adds, so that the last digit is the same.
    "sum": _reduction(lambda table: np.cumsum(table, axis=0)[-1], scalar(0)),
    "any": _reduction(lambda table: np.any(logicals(table), axis=0), _FALSE),
    "all": _reduction(lambda table: np.all(logicals(table), axis=0), _TRUE),
    "max": _extreme(np.fmax),
    "min": _extreme(np.fmin),
    "mod": _remainder(np.mod, lambda a: a),
    "rem": _remainder(np.fmod, lambda a: np.full(a.shape, np.nan)),
    "strcmp": _strcmp,
    "struct": _struct,
    "isfield": _is_field,
    "isstruct": _is_kind(lambda value: isinstance(value, Mapping)),
    "iscell": _is_kind(_has_kind("O")),
    "ischar": _is_kind(lambda value: isinstance(value, str)),
    "isnumeric": _is_kind(_has_kind("f")),
    "islogical": _is_kind(_has_kind("b")),
    "idx_dcline": lambda arguments: {n: scalar(k) for k, n in enumerate(DCLINE_COLUMNS, 1)},
}

# How many arguments a function takes at least and at most, where it is not one.
_COUNTS = {
    **dict.fromkeys(("pi", "eps", "idx_dcline"), (0, 0)),
    **dict.fromkeys(("Inf", "inf", "NaN", "nan", "true", "false", "zeros", "ones", "cell"), (0, 2)),
    **dict.fromkeys(("size", "sum", "any", "all", "max", "min"), (1, 2)),
    **dict.fromkeys(("mod", "rem", "strcmp", "isfield"), (2, 2)),
    "struct": (0, 1000),
}

# Calls on their own that show, solve or store something: nothing in the case depends on them.
_WITHOUT_EFFECT = (
    "clc close disp display drawnow figure format fprintf hold more printf printpf runcpf rundcopf rundcpf "
    "runopf runpf savecase tic toc warning"
)
WITHOUT_EFFECT = frozenset(_WITHOUT_EFFECT.split())
# Calls whose value is not known here; using it is an error.
WITHOUT_VALUE = frozenset(("mpoption", "runcpf", "rundcopf", "rundcpf", "runopf", "runpf", "tic", "toc"))


def several_values(name: str, arguments: Arguments, count: int) -> Sequence[Value]:
    """The values of a function that returns several.

    Raises:
      Unreadable: the function is not one of these, or returns fewer.
    """
    if name in WITHOUT_VALUE:
        return [Unknown(f"{name} is not run")] * count
    if name in COLUMN_FUNCTIONS and not arguments:
        values: Sequence[Value] = [scalar(column) for column in COLUMN_FUNCTIONS[name][1]]
    elif name == "size" and len(arguments) == 1 and count <= 2:
        values = [scalar(n) for n in _shape(arguments[0])] if count == 2 else [_size(arguments)]
    elif name in FUNCTIONS and count == 1:
        values = [call(name, arguments)]
    else:
        listed = ", ".join(COLUMN_FUNCTIONS)
        raise Unreadable(f"only {listed} and size may return several values, not {name}")
    if count > len(values):
        raise Unreadable(f"{name} returns {len(values)} values, not {count}")
    return values


def call(name: str, arguments: Arguments) -> Value:
    """The value of a function.

    Raises:
      Unreadable: the function is not known, or not for these arguments.
    """
    if name in WITHOUT_VALUE:
        return Unknown(f"{name} is not run")
    if name in COLUMN_FUNCTIONS and not arguments:
        return scalar(COLUMN_FUNCTIONS[name][1][0])
    if name not in FUNCTIONS:
        raise Unreadable(f"{name} is not known")
    least, most = _COUNTS.get(name, (1, 1))
    if not least <= len(arguments) <= most:
        raise Unreadable(f"{name} of {len(arguments)} arguments is not read")
    return FUNCTIONS[name](arguments)
