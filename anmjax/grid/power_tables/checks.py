"""Finds what is wrong with MATPOWER's tables. What is out of service may hold any numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anmjax.grid.faults import Fault
from anmjax.grid.power_tables.tables import (
    BR_R,
    BR_STATUS,
    BR_X,
    BUS_I,
    BUS_TYPE,
    COLUMNS,
    F_BUS,
    GEN_BUS,
    GEN_STATUS,
    NONE,
    PG,
    PQ,
    PV,
    QG,
    REF,
    T_BUS,
    VG,
    PowerTables,
    branch_name,
    bus_name,
)

_ASYMMETRY = ("BR_R_ASYM", "BR_X_ASYM", "BR_G_ASYM", "BR_B_ASYM")  # pandapower's names


def check_shapes(source: PowerTables, faults: list[Fault]) -> None:
    """Tables are two-dimensional and wide enough; a table without rows may have any shape."""
    for name in ("bus", "gen", "branch"):
        table, columns = getattr(source, name), COLUMNS[name]
        if len(table) == 0 and name != "bus":
            continue
        if table.ndim != 2 or table.shape[1] < len(columns) or len(table) == 0:
            allowed = f"must be a table of {len(columns)} columns or more: {', '.join(columns)}"
            faults.append(Fault("network", name, f"of shape {table.shape}", allowed))


def check_base(base: object, faults: list[Fault]) -> None:
    """The base power is a finite number > 0."""
    if not isinstance(base, (int, float, np.number)) or not np.isfinite(base) or not base > 0:
        faults.append(Fault("network", "baseMVA", base, "must be a finite number > 0"))


def check_topology(source: PowerTables, faults: list[Fault]) -> None:
    """Ids are unique integers, types are known, references of what is in service exist."""
    seen: set[float] = set()
    for row, (number, kind) in enumerate(source.bus[:, [BUS_I, BUS_TYPE]].tolist()):
        if not np.isfinite(number) or number != int(number):
            faults.append(Fault(f"bus (row {row})", "BUS_I", number, "must be an integer"))
        elif number in seen:
            faults.append(Fault(f"bus (row {row})", "BUS_I", number, "must be unique"))
        seen.add(number)
        if kind not in (PQ, PV, REF, NONE):
            allowed = "must be 1 (PQ), 2 (PV), 3 (reference) or 4 (isolated)"
            faults.append(Fault(bus_name(number, row), "BUS_TYPE", kind, allowed))
    for row, (number, status) in enumerate(source.gen[:, [GEN_BUS, GEN_STATUS]].tolist()):
        if status > 0 and number not in seen:
            faults.append(Fault(f"gen (row {row})", "GEN_BUS", number, "must be the number of a bus"))
        if not np.isfinite(status):
            faults.append(Fault(f"gen (row {row})", "GEN_STATUS", status, "must be a finite number"))
    for row, (f, t, status) in enumerate(source.branch[:, [F_BUS, T_BUS, BR_STATUS]].tolist()):
        if status == 0:
            continue
        name = branch_name(source, row)
        for column, number in (("F_BUS", f), ("T_BUS", t)):
            if number not in seen:
                faults.append(Fault(name, column, number, "must be the number of a bus"))
        if f == t:
            faults.append(Fault(name, "T_BUS", t, "must differ from F_BUS"))
        if status != 1:
            faults.append(Fault(name, "BR_STATUS", status, "must be 0 or 1"))


def check_buses(source: PowerTables, live: np.ndarray, faults: list[Fault]) -> None:
    """Numbers of supplied buses, (n_bus,) bool, are finite and in range; of others they may be anything."""

    def check(
        rows: np.ndarray, columns: str, allowed: str, is_valid: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        for column in columns.split():
            values = source.bus[:, COLUMNS["bus"].index(column)]
            for row in np.flatnonzero(rows & ~is_valid(values)).tolist():
                name = bus_name(source.bus[row, BUS_I], row)
                faults.append(Fault(name, column, values[row], f"must be {allowed}"))

    check(live, "PD QD GS BS", "a finite number", np.isfinite)
    check(live & (source.bus[:, BUS_TYPE] == REF), "VA", "a finite number", np.isfinite)
    check(live, "BASE_KV VMAX VMIN", "a finite number >= 0", lambda v: np.isfinite(v) & (v >= 0))
    if source.current_load is not None:
        for row in np.flatnonzero(live & ~np.isfinite(source.current_load).all(1)).tolist():
            value = source.current_load[row].tolist()
            name = bus_name(source.bus[row, BUS_I], row)
            faults.append(Fault(name, "current_load", value, "must be finite numbers"))


def check_branches(source: PowerTables, joins: np.ndarray, faults: list[Fault]) -> np.ndarray:
    """Numbers of branches in service are finite and in range, and those of branches to keep.

    Args:
      source: the tables.
      joins: (n_branch,) bool, branches between supplied buses.
      faults: what is wrong is appended here.

    Returns:
      (n_branch,) bool, branches to keep: not those out of service whose numbers make no branch.
    """
    branch, finite = source.branch, "must be a finite number"
    values = {name: branch[:, COLUMNS["branch"].index(name)] for name in ("BR_R", "BR_X", "BR_B", "SHIFT")}
    values["BR_G"] = source.branch_g
    if source.asymmetry is not None:
        values |= dict(zip(_ASYMMETRY, source.asymmetry.T, strict=True))
    rules = [(name, column, np.isfinite(column), finite) for name, column in values.items()]
    tap, rate = (branch[:, COLUMNS["branch"].index(name)] for name in ("TAP", "RATE_A"))
    rules.append(("TAP", tap, np.isfinite(tap) & (tap >= 0), "must be a finite number >= 0"))
    rules.append(("RATE_A", rate, rate >= 0, "must be a number >= 0 or inf"))
    allowed = "must not be 0 where BR_R is 0: a branch needs an impedance (a small one will do)"
    rules.append(("BR_X", branch[:, BR_X], (branch[:, BR_R] != 0) | (branch[:, BR_X] != 0), allowed))
    if source.asymmetry is not None:
        r, x = (branch[:, [BR_R, BR_X]] + source.asymmetry[:, :2]).T
        allowed = "must leave an impedance at the to end"
        rules.append(("BR_X_ASYM", source.asymmetry[:, 1], (r != 0) | (x != 0), allowed))
    kept = joins.copy()
    for name, column, is_valid, allowed in rules:
        for row in np.flatnonzero(joins & ~is_valid).tolist():
            if branch[row, BR_STATUS] != 0:
                faults.append(Fault(branch_name(source, row), name, column[row], allowed))
        kept &= is_valid
    return kept


def check_generators(source: PowerTables, gen: np.ndarray, faults: list[Fault]) -> None:
    """Generators in service inject finite powers, and hold their bus at a voltage if it is held."""
    kinds = dict(source.bus[:, [BUS_I, BUS_TYPE]].tolist())
    for number, p, q, v in gen[:, [GEN_BUS, PG, QG, VG]].tolist():
        name = f"generator at bus {number:.12g}"
        for column, value in (("PG", p), ("QG", q)):
            if not np.isfinite(value):
                faults.append(Fault(name, column, value, "must be a finite number"))
        if kinds.get(number) in (PV, REF) and not (np.isfinite(v) and v > 0):
            faults.append(Fault(name, "VG", v, "must be a finite number > 0"))
