"""Reads the tables of a network dict into typed rows, cell by cell and without trusting any of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from numbers import Real

import numpy as np

from anmjax.grid.faults import Fault, show
from anmjax.grid.tables import IDENTIFIER, POSITIVE, Rule, Table

_COMPARE = {"<=": operator.le, ">=": operator.ge}
_KEYS = ("baseMVA", "bus", "device", "branch")
_FLIPPED = {"<=": ">=", ">=": "<="}


@dataclass
class Row:
    """One element with its defaults filled in; a value that is at fault is absent."""

    element: str  # name for messages
    raw: dict[str, object]  # column -> cell as given
    kind: int | None = None
    ids: dict[str, int] = field(default_factory=dict)  # integer column -> value
    values: dict[str, float] = field(default_factory=dict)  # column -> value in the units of the table
    source: dict[str, str] = field(default_factory=dict)  # column -> column whose value it took over


def read_base(d: Mapping[object, object], faults: list[Fault]) -> float | None:
    """Reads ``baseMVA``; None where it is missing or wrong, with the fault appended."""
    if "baseMVA" not in d:
        faults.append(Fault("network", "baseMVA", None, f"a number > 0 is required{_hint(d, 'baseMVA')}"))
        return None
    base = to_number(d["baseMVA"])
    if base is None or not POSITIVE.contains(base):
        faults.append(Fault("network", "baseMVA", d["baseMVA"], "must be a finite number > 0"))
        return None
    return base


def read_table(d: Mapping[object, object], table: Table, faults: list[Fault]) -> list[Row] | None:
    """Reads one table; None where it is no table at all, with the faults appended."""
    width = len(table.columns)
    if table.name not in d:
        allowed = f"a table of {width} columns is required{_hint(d, table.name)}"
        faults.append(Fault("network", table.name, None, allowed))
        return None
    cells = _cells(d[table.name])
    if cells is None:
        allowed = f"must be a two-dimensional table of numbers, {width} columns wide"
        faults.append(Fault("network", table.name, d[table.name], allowed))
        return None
    if not cells:
        faults.append(Fault("network", table.name, d[table.name], "must have at least one row"))
        return None
    rows = []
    for index, row in enumerate(cells):
        if row is None or len(row) != width:
            value = "not a row" if row is None else f"{len(row)} columns"
            allowed = f"must be {width} columns: {', '.join(table.names)}"
            faults.append(Fault(f"{table.name} row {index}", "row", value, allowed))
        else:
            rows.append(_read_row(table, index, dict(zip(table.names, row, strict=True)), faults))
    return rows if len(rows) == len(cells) else None


def to_number(value: object) -> float | None:
    """Returns a real number as a float; None for anything else, NaN and bools included."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        return None
    try:
        number = float(value)
    except OverflowError:  # an int beyond the floats
        return None
    return None if math.isnan(number) else number


def to_integer(value: object) -> int | None:
    """Returns an integer, written as an int or as a whole float; None for anything else."""
    number = to_number(value)
    if number is None or not IDENTIFIER.contains(number) or not number.is_integer():
        return None
    return int(number)


def _cells(table: object) -> list[list[object] | None] | None:
    """Returns the rows of anything table-like (None for what is no row), or None."""
    if hasattr(table, "__array__"):
        try:
            table = np.asarray(table)
        except (TypeError, ValueError, RuntimeError):  # array-like by name only
            return None
        # Dates and records would turn into numbers that mean something else.
        if table.dtype.kind not in "biufO" or table.ndim not in (1, 2):
            return None
        table = table.tolist()
    if not isinstance(table, (list, tuple)):
        return None
    if table and not any(_is_row(row) for row in table):
        return None
    return [list(row) if _is_row(row) else None for row in table]


def _is_row(row: object) -> bool:
    return isinstance(row, (list, tuple)) or (isinstance(row, np.ndarray) and row.ndim == 1)


