"""The tables that power flow programs exchange (MATPOWER's bus, gen and branch) made into a network.

Columns and units are those of MATPOWER's case format, version 2: MW, MVAr, MVA, degrees, impedances in
p.u. on ``base_mva``.

Reference: R. D. Zimmerman and C. E. Murillo-Sanchez, MATPOWER User's Manual, Appendix B.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from anmjax.grid import tables
from anmjax.grid.faults import Fault, NetworkError

BUS_I, BUS_TYPE, PD, QD, GS, BS, BUS_AREA, VM, VA, BASE_KV, ZONE, VMAX, VMIN = range(13)
GEN_BUS, PG, QG, QMAX, QMIN, VG, MBASE, GEN_STATUS = range(8)
F_BUS, T_BUS, BR_R, BR_X, BR_B, RATE_A, RATE_B, RATE_C, TAP, SHIFT, BR_STATUS = range(11)
PQ, PV, REF, NONE = 1, 2, 3, 4

# What the import reads of every table; further columns are results and data of optimisations.
_BUS_COLUMNS = ("BUS_I", "BUS_TYPE", "PD", "QD", "GS", "BS", "BUS_AREA", "VM", "VA", "BASE_KV", "ZONE")
_BRANCH_COLUMNS = ("F_BUS", "T_BUS", "BR_R", "BR_X", "BR_B", "RATE_A", "RATE_B", "RATE_C", "TAP", "SHIFT")
_COLUMNS = {
    "bus": (*_BUS_COLUMNS, "VMAX", "VMIN"),
    "gen": ("GEN_BUS", "PG", "QG", "QMAX", "QMIN", "VG", "MBASE", "GEN_STATUS"),
    "branch": (*_BRANCH_COLUMNS, "BR_STATUS"),
}
_LISTED = 20  # ids that a message lists before it says "and so many more"


class IsolatedBusWarning(UserWarning):
    """Warns that buses without a path to the slack were left out of a network, with what is connected.

    Attributes:
      bus_ids: ids of the buses left out, ascending.
      p_mw: MW, load that was left out with them.
      q_mvar: MVAr, load that was left out with them.
    """

    def __init__(self, bus_ids: Sequence[int], p_mw: float, q_mvar: float, origin: str) -> None:
        self.bus_ids, self.p_mw, self.q_mvar, self.origin = tuple(bus_ids), p_mw, q_mvar, origin
        count = "1 isolated bus was" if len(self.bus_ids) == 1 else f"{len(self.bus_ids)} isolated buses were"
        super().__init__(
            f"{origin}: {count} left out, with {p_mw:g} MW and {q_mvar:g} MVAr of load: bus "
            f"{_listing(self.bus_ids)}"
        )

    def __reduce__(self) -> tuple[type[IsolatedBusWarning], tuple[Any, ...]]:
        """Pickles by its parts."""
        return IsolatedBusWarning, (self.bus_ids, self.p_mw, self.q_mvar, self.origin)


@dataclass(frozen=True)
class PowerTables:
    """A grid in MATPOWER's tables, as a file or another program gave them: nothing is checked yet."""

    base_mva: object  # MVA
    bus: np.ndarray  # (n_bus, 13 or more)
    gen: np.ndarray  # (n_gen, 8 or more)
    branch: np.ndarray  # (n_branch, 11 or more)
    branch_g: np.ndarray  # (n_branch,) p.u., shunt conductance, which MATPOWER has no column for
    branch_names: tuple[str, ...] = ()  # (n_branch,) what messages call them; () for "branch 4-5 (row 3)"
    auxiliary: frozenset[int] = frozenset()  # ids of buses that the user never saw, not worth a warning


