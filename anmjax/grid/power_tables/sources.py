"""Sources of an imported grid: its reference buses, what they supply, and lines of direct current.

Reference: MATPOWER 8, bustypes.m (which buses are held) and toggle_dcline.m (lines of direct current); R. D.
Zimmerman and C. E. Murillo-Sanchez, MATPOWER User's Manual, sec. 7.6.3.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from anmjax.grid.faults import Fault
from anmjax.grid.power_tables.tables import (
    BR_STATUS,
    BUS_I,
    BUS_TYPE,
    COLUMNS,
    F_BUS,
    GEN_BUS,
    GEN_STATUS,
    NONE,
    PD,
    PG,
    PQ,
    PV,
    QD,
    QG,
    REF,
    T_BUS,
    VG,
    PowerTables,
    listing,
)
from anmjax.grid.topology import islands

DC_F, DC_T, DC_STATUS, DC_PF, DC_PT, DC_QF, DC_QT, DC_VF, DC_VT = range(9)
DC_LOSS0, DC_LOSS1 = 15, 16


class IsolatedBusWarning(UserWarning):
    """Warns that buses without a path to a slack were left out of a network, with what is connected.

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
            f"{listing(self.bus_ids)}"
        )

    def __reduce__(self) -> tuple[type[IsolatedBusWarning], tuple[Any, ...]]:
        """Pickles by its parts."""
        return IsolatedBusWarning, (self.bus_ids, self.p_mw, self.q_mvar, self.origin)


class ReferenceBusWarning(UserWarning):
    """Warns that the reference buses of a network are not those that its tables name.

    A reference bus without a generator in service becomes a PQ bus. Where none is left, the first PV bus of
    the table with a generator in service takes its place, at the voltage angle that the table has for it.

    Attributes:
      without_generator: ids of the reference buses of the tables that have no generator in service.
      references: ids of the buses that are references instead, ascending.
    """

    def __init__(self, without_generator: Sequence[int], references: Sequence[int], origin: str) -> None:
        self.without_generator, self.references = tuple(without_generator), tuple(references)
        self.origin = origin
        reason = (
            f"reference bus {listing(self.without_generator)} has no generator in service"
            if self.without_generator
            else "there is no reference bus (BUS_TYPE 3)"
        )
        super().__init__(f"{origin}: {reason}; bus {listing(self.references)} is the reference instead")

    def __reduce__(self) -> tuple[type[ReferenceBusWarning], tuple[Any, ...]]:
        """Pickles by its parts."""
        return ReferenceBusWarning, (self.without_generator, self.references, self.origin)


class SetPointWarning(UserWarning):
    """Warns that generators of one bus ask for different voltages; the last of them is taken, as in MATPOWER.

    Attributes:
      bus_ids: ids of these buses, ascending.
    """

    def __init__(self, bus_ids: Sequence[int], origin: str) -> None:
        self.bus_ids, self.origin = tuple(bus_ids), origin
        super().__init__(
            f"{origin}: generators at bus {listing(self.bus_ids)} disagree on the voltage to hold (VG); the "
            "last one counts"
        )

    def __reduce__(self) -> tuple[type[SetPointWarning], tuple[Any, ...]]:
        """Pickles by its parts."""
        return SetPointWarning, (self.bus_ids, self.origin)


def add_dclines(source: PowerTables, faults: list[Fault]) -> PowerTables:
    """Stands two generators for every line of direct current in service, as MATPOWER does.

    One takes PF out of the from bus, the other gives PF - (LOSS0 + LOSS1 PF) to the to bus; both hold their
    bus at VF or VT, which makes a PQ bus a PV bus and comes before what other generators there hold; of
    several lines the last counts. Lines out of service may hold anything.
    """
    dc = source.dcline
    if dc is None or len(dc) == 0:
        return source
    columns = COLUMNS["dcline"]
    if dc.ndim != 2 or dc.shape[1] < len(columns):
        allowed = f"must be a table of {len(columns)} columns or more: {', '.join(columns)}"
        faults.append(Fault("network", "dcline", f"of shape {dc.shape}", allowed))
        return source
    for row in np.flatnonzero(np.isnan(dc[:, DC_STATUS])).tolist():
        faults.append(Fault(f"dcline (row {row})", "BR_STATUS", np.nan, "must be a number"))
    rows = np.flatnonzero(dc[:, DC_STATUS] > 0)
    known = set(source.bus[:, BUS_I].tolist())
    for row in rows.tolist():
        for column in (DC_F, DC_T):
            if dc[row, column] not in known:
                allowed = "must be the number of a bus"
                faults.append(Fault(f"dcline (row {row})", columns[column], dc[row, column], allowed))
        for column in (DC_PF, DC_QF, DC_QT, DC_LOSS0, DC_LOSS1):
            if not np.isfinite(dc[row, column]):
                allowed = "must be a finite number"
                faults.append(Fault(f"dcline (row {row})", columns[column], dc[row, column], allowed))
        for column in (DC_VF, DC_VT):
            if not 0 < dc[row, column] < np.inf:
                allowed = "must be a finite number > 0"
                faults.append(Fault(f"dcline (row {row})", columns[column], dc[row, column], allowed))
    lines = dc[rows]
    given = lines[:, DC_PF] - (lines[:, DC_LOSS0] + lines[:, DC_LOSS1] * lines[:, DC_PF])
    ends = []
    for bus, p, q, v in (
        (lines[:, DC_F], -lines[:, DC_PF], lines[:, DC_QF], lines[:, DC_VF]),
        (lines[:, DC_T], given, lines[:, DC_QT], lines[:, DC_VT]),
    ):
        gen = np.zeros((len(lines), max(source.gen.shape[1], len(COLUMNS["gen"]))))
        gen[:, GEN_BUS], gen[:, PG], gen[:, QG], gen[:, VG], gen[:, GEN_STATUS] = bus, p, q, v, 1
        ends.append(gen)
    bus = source.bus.copy()
    held = np.isin(bus[:, BUS_I], lines[:, [DC_F, DC_T]]) & (bus[:, BUS_TYPE] == PQ)
    bus[held, BUS_TYPE] = PV
    gen = np.concatenate([source.gen, *ends])
    # Of the set-points at a bus MATPOWER takes the last, and the lines' come after the generators'.
    for number, v in np.concatenate(ends)[:, [GEN_BUS, VG]]:
        gen[gen[:, GEN_BUS] == number, VG] = v
    return replace(source, bus=bus, gen=gen)


