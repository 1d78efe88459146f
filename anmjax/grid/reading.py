"""Reads a gym-anm dict into the fields of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from anmjax.grid import tables
from anmjax.grid.parsing import Row
from anmjax.grid.validation import read


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

    limits = [_device_limits(row, base) for row in device]
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


def _device_limits(row: Row, base: float) -> dict[str, float]:
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