def network_fields(source: PowerTables, origin: str) -> dict[str, Any]:
    """Turns MATPOWER's tables into the fields of a network.

    Args:
      source: the tables.
      origin: what messages call the network, e.g. the name of its file.

    Returns:
      The fields of ``Network``, by name.

    Raises:
      NetworkError: the tables have faults; the error lists all of them.
    """
    faults: list[Fault] = []
    _check_shapes(source, faults)
    if faults:
        raise NetworkError(faults, origin)
    for name, columns in _COLUMNS.items():
        if len(getattr(source, name)) == 0:
            source = replace(source, **{name: np.zeros((0, len(columns)))})  # type: ignore[arg-type]
    _check_base(source.base_mva, faults)
    _check_topology(source, faults)
    live = np.full(len(source.bus), True) if faults else _supplied(source)
    index = {int(i): k for k, i in enumerate(source.bus[:, BUS_I]) if np.isfinite(i)}
    is_live = {i for i, k in index.items() if live[k]}
    gen = source.gen[[row[GEN_STATUS] > 0 and row[GEN_BUS] in is_live for row in source.gen]]
    kept = np.array([row[F_BUS] in is_live and row[T_BUS] in is_live for row in source.branch], bool)
    _check_numbers(source, live, gen, kept, faults)
    if faults:
        raise NetworkError(faults, origin)
    _warn_of_isolated(source, live, origin)

    bus = source.bus[live]
    order = np.argsort(bus[:, BUS_I])
    return _fields(source, bus[order], gen, source.branch[kept], source.branch_g[kept])


def _fields(
    source: PowerTables, bus: np.ndarray, gen: np.ndarray, branch: np.ndarray, branch_g: np.ndarray
) -> dict[str, Any]:
    """Scales faultless tables of supplied buses, sorted by id, and of what is connected to them."""
    base = float(source.base_mva)  # type: ignore[arg-type]
    ids = tuple(int(i) for i in bus[:, BUS_I])
    index = {i: k for k, i in enumerate(ids)}
    at = np.array([index[int(i)] for i in gen[:, GEN_BUS]], int)
    injected = [np.bincount(at, gen[:, column], len(bus)) for column in (PG, QG)]
    slack = int(np.flatnonzero(bus[:, BUS_TYPE] == REF)[0])
    # A PV bus is held by its generators: without one in service it is a PQ bus.
    held = {int(k) for k in at if bus[k, BUS_TYPE] in (PV, REF)}
    v_set = np.ones(len(bus))
    for k, magnitude in zip(at, gen[:, VG], strict=True):
        if k in held:
            v_set[k] = magnitude
    unlimited = {f"{name}_{end}": np.full(1, limit) for name in "pq" for end, limit in _ENDS.items()}
    return {
        "base_mva": np.array(base),
        "base_kv": bus[:, BASE_KV].copy(),
        "v_max": bus[:, VMAX].copy(),
        "v_min": bus[:, VMIN].copy(),
        "v_set": v_set,
        "slack_angle": np.array(np.deg2rad(bus[slack, VA])),
        "g_shunt": bus[:, GS] / base,
        "b_shunt": bus[:, BS] / base,
        "p": (injected[0] - bus[:, PD]) / base,
        "q": (injected[1] - bus[:, QD]) / base,
        "r": branch[:, BR_R].copy(),
        "x": branch[:, BR_X].copy(),
        "g": branch_g.copy(),
        "b": branch[:, BR_B].copy(),
        "rating": np.where(branch[:, RATE_A] == 0, np.inf, branch[:, RATE_A] / base),
        "tap": np.where(branch[:, TAP] == 0, 1.0, branch[:, TAP]),
        "shift": np.deg2rad(branch[:, SHIFT]),
        "in_service": branch[:, BR_STATUS].copy(),
        **unlimited,
        **{name: np.zeros(1) for name in ("qp_ratio", "soc_max", "soc_min")},
        "eff": np.ones(1),
        "bus_ids": ids,
        "slack": slack,
        "pv": tuple(sorted(held - {slack})),
        "from_bus": tuple(index[int(i)] for i in branch[:, F_BUS]),
        "to_bus": tuple(index[int(i)] for i in branch[:, T_BUS]),
        "device_ids": (0,),
        "device_bus": (slack,),
        "device_kind": (tables.SLACK,),
    }


_ENDS = {"max": np.inf, "min": -np.inf, "plus": np.inf, "minus": -np.inf}