def choose_references(source: PowerTables, faults: list[Fault]) -> tuple[PowerTables, list[int]]:
    """Reference and PV buses are those with a generator in service, as in MATPOWER.

    Returns:
      The tables with the kinds of bus that the power flow takes, and the ids of the reference buses that
      are none.
    """
    bus = source.bus.copy()
    kinds = bus[:, BUS_TYPE]
    running = np.isin(bus[:, BUS_I], source.gen[source.gen[:, GEN_STATUS] > 0, GEN_BUS])
    bare = (kinds == REF) & ~running
    named = kinds == REF
    kinds[np.isin(kinds, (PV, REF)) & ~running] = PQ
    if not (kinds == REF).any():
        candidates = np.flatnonzero(kinds == PV)
        if len(candidates) == 0:
            found = f"3 at bus {listing(bus[named, BUS_I].tolist())}" if named.any() else "never 3"
            allowed = "must be 3 (reference) or 2 (PV) for a bus with a generator in service"
            faults.append(Fault("network", "BUS_TYPE", found, allowed))
            return source, []
        kinds[candidates[0]] = REF
    return replace(source, bus=bus), sorted(int(i) for i in bus[bare, BUS_I] if np.isfinite(i))


def supplied(source: PowerTables) -> np.ndarray:
    """Whether a path of branches in service leads from each bus to a reference bus, (n_bus,) bool."""
    index = {int(i): k for k, i in enumerate(source.bus[:, BUS_I])}
    alive = source.bus[:, BUS_TYPE] != NONE
    closed = source.branch[source.branch[:, BR_STATUS] != 0]
    f, t = (np.array([index[int(i)] for i in closed[:, end]], int) for end in (F_BUS, T_BUS))
    joins = alive[f] & alive[t]
    island = islands(len(index), f[joins].tolist(), t[joins].tolist())
    return np.isin(island, island[source.bus[:, BUS_TYPE] == REF]) & alive


def _at_odds(source: PowerTables, gen: np.ndarray) -> list[int]:
    """Ids of the held buses whose generators ask for different voltages, ascending."""
    held = source.bus[np.isin(source.bus[:, BUS_TYPE], (PV, REF)), BUS_I]
    asked: dict[int, float] = {}
    odd = set()
    for number, v in gen[np.isin(gen[:, GEN_BUS], held)][:, [GEN_BUS, VG]].tolist():
        if abs(asked.setdefault(int(number), v) - v) > 1e-9:  # closer than any case writes them
            odd.add(int(number))
    return sorted(odd)


def warn_of_changes(
    source: PowerTables,
    gen: np.ndarray,
    named: np.ndarray,
    without_generator: list[int],
    live: np.ndarray,
    origin: str,
) -> None:
    """Warns of buses that are left out, unless they are none of the user's, and of choices that were made.

    Args:
      source: the tables as they are taken over.
      gen: the generators in service at supplied buses.
      named: ids of the reference buses in the tables as they were given.
      without_generator: those of them without a generator in service.
      live: (n_bus,) bool, supplied buses.
      origin: what messages call the network.
    """
    references = source.bus[source.bus[:, BUS_TYPE] == REF, BUS_I]
    # The caller of Network.from_...: above the classmethod, its reader and network_fields.
    if not np.array_equal(np.sort(named), np.sort(references)):
        ids = sorted(int(i) for i in references)
        warnings.warn(ReferenceBusWarning(without_generator, ids, origin), stacklevel=5)
    if odd := _at_odds(source, gen):
        warnings.warn(SetPointWarning(odd, origin), stacklevel=5)
    lost = [row for row in source.bus[~live] if int(row[BUS_I]) not in source.auxiliary]
    if lost:
        p, q = (float(np.nansum([row[column] for row in lost])) for column in (PD, QD))
        ids = sorted(int(row[BUS_I]) for row in lost)
        warnings.warn(IsolatedBusWarning(ids, p, q, origin), stacklevel=5)
