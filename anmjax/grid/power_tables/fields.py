"""The tables that power flow programs exchange (MATPOWER's bus, gen and branch) made into a network.

Reference: R. D. Zimmerman and C. E. Murillo-Sanchez, MATPOWER User's Manual, Appendix B.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from anmjax.grid import tables
from anmjax.grid.asymmetry import BranchAsymmetry
from anmjax.grid.faults import Fault, NetworkError
from anmjax.grid.power_tables.checks import (
    check_base,
    check_branches,
    check_buses,
    check_generators,
    check_shapes,
    check_topology,
)
from anmjax.grid.power_tables.sources import (
    IsolatedBusWarning,
    ReferenceBusWarning,
    SetPointWarning,
    add_dclines,
    choose_references,
    supplied,
    warn_of_changes,
)
from anmjax.grid.power_tables.tables import (
    BASE_KV,
    BR_B,
    BR_R,
    BR_STATUS,
    BR_X,
    BS,
    BUS_I,
    BUS_TYPE,
    COLUMNS,
    F_BUS,
    GEN_BUS,
    GEN_STATUS,
    GS,
    PD,
    PG,
    PV,
    QD,
    QG,
    RATE_A,
    REF,
    SHIFT,
    T_BUS,
    TAP,
    VA,
    VG,
    VMAX,
    VMIN,
    PowerTables,
)

__all__ = [
    "BUS_I",
    "F_BUS",
    "GEN_BUS",
    "RATE_A",
    "T_BUS",
    "VMAX",
    "VMIN",
    "IsolatedBusWarning",
    "PowerTables",
    "ReferenceBusWarning",
    "SetPointWarning",
    "network_fields",
]


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
    check_shapes(source, faults)
    if faults:
        raise NetworkError(faults, origin)
    for name in ("gen", "branch"):
        if len(getattr(source, name)) == 0:
            empty: dict[str, Any] = {name: np.zeros((0, len(COLUMNS[name])))}
            source = replace(source, **empty)
    check_base(source.base_mva, faults)
    source = add_dclines(source, faults)
    check_topology(source, faults)
    named = source.bus[source.bus[:, BUS_TYPE] == REF, BUS_I]
    source, without_generator = choose_references(source, faults)
    live = np.full(len(source.bus), True) if faults else supplied(source)
    live_ids = source.bus[live, BUS_I]
    gen = source.gen[(source.gen[:, GEN_STATUS] > 0) & np.isin(source.gen[:, GEN_BUS], live_ids)]
    joins = np.isin(source.branch[:, [F_BUS, T_BUS]], live_ids).all(1)
    joins &= source.branch[:, F_BUS] != source.branch[:, T_BUS]
    check_buses(source, live, faults)
    kept = check_branches(source, joins, faults)
    check_generators(source, gen, faults)
    if faults:
        raise NetworkError(faults, origin)
    warn_of_changes(source, gen, named, without_generator, live, origin)

    rows = np.flatnonzero(live)
    rows = rows[np.argsort(source.bus[rows, BUS_I])]
    return _fields(source, rows, gen, kept)


def _fields(source: PowerTables, rows: np.ndarray, gen: np.ndarray, kept: np.ndarray) -> dict[str, Any]:
    """Scales faultless tables: supplied buses, by rows sorted by id, and what is connected to them."""
    base = float(source.base_mva)  # type: ignore[arg-type]
    bus, branch = source.bus[rows], source.branch[kept]
    ids = tuple(int(i) for i in bus[:, BUS_I])
    index = {i: k for k, i in enumerate(ids)}
    at = np.array([index[int(i)] for i in gen[:, GEN_BUS]], int)
    injected = [np.bincount(at, gen[:, column], len(bus)) for column in (PG, QG)]
    slacks, pv = (
        tuple(np.flatnonzero(np.isin(np.arange(len(bus)), at) & (bus[:, BUS_TYPE] == kind)).tolist())
        for kind in (REF, PV)
    )
    v_set = np.ones(len(bus))
    for k, magnitude in zip(at, gen[:, VG], strict=True):
        if bus[k, BUS_TYPE] in (PV, REF):
            v_set[k] = magnitude
    drawn = np.zeros((len(bus), 2)) if source.current_load is None else source.current_load[rows] / base
    draws = np.flatnonzero(drawn.any(1))
    unlimited = {
        f"{name}_{end}": np.full(len(slacks), limit) for name in "pq" for end, limit in _ENDS.items()
    }
    return {
        "base_mva": np.array(base),
        "base_kv": bus[:, BASE_KV].copy(),
        "v_max": bus[:, VMAX].copy(),
        "v_min": bus[:, VMIN].copy(),
        "v_set": v_set,
        "slack_angle": np.deg2rad(bus[list(slacks), VA]),
        "g_shunt": bus[:, GS] / base,
        "b_shunt": bus[:, BS] / base,
        "p": (injected[0] - bus[:, PD]) / base,
        "q": (injected[1] - bus[:, QD]) / base,
        "p_current": drawn[draws, 0],
        "q_current": drawn[draws, 1],
        "r": branch[:, BR_R].copy(),
        "x": branch[:, BR_X].copy(),
        "g": source.branch_g[kept].copy(),
        "b": branch[:, BR_B].copy(),
        "rating": np.where(branch[:, RATE_A] == 0, np.inf, branch[:, RATE_A] / base),
        "tap": np.where(branch[:, TAP] == 0, 1.0, branch[:, TAP]),
        "shift": np.deg2rad(branch[:, SHIFT]),
        "in_service": branch[:, BR_STATUS].copy(),
        **unlimited,
        **{name: np.zeros(len(slacks)) for name in ("qp_ratio", "soc_max", "soc_min")},
        "eff": np.ones(len(slacks)),
        "bus_ids": ids,
        "slacks": slacks,
        "pv": pv,
        "current_load_bus": tuple(draws.tolist()),
        "from_bus": tuple(index[int(i)] for i in branch[:, F_BUS]),
        "to_bus": tuple(index[int(i)] for i in branch[:, T_BUS]),
        "device_ids": tuple(range(len(slacks))),
        "device_bus": slacks,
        "device_kind": (tables.SLACK,) * len(slacks),
        "asymmetry": _asymmetry(source, kept),
        "branch_names": tuple(np.array(source.branch_names)[kept].tolist()) if source.branch_names else (),
    }


_ENDS = {"max": np.inf, "min": -np.inf, "plus": np.inf, "minus": -np.inf}


def _asymmetry(source: PowerTables, kept: np.ndarray) -> BranchAsymmetry | None:
    """None where every branch is the same from both ends."""
    if source.asymmetry is None or not source.asymmetry[kept].any():
        return None
    return BranchAsymmetry(*source.asymmetry[kept].T.copy())