def _check_shapes(source: PowerTables, faults: list[Fault]) -> None:
    """Tables are two-dimensional and wide enough; a table without rows may have any shape."""
    for name, columns in _COLUMNS.items():
        table = getattr(source, name)
        if len(table) == 0 and name != "bus":
            continue
        if table.ndim != 2 or table.shape[1] < len(columns) or len(table) == 0:
            allowed = f"must be a table of {len(columns)} columns or more: {', '.join(columns)}"
            faults.append(Fault("network", name, f"of shape {table.shape}", allowed))


def _check_base(base: object, faults: list[Fault]) -> None:
    if not isinstance(base, (int, float, np.number)) or not np.isfinite(base) or not base > 0:
        faults.append(Fault("network", "baseMVA", base, "must be a finite number > 0"))


def _check_topology(source: PowerTables, faults: list[Fault]) -> None:
    """Ids are unique integers, types are known, references exist, there is one reference bus."""
    seen: set[float] = set()
    for row, (number, kind) in enumerate(source.bus[:, [BUS_I, BUS_TYPE]].tolist()):
        if not np.isfinite(number) or number != int(number):
            faults.append(Fault(f"bus (row {row})", "BUS_I", number, "must be an integer"))
        elif number in seen:
            faults.append(Fault(f"bus (row {row})", "BUS_I", number, "must be unique"))
        seen.add(number)
        if kind not in (PQ, PV, REF, NONE):
            allowed = "must be 1 (PQ), 2 (PV), 3 (reference) or 4 (isolated)"
            faults.append(Fault(_bus_name(number, row), "BUS_TYPE", kind, allowed))
    references = sorted(source.bus[source.bus[:, BUS_TYPE] == REF, BUS_I].tolist())
    if len(references) != 1:
        found = f"3 at bus {_listing(references)}" if references else "never 3"
        faults.append(Fault("network", "BUS_TYPE", found, "must be 3 (reference) for exactly one bus"))
    for row, (number, status) in enumerate(source.gen[:, [GEN_BUS, GEN_STATUS]].tolist()):
        if number not in seen:
            faults.append(Fault(f"gen (row {row})", "GEN_BUS", number, "must be the number of a bus"))
        if not np.isfinite(status):
            faults.append(Fault(f"gen (row {row})", "GEN_STATUS", status, "must be a finite number"))
    for row, ends in enumerate(source.branch[:, [F_BUS, T_BUS]].tolist()):
        name = _branch_name(source, row)
        for column, number in zip(("F_BUS", "T_BUS"), ends, strict=True):
            if number not in seen:
                faults.append(Fault(name, column, number, "must be the number of a bus"))
        if ends[0] == ends[1]:
            faults.append(Fault(name, "T_BUS", ends[1], "must differ from F_BUS"))
        if source.branch[row, BR_STATUS] not in (0, 1):
            faults.append(Fault(name, "BR_STATUS", source.branch[row, BR_STATUS], "must be 0 or 1"))


def _supplied(source: PowerTables) -> np.ndarray:
    """Whether a path of branches in service leads from each bus to the reference bus, (n_bus,) bool."""
    index = {int(i): k for k, i in enumerate(source.bus[:, BUS_I])}
    alive = source.bus[:, BUS_TYPE] != NONE
    neighbours: list[list[int]] = [[] for _ in index]
    for f, t, status in source.branch[:, [F_BUS, T_BUS, BR_STATUS]].tolist():
        f, t = index[int(f)], index[int(t)]
        if status and alive[f] and alive[t]:
            neighbours[f].append(t)
            neighbours[t].append(f)
    frontier = np.flatnonzero(source.bus[:, BUS_TYPE] == REF).tolist()
    reached = np.zeros(len(index), bool)
    reached[frontier] = True
    while frontier:
        for k in neighbours[frontier.pop()]:
            if not reached[k]:
                reached[k] = True
                frontier.append(k)
    return reached


