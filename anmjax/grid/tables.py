"""The columns of the bus, device and branch tables: meaning, unit, valid range and default.

These tables are the only place that states what a network may hold: parsing, validation messages
and documentation all read them. A rule belongs to a kind of element, since a load and a storage unit
answer to different limits on the same column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import wrap
from types import MappingProxyType

SLACK_BUS, PQ_BUS = 0, 1
LOAD, SLACK, CLASSICAL, RENEWABLE, STORAGE = -1, 0, 1, 2, 3
FLEXIBLE, CHARGER = 4, 5  # beyond gym-anm: a load that may wait, a charging point of cars
DEMANDS = (LOAD, FLEXIBLE, CHARGER)

BUS_KINDS = MappingProxyType({SLACK_BUS: "slack", PQ_BUS: "PQ"})
DEVICE_KINDS = MappingProxyType(
    {LOAD: "load", SLACK: "slack", CLASSICAL: "classical", RENEWABLE: "renewable", STORAGE: "storage"}
)
ALL_DEVICE_KINDS = MappingProxyType({**DEVICE_KINDS, FLEXIBLE: "flexible load", CHARGER: "charger"})

# Every integer up to here is a float64, so that ids survive a float table.
MAX_ID = 2**53


@dataclass(frozen=True)
class Range:
    """An interval of numbers, with the words that describe it in an error message."""

    text: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def contains(self, x: float) -> bool:
        """True where ``x`` lies in the interval; never for NaN."""
        above = self.low < x if self.low_open else self.low <= x
        below = x < self.high if self.high_open else x <= self.high
        return above and below


FINITE = Range("a finite number", low_open=True, high_open=True)
UPPER = Range("a number or inf", low_open=True)
LOWER = Range("a number or -inf", high_open=True)
POSITIVE = Range("> 0", low=0, low_open=True, high_open=True)
NON_NEGATIVE = Range(">= 0", low=0, high_open=True)
NON_NEGATIVE_OR_INF = Range(">= 0 or inf", low=0)
NON_POSITIVE = Range("<= 0", high=0, low_open=True)
NON_POSITIVE_OR_INF = Range("<= 0 or -inf", high=0)
DEGREES = Range("in [0, 360]", low=0, high=360)
# Efficiency divides the discharge, so that 0 would make NaN of an idle unit.
EFFICIENCY = Range("in (0, 1]", low=0, high=1, low_open=True)
IDENTIFIER = Range("an integer", low=-MAX_ID, high=MAX_ID)


@dataclass(frozen=True)
class Column:
    """One column: its name in the tables, its unit and its meaning."""

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Rule:
    """What one kind of element may hold in one column.

    ``default`` replaces None: a number, or the name of the column whose value is taken over. A rule
    without a default asks for a value.
    """

    valid: Range
    default: float | str | None = None


@dataclass(frozen=True)
class Table:
    """A table of elements.

    ``rules[kind][column]`` is the rule of a column for a kind of element; a column without a rule does
    not apply to that kind, and its value is ignored. ``orders[kind]`` lists the comparisons
    ``(field, sign, other field)`` that must hold within a row once defaults are filled in.
    """

    name: str
    columns: tuple[Column, ...]
    id_columns: tuple[str, ...]  # the integers that name an element
    integer_columns: tuple[str, ...]  # those, and the ids of elements it refers to
    kind_column: str | None
    kinds: Mapping[int, str]
    rules: Mapping[int, Mapping[str, Rule]]
    orders: Mapping[int, tuple[tuple[str, str, str], ...]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)


def describe(table: Table) -> str:
    """Writes a table as text: each column's name, unit and meaning, valid values and (default) by kind."""
    lines = []
    for column in table.columns:
        kinds_of: dict[str, list[str]] = {}
        for kind, rules in table.rules.items():
            if column.name in rules:
                rule = rules[column.name]
                default = "required" if rule.default is None else f"default {rule.default}"
                kinds_of.setdefault(f"{rule.valid.text}, {default}", []).append(table.kinds[kind])
        head = f"{column.name:<9}{column.unit:<6}{column.meaning}"
        if column.name == table.kind_column:
            lines.append(f"{head}: {', '.join(f'{kind} {name}' for kind, name in table.kinds.items())}")
        elif not kinds_of:
            lines.append(f"{head}: {IDENTIFIER.text}")
        elif len(kinds_of) == 1 and len(next(iter(kinds_of.values()))) == len(table.kinds):
            lines.append(f"{head}: {next(iter(kinds_of))}")
        else:
            lines.append(head)
            lines.extend(f"{'':<17}{', '.join(kinds)}: {text}" for text, kinds in kinds_of.items())
    kinds_of = {}
    for kind, orders in table.orders.items():
        for order in orders:
            kinds_of.setdefault(" ".join(order), []).append(table.kinds[kind])
    orders_of: dict[str, list[str]] = {}
    for order_text, kinds in kinds_of.items():
        orders_of.setdefault(", ".join(kinds), []).append(order_text)
    for kinds_text, texts in orders_of.items():
        lines.extend(wrap(f"{kinds_text}: {', '.join(texts)}", width=88, subsequent_indent="    "))
    return "\n".join(lines)


