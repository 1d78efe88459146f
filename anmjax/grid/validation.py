"""Checks a network dict whole and reports everything that is wrong with it at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anmjax.grid.faults import Fault, NetworkError
from anmjax.grid.parsing import Row, read_base, read_table
from anmjax.grid.tables import BRANCH, BUS, DEVICE, SLACK, SLACK_BUS, STORAGE
from anmjax.grid.topology import islands

__all__ = ["Fault", "NetworkError", "Tables", "read", "validate"]


@dataclass(frozen=True)
class Tables:
    """A faultless network dict: typed rows in file order, defaults filled in, units of the tables."""

    base_mva: float
    bus: list[Row]
    device: list[Row]
    branch: list[Row]


def validate(d: object) -> list[Fault]:
    """Lists everything that is wrong with a network dict; an empty list means that it can be simulated.

    A network has one slack bus, with one slack device connected to it, unique ids, branches and devices
    at existing buses, every bus connected to the slack, and the values that the tables allow. Bus ids
    may be any integers, and branches may be parallel.

    Args:
      d: dict with the keys ``baseMVA`` (MVA), ``bus``, ``device`` and ``branch`` (two-dimensional tables,
        see ``anmjax.grid.tables`` for the columns). Other keys are ignored.

    Returns:
      The faults, in the order of the tables.
    """
    return _read(d)[1]


def read(d: object) -> Tables:
    """Reads a network dict into typed rows.

    Raises:
      NetworkError: the dict has faults; the error lists all of them.
    """
    tables, faults = _read(d)
    if tables is None:
        raise NetworkError(faults)
    return tables


def _read(d: object) -> tuple[Tables | None, list[Fault]]:
    """Reads and checks; the tables are None where there are faults."""
    faults: list[Fault] = []
    if not isinstance(d, Mapping):
        allowed = "must be a dict with the keys baseMVA, bus, device and branch"
        return None, [Fault("network", "network", d, allowed)]
    # Every table is read and checked even where another one is at fault, so that one call tells all; a check
    # that needs several tables waits until those can be read.
    base = read_base(d, faults)
    bus, device, branch = (read_table(d, table, faults) for table in (BUS, DEVICE, BRANCH))
    for rows, column in ((bus, "BUS_ID"), (device, "DEV_ID")):
        if rows is not None:
            _check_unique(rows, column, faults)
    if bus is not None:
        _check_one_slack(bus, SLACK_BUS, "BUS_TYPE", "bus", faults)
        _check_references(bus, device or [], ("BUS_ID",), faults)
        _check_references(bus, branch or [], ("F_BUS", "T_BUS"), faults)
        if branch is not None:
            _check_connected(bus, branch, faults)
    if device is not None:
        _check_one_slack(device, SLACK, "DEV_TYPE", "device", faults)
        for row in device:
            _check_slopes(row, faults)
        if bus is not None:
            _check_slacks_match(bus, device, faults)
    for row in branch or []:
        _check_branch(row, faults)
    # A table that cannot be read has its fault in the list; the rest is for the type checker.
    if faults or base is None or bus is None or device is None or branch is None:
        return None, faults
    return Tables(base, bus, device, branch), faults


def _check_unique(rows: Sequence[Row], column: str, faults: list[Fault]) -> None:
    """Ids are unique."""
    seen: set[int] = set()
    for row in rows:
        if column in row.ids:  # an id at fault has been told of, and equals no other
            if row.ids[column] in seen:
                faults.append(Fault(row.element, column, row.ids[column], "must be unique"))
            seen.add(row.ids[column])


def _check_one_slack(rows: Sequence[Row], kind: int, column: str, name: str, faults: list[Fault]) -> None:
    """Exactly one row is the slack."""
    slacks = [row.element for row in rows if row.kind == kind]
    if len(slacks) == 1 or (not slacks and any(row.kind is None for row in rows)):
        return  # a kind at fault may be the slack that seems to be missing
    found = f"0 in {', '.join(slacks)}" if slacks else "never 0"
    faults.append(Fault("network", column, found, f"must be 0 (slack) for exactly one {name}"))


def _check_references(
    bus: Sequence[Row], rows: Sequence[Row], columns: Sequence[str], faults: list[Fault]
) -> None:
    """Rows refer to existing buses."""
    if any("BUS_ID" not in row.ids for row in bus):
        return  # which ids exist is not known yet
    known = {row.ids["BUS_ID"] for row in bus}
    for row in rows:
        for column in columns:
            if column in row.ids and row.ids[column] not in known:
                allowed = f"must be the id of a bus: {_listing(known)}"
                faults.append(Fault(row.element, column, row.ids[column], allowed))


def _check_slacks_match(bus: Sequence[Row], device: Sequence[Row], faults: list[Fault]) -> None:
    """The slack device is connected to the slack bus."""
    buses = [row.ids.get("BUS_ID") for row in bus if row.kind == SLACK_BUS]
    devices = [row for row in device if row.kind == SLACK and "BUS_ID" in row.ids]
    if len(buses) == 1 and len(devices) == 1 and buses[0] is not None:
        at_bus = devices[0].ids["BUS_ID"]
        # A bus that does not exist is the fault of a reference, told of there.
        if at_bus != buses[0] and any(row.ids.get("BUS_ID") == at_bus for row in bus):
            allowed = f"must be {buses[0]}, the slack bus, for the slack device"
            faults.append(Fault(devices[0].element, "BUS_ID", at_bus, allowed))


def _check_slopes(row: Row, faults: list[Fault]) -> None:
    """A limit on Q that tightens towards PMAX or PMIN starts from a finite value: its slope is finite."""
    # The slack is not projected: its power follows from the power flow, whatever its limits.
    if row.kind == SLACK or not row.values.keys() >= {"PMAX", "PMIN", "P+"}:
        return
    slopes = row.values["P+"] < row.values["PMAX"]
    if row.kind == STORAGE and "P-" in row.values:
        slopes = slopes or row.values["P-"] > row.values["PMIN"]
    for limit, tighter in (("QMAX", "Q+"), ("QMIN", "Q-")):
        unlimited = math.isinf(row.values.get(limit, 0))
        if slopes and unlimited and math.isfinite(row.values.get(tighter, math.inf)):
            allowed = f"must be finite where {tighter} = {row.values[tighter]:g} tightens it"
            faults.append(Fault(row.element, limit, row.raw[limit], allowed))


def _check_branch(row: Row, faults: list[Fault]) -> None:
    """A branch joins two buses and has an impedance."""
    if row.ids.keys() >= {"F_BUS", "T_BUS"} and row.ids["F_BUS"] == row.ids["T_BUS"]:
        faults.append(Fault(row.element, "T_BUS", row.ids["T_BUS"], "must differ from F_BUS"))
    if row.values.get("BR_R") == 0 and row.values.get("BR_X") == 0:
        allowed = "must be > 0 where BR_R is 0: a branch needs an impedance (a small one will do, say 0.0001)"
        faults.append(Fault(row.element, "BR_X", row.raw["BR_X"], allowed))


def _check_connected(bus: Sequence[Row], branch: Sequence[Row], faults: list[Fault]) -> None:
    """Every bus has a path to the slack."""
    slacks = [row.ids.get("BUS_ID") for row in bus if row.kind == SLACK_BUS]
    if len(slacks) != 1 or slacks[0] is None:
        return  # from where to look is not known yet
    # Dict tables have no switch: a branch in the table is closed.
    ids = dict.fromkeys(row.ids["BUS_ID"] for row in bus if "BUS_ID" in row.ids)
    index = {i: k for k, i in enumerate(ids)}
    ends = [(row.ids.get("F_BUS"), row.ids.get("T_BUS")) for row in branch]
    joined = [(index[f], index[t]) for f, t in ends if f in index and t in index]
    island = islands(len(index), [f for f, _ in joined], [t for _, t in joined])
    for row in bus:
        own = row.ids.get("BUS_ID", slacks[0])  # a bus without an id has a fault of its own
        if island[index[own]] != island[index[slacks[0]]]:
            allowed = f"must have a path of branches to the slack bus {slacks[0]}"
            faults.append(Fault(row.element, "BUS_ID", own, allowed))


def _listing(ids: set[int]) -> str:
    """Lists ids, the first few only where there are many."""
    ordered = [str(i) for i in sorted(ids)]
    return ", ".join(ordered) if len(ordered) <= 12 else ", ".join([*ordered[:10], "...", ordered[-1]])