def _check_numbers(
    source: PowerTables, live: np.ndarray, gen: np.ndarray, kept: np.ndarray, faults: list[Fault]
) -> None:
    """Numbers that the network takes over are finite and in range; those left out may be anything."""

    def check(
        table: str, rows: np.ndarray, columns: str, allowed: str, is_valid: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        array = getattr(source, table)
        for column in columns.split():
            values = array[:, _COLUMNS[table].index(column)]
            for row in np.flatnonzero(rows & ~is_valid(values)).tolist():
                faults.append(Fault(_element(source, table, row), column, values[row], f"must be {allowed}"))

    check("bus", live, "PD QD GS BS", "a finite number", np.isfinite)
    check("bus", live & (source.bus[:, BUS_TYPE] == REF), "VA", "a finite number", np.isfinite)
    check("bus", live, "BASE_KV VMAX VMIN", "a finite number >= 0", lambda v: np.isfinite(v) & (v >= 0))
    check("branch", kept, "BR_R BR_X BR_B SHIFT", "a finite number", np.isfinite)
    check("branch", kept, "TAP", "a finite number >= 0", lambda v: np.isfinite(v) & (v >= 0))
    check("branch", kept, "RATE_A", "a number >= 0 or inf", lambda v: v >= 0)
    for row in np.flatnonzero(kept).tolist():
        if not np.isfinite(source.branch_g[row]):
            fault = Fault(_branch_name(source, row), "BR_G", source.branch_g[row], "must be a finite number")
            faults.append(fault)
        if source.branch[row, BR_R] == 0 and source.branch[row, BR_X] == 0:
            allowed = "must not be 0 where BR_R is 0: a branch needs an impedance (a small one will do)"
            faults.append(Fault(_branch_name(source, row), "BR_X", 0, allowed))
    _check_generators(source, gen, faults)


def _check_generators(source: PowerTables, gen: np.ndarray, faults: list[Fault]) -> None:
    """Generators in service inject finite powers; those at one bus agree on the voltage they hold."""
    kinds = dict(source.bus[:, [BUS_I, BUS_TYPE]].tolist())
    set_points: dict[float, float] = {}
    for number, p, q, v in gen[:, [GEN_BUS, PG, QG, VG]].tolist():
        name = f"generator at bus {int(number)}"
        for column, value in (("PG", p), ("QG", q)):
            if not np.isfinite(value):
                faults.append(Fault(name, column, value, "must be a finite number"))
        if kinds.get(number) not in (PV, REF):
            continue
        if not (np.isfinite(v) and v > 0):
            faults.append(Fault(name, "VG", v, "must be a finite number > 0"))
        elif not np.isclose(set_points.setdefault(number, v), v, rtol=0, atol=1e-9):
            allowed = f"must be {set_points[number]:.12g}, as at the other generator of that bus"
            faults.append(Fault(name, "VG", v, allowed))
    for number, kind in kinds.items():
        if kind == REF and not any(row[GEN_BUS] == number for row in gen):
            allowed = "must be 3 (reference) only at a bus with a generator in service"
            faults.append(Fault(_bus_name(number), "BUS_TYPE", kind, allowed))


def _warn_of_isolated(source: PowerTables, live: np.ndarray, origin: str) -> None:
    """Warns of the buses that are left out, unless they are none of the user's."""
    lost = [row for row in source.bus[~live] if int(row[BUS_I]) not in source.auxiliary]
    if lost:
        p, q = (float(np.nansum([row[column] for row in lost])) for column in (PD, QD))
        ids = sorted(int(row[BUS_I]) for row in lost)
        # The caller of Network.from_...: above the classmethod, its reader and network_fields.
        warnings.warn(IsolatedBusWarning(ids, p, q, origin), stacklevel=5)


def _element(source: PowerTables, table: str, row: int) -> str:
    return _branch_name(source, row) if table == "branch" else _bus_name(source.bus[row, BUS_I], row)


def _bus_name(number: float, row: int | None = None) -> str:
    return f"bus {int(number)}" if np.isfinite(number) else f"bus (row {row})"


def _branch_name(source: PowerTables, row: int) -> str:
    """What messages call a branch."""
    if source.branch_names:
        return source.branch_names[row]
    f, t = source.branch[row, [F_BUS, T_BUS]].tolist()
    return f"branch {f:g}-{t:g} (row {row})"


def _listing(ids: Sequence[float]) -> str:
    """Lists ids, the first few only where there are many."""
    text = ", ".join(f"{i:g}" if i != int(i) else str(int(i)) for i in ids[:_LISTED])
    return text if len(ids) <= _LISTED else f"{text} and {len(ids) - _LISTED} more"