BUS = Table(
    name="bus",
    columns=(
        Column("BUS_ID", "-", "id, unique"),
        Column("BUS_TYPE", "-", "kind of bus"),
        Column("BASE_KV", "kV", "base voltage"),
        Column("VMAX", "p.u.", "largest voltage magnitude"),
        Column("VMIN", "p.u.", "smallest voltage magnitude"),
    ),
    id_columns=("BUS_ID",),
    integer_columns=("BUS_ID",),
    kind_column="BUS_TYPE",
    kinds=BUS_KINDS,
    rules={
        SLACK_BUS: {"BASE_KV": Rule(POSITIVE), "VMAX": Rule(NON_NEGATIVE), "VMIN": Rule(FINITE, 0.0)},
        PQ_BUS: {"BASE_KV": Rule(POSITIVE), "VMAX": Rule(NON_NEGATIVE), "VMIN": Rule(NON_NEGATIVE)},
    },
    orders={PQ_BUS: (("VMAX", ">=", "VMIN"),)},
)

_REACTIVE_RULES = {
    "QMAX": Rule(UPPER, math.inf),
    "QMIN": Rule(LOWER, -math.inf),
    "P+": Rule(UPPER, "PMAX"),
    "Q+": Rule(UPPER, "QMAX"),
    "Q-": Rule(LOWER, "QMIN"),
}
_GENERATOR_RULES = {
    "PMAX": Rule(NON_NEGATIVE_OR_INF, math.inf),
    "PMIN": Rule(NON_NEGATIVE, 0.0),
    **_REACTIVE_RULES,
}
_GENERATOR_ORDERS = (
    ("PMAX", ">=", "PMIN"),
    ("QMAX", ">=", "QMIN"),
    ("P+", ">=", "PMIN"),
    ("P+", "<=", "PMAX"),
    ("Q+", "<=", "QMAX"),
    ("Q-", ">=", "QMIN"),
    ("Q+", ">=", "Q-"),
)

DEVICE = Table(
    name="device",
    columns=(
        Column("DEV_ID", "-", "id, unique"),
        Column("BUS_ID", "-", "bus the device is connected to"),
        Column("DEV_TYPE", "-", "kind of device"),
        Column("Q/P", "-", "ratio of Q to P"),
        Column("PMAX", "MW", "largest P"),
        Column("PMIN", "MW", "smallest P"),
        Column("QMAX", "MVAr", "largest Q"),
        Column("QMIN", "MVAr", "smallest Q"),
        Column("P+", "MW", "P above which Q is limited further"),
        Column("P-", "MW", "P below which Q is limited further"),
        Column("Q+", "MVAr", "largest Q at PMAX, and at PMIN of a storage unit"),
        Column("Q-", "MVAr", "smallest Q at PMAX, and at PMIN of a storage unit"),
        Column("SOC_MAX", "MWh", "largest state of charge"),
        Column("SOC_MIN", "MWh", "smallest state of charge"),
        Column("EFF", "-", "efficiency of charging, and of discharging"),
    ),
    id_columns=("DEV_ID",),
    integer_columns=("DEV_ID", "BUS_ID"),
    kind_column="DEV_TYPE",
    kinds=DEVICE_KINDS,
    rules={
        LOAD: {
            "Q/P": Rule(FINITE),
            "PMAX": Rule(NON_POSITIVE, 0.0),
            "PMIN": Rule(LOWER, -math.inf),
        },
        SLACK: {"PMAX": Rule(UPPER, math.inf), "PMIN": Rule(LOWER, -math.inf), **_REACTIVE_RULES},
        CLASSICAL: _GENERATOR_RULES,
        RENEWABLE: _GENERATOR_RULES,
        STORAGE: {
            "PMAX": Rule(NON_NEGATIVE_OR_INF, math.inf),
            "PMIN": Rule(NON_POSITIVE_OR_INF, -math.inf),
            **_REACTIVE_RULES,
            "P-": Rule(LOWER, "PMIN"),
            "SOC_MAX": Rule(NON_NEGATIVE),
            "SOC_MIN": Rule(NON_NEGATIVE, 0.0),
            "EFF": Rule(EFFICIENCY, 1.0),
        },
    },
    orders={
        LOAD: (("PMAX", ">=", "PMIN"),),
        SLACK: _GENERATOR_ORDERS,
        CLASSICAL: _GENERATOR_ORDERS,
        RENEWABLE: _GENERATOR_ORDERS,
        STORAGE: (
            *_GENERATOR_ORDERS,
            ("P-", ">=", "PMIN"),
            ("P-", "<=", "PMAX"),
            ("P+", ">=", "P-"),
            ("SOC_MAX", ">=", "SOC_MIN"),
        ),
    },
)

# Branches are all of one kind, filed under 0.
BRANCH = Table(
    name="branch",
    columns=(
        Column("F_BUS", "-", "bus at the from side, where the tap is"),
        Column("T_BUS", "-", "bus at the to side"),
        Column("BR_R", "p.u.", "series resistance"),
        Column("BR_X", "p.u.", "series reactance"),
        Column("BR_B", "p.u.", "total charging susceptance"),
        Column("RATE", "MVA", "largest apparent power"),
        Column("TAP", "-", "off-nominal turns ratio"),
        Column("SHIFT", "deg", "phase shift"),
    ),
    id_columns=("F_BUS", "T_BUS"),
    integer_columns=("F_BUS", "T_BUS"),
    kind_column=None,
    kinds=MappingProxyType({0: "branch"}),
    rules={
        0: {
            "BR_R": Rule(NON_NEGATIVE, 0.0),
            "BR_X": Rule(NON_NEGATIVE, 0.0),
            "BR_B": Rule(NON_NEGATIVE, 0.0),
            "RATE": Rule(NON_NEGATIVE_OR_INF, math.inf),
            "TAP": Rule(POSITIVE, 1.0),
            "SHIFT": Rule(DEGREES, 0.0),
        }
    },
)

TABLES = (BUS, DEVICE, BRANCH)
