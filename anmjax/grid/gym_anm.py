"""gym-anm dicts: into the fields of a network, and back with numbers that read back equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from anmjax.grid import tables
from anmjax.grid.parsing import Row
from anmjax.grid.validation import read

# Of a network, whose file imports this one.
Network: TypeAlias = Any

_POWERS = {
    "PMAX": "p_max",
    "PMIN": "p_min",
    "QMAX": "q_max",
    "QMIN": "q_min",
    "P+": "p_plus",
    "P-": "p_minus",
    "Q+": "q_plus",
    "Q-": "q_minus",
    "SOC_MAX": "soc_max",
    "SOC_MIN": "soc_min",
}


def read_dict(d: Mapping[str, Any]) -> dict[str, Any]:
    """Reads a gym-anm dict into the fields of a network, see ``Network.from_dict``."""
    source = read(d)
    base = source.base_mva
    bus = sorted(source.bus, key=lambda row: row.ids["BUS_ID"])
    device = sorted(source.device, key=lambda row: row.ids["DEV_ID"])
    branch = source.branch
    index = {row.ids["BUS_ID"]: i for i, row in enumerate(bus)}

    def column(rows: list[Row], name: str, scale: float = 1.0) -> np.ndarray:
        return np.array([row.values[name] / scale for row in rows], np.float64)

    limits = [device_limits(row, base) for row in device]
    return {
        **{name: np.array([entry[name] for entry in limits]) for name in limits[0]},
        "base_mva": np.array(base, np.float64),
        "base_kv": column(bus, "BASE_KV"),
        "v_max": column(bus, "VMAX"),
        "v_min": column(bus, "VMIN"),
        "v_set": np.ones(len(bus)),
        "slack_angle": np.zeros(1),
        **{name: np.zeros(len(bus)) for name in ("g_shunt", "b_shunt", "p", "q")},
        **{name: np.zeros(0) for name in ("p_current", "q_current")},
        "r": column(branch, "BR_R"),
        "x": column(branch, "BR_X"),
        "g": np.zeros(len(branch)),
        "b": column(branch, "BR_B"),
        "rating": column(branch, "RATE", base),
        "tap": column(branch, "TAP"),
        "shift": column(branch, "SHIFT") * np.pi / 180,
        "in_service": np.ones(len(branch)),
        "bus_ids": tuple(index),
        "slacks": tuple(i for i, row in enumerate(bus) if row.kind == tables.SLACK_BUS),
        "pv": (),
        "current_load_bus": (),
        "from_bus": tuple(index[row.ids["F_BUS"]] for row in branch),
        "to_bus": tuple(index[row.ids["T_BUS"]] for row in branch),
        "device_ids": tuple(row.ids["DEV_ID"] for row in device),
        "device_bus": tuple(index[row.ids["BUS_ID"]] for row in device),
        "device_kind": tuple(row.kind for row in device if row.kind is not None),
    }


def device_limits(row: Row, base: float) -> dict[str, float]:
    """Fills one entry of every device array, p.u."""

    def power(name: str, otherwise: float = 0.0) -> float:
        return row.values[name] / base if name in row.values else otherwise

    ratio = row.values.get("Q/P", 0.0)
    p_max, p_min = power("PMAX"), power("PMIN")
    # An unlimited load without reactive power: 0 * inf is 0 here. Adding 0 clears the sign of -0.
    ends = [0.0 if ratio == 0 else ratio * p + 0.0 for p in (p_min, p_max)]
    q_max, q_min = power("QMAX", max(ends)), power("QMIN", min(ends))
    return {
        "qp_ratio": ratio,
        "p_max": p_max,
        "p_min": p_min,
        "q_max": q_max,
        "q_min": q_min,
        "p_plus": power("P+", p_max),
        "p_minus": power("P-", p_min),
        "q_plus": power("Q+", q_max),
        "q_minus": power("Q-", q_min),
        "soc_max": power("SOC_MAX"),
        "soc_min": power("SOC_MIN"),
        "eff": row.values.get("EFF", 1.0),
    }


def write_dict(net: Network) -> dict[str, Any]:
    """Writes a network as a gym-anm dict, see ``Network.to_dict``."""
    _refuse_what_has_no_column(net)
    partial = [i for i, s in enumerate(np.asarray(net.in_service)) if s not in (0, 1)]
    if partial:
        rows = ", ".join(str(i) for i in partial)
        raise ValueError(f"branch row {rows}: in_service must be 0 or 1 to be written, not a value between")
    base = float(net.base_mva)
    return {
        "baseMVA": base,
        "bus": _write_bus(net),
        "device": _write_device(net, base),
        "branch": _write_branch(net, base),
    }


def _refuse_what_has_no_column(net: Network) -> None:
    """Raises for the parts of an imported network that a gym-anm dict has no place for."""
    found = ["several slack buses"] if net.n_slack > 1 else []
    found += ["PV buses"] if net.pv else []
    found += ["loads of constant current"] if net.current_load_bus else []
    found += ["branches that differ from end to end"] if net.asymmetry is not None else []
    found += [name for name in ("g_shunt", "b_shunt", "p", "q", "g") if np.any(getattr(net, name))]
    found += ["flexible loads or chargers"] if net.flexibility is not None else []
    found += ["tap changers, shunts or switches that are set"] if net.settings is not None else []
    feeding = [net.device_labels[i] for i in net.loads if np.any(np.asarray(net.p_max)[i] > 0)]
    found += [f"{', '.join(feeding[:5])} that feed in and take no action"] if feeding else []
    if net.v_set[net.slack] != 1 or net.slack_angle[0] != 0:
        found.append("a slack set-point other than 1 at angle 0")
    if found:
        raise ValueError(f"a gym-anm dict cannot say what this network has: {', '.join(found)}")


def _write_bus(net: Network) -> np.ndarray:
    kinds = [tables.SLACK_BUS if i == net.slack else tables.PQ_BUS for i in range(net.n_bus)]
    return np.array([net.bus_ids, kinds, net.base_kv, net.v_max, net.v_min], np.float64).T


def _write_device(net: Network, base: float) -> np.ndarray:
    rows = np.full((net.n_device, len(tables.DEVICE.columns)), None, dtype=object)
    place = {name: i for i, name in enumerate(tables.DEVICE.names)}
    for i, kind in enumerate(net.device_kind):
        row = rows[i]
        row[place["DEV_ID"]] = net.device_ids[i]
        row[place["BUS_ID"]] = net.bus_ids[net.device_bus[i]]
        row[place["DEV_TYPE"]] = kind
        for name in tables.DEVICE.rules[kind]:
            if name in _POWERS:
                number = _scale_back(float(getattr(net, _POWERS[name])[i]), base, lambda mw: mw / base)
                row[place[name]] = number if np.isfinite(number) else None
        if kind == tables.LOAD:
            row[place["Q/P"]] = float(net.qp_ratio[i])
        if kind == tables.STORAGE:
            row[place["EFF"]] = float(net.eff[i])
    return rows


def _write_branch(net: Network, base: float) -> np.ndarray:
    closed = np.asarray(net.in_service) == 1
    columns = [
        [net.bus_ids[i] for i in net.from_bus],
        [net.bus_ids[i] for i in net.to_bus],
        net.r,
        net.x,
        net.b,
        [_scale_back(float(s), base, lambda mva: mva / base) for s in net.rating],
        net.tap,
        [_scale_back(float(s), 180 / np.pi, lambda deg: deg * np.pi / 180) for s in net.shift],
    ]
    return np.array(columns, np.float64)[:, closed].T


def _scale_back(number: float, scale: float, forward: Callable[[float], float]) -> float:
    """Undoes a division to the bit: the number that ``forward`` maps back on ``number``.

    The product alone may be one rounding off, 15 digits of it are as a rule what the user wrote. Where
    no neighbour maps back (a number that was never divided), the product is the closest there is.
    """
    guess = number * scale
    if not np.isfinite(guess):
        return guess
    below, above = np.nextafter(guess, -np.inf), np.nextafter(guess, np.inf)
    further = (np.nextafter(below, -np.inf), np.nextafter(above, np.inf))
    candidates = (float(f"{guess:.15g}"), guess, below, above, *further)
    return float(next((c for c in candidates if forward(float(c)) == number), guess))