def _read_row(table: Table, index: int, raw: dict[str, object], faults: list[Fault]) -> Row:
    """Reads one row: ids, kind, then every column by the rules of its kind."""
    row = Row(element=_name(table, index, raw), raw=raw)
    for name in table.integer_columns:
        integer = to_integer(raw[name])
        if integer is None:
            faults.append(Fault(row.element, name, raw[name], f"must be {IDENTIFIER.text}"))
        else:
            row.ids[name] = integer
    if table.kind_column is None:
        row.kind = 0
    else:
        row.kind = to_integer(raw[table.kind_column])
        if row.kind not in table.kinds:
            row.kind = None
            allowed = "must be " + " or ".join(f"{kind} ({name})" for kind, name in table.kinds.items())
            faults.append(Fault(row.element, table.kind_column, raw[table.kind_column], allowed))

    rules = {} if row.kind is None else table.rules[row.kind]
    for name in table.names:
        if name not in table.integer_columns and name != table.kind_column:
            _read_cell(row, name, rules.get(name), faults)
    for name, rule in rules.items():
        if raw[name] is None and isinstance(rule.default, str) and rule.default in row.values:
            row.values[name] = row.values[rule.default]
            row.source[name] = rule.default
    if row.kind is not None:
        _check_orders(row, table.orders.get(row.kind, ()), faults)
    return row


def _read_cell(row: Row, name: str, rule: Rule | None, faults: list[Fault]) -> None:
    """Reads one number into ``row``; a column without a rule must still hold a number or None."""
    raw = row.raw[name]
    if raw is None:
        if rule is None or isinstance(rule.default, str):
            return  # does not apply, or is taken over once the row is read
        if rule.default is None:
            faults.append(Fault(row.element, name, None, f"must be {_words(rule)}"))
        else:
            row.values[name] = rule.default
        return
    number = to_number(raw)
    if number is None:
        faults.append(Fault(row.element, name, raw, f"must be {_words(rule)}"))
    elif rule is not None:
        if rule.valid.contains(number):
            row.values[name] = number
        else:
            faults.append(Fault(row.element, name, raw, f"must be {_words(rule)}"))


def _words(rule: Rule | None) -> str:
    """Says what a cell may hold."""
    if rule is None:
        return "a number or None"
    text = rule.valid.text if rule.valid.text.startswith("a ") else f"a number {rule.valid.text}"
    return text if rule.default is None else f"{text}, or None for the default {rule.default}"


def _check_orders(row: Row, orders: tuple[tuple[str, str, str], ...], faults: list[Fault]) -> None:
    """Compares columns within a row, each pair once however many columns took their value over."""
    seen = set()
    for name, sign, other in orders:
        if name not in row.values or other not in row.values:
            continue
        name, other = row.source.get(name, name), row.source.get(other, other)
        if row.raw[name] is None:  # name the value that the user wrote, not a default
            name, sign, other = other, _FLIPPED[sign], name
        if (name, sign, other) in seen or _COMPARE[sign](row.values[name], row.values[other]):
            continue
        seen.add((name, sign, other))
        allowed = f"must be {sign} {other} = {show(row.values[other])}"
        faults.append(Fault(row.element, name, row.raw[name], allowed))


def _name(table: Table, index: int, raw: Mapping[str, object]) -> str:
    """Names an element by its ids, or by its row where an id is no integer."""
    ids = [to_integer(raw[name]) for name in table.id_columns]
    if None in ids:
        return f"{table.name} row {index}"
    label = f"{table.name} {'-'.join(str(i) for i in ids)}"
    # Parallel branches share their bus ids, so a branch also needs its row.
    return label if len(ids) == 1 else f"{label} (row {index})"


def _hint(d: Mapping[object, object], key: str) -> str:
    """Points at a key that looks like a misspelling of ``key``."""
    keys = [k for k in d if isinstance(k, str)]
    near = get_close_matches(key.lower(), [k.lower() for k in keys], n=1)
    found = [k for k in keys if k.lower() in near and k not in _KEYS]
    return f" (is {found[0]!r} meant to be {key!r}?)" if found else ""
