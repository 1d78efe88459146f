"""Devices of a pandapower net: what its tables of loads, generators and storage units become.

Powers are scaled as in a power flow. What stays out of here is an injection of the case and no device:
motors, wards, elements by phase, loads that depend on the voltage and all else at their bus, what draws or
gives Q without P, static generators that draw, storage units without a capacity.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from anmjax.grid.devices import Generator, Load, Placed, Renewable, Storage
from anmjax.grid.parsing import to_number

_SHARES = (
    "const_z_percent const_i_percent const_z_p_percent const_i_p_percent const_z_q_percent const_i_q_percent"
)


def find_devices(
    net: Any, n_gen: int, lookup: np.ndarray, ids: dict[int, int]
) -> Iterator[tuple[Placed, str]]:
    """Finds the devices of a converted net.

    Args:
      net: the net, its tables tidy.
      n_gen: rows of its table of generators; more came with lines of direct current.
      lookup: rows of the buses in pandapower's table by index.
      ids: ids of these rows.

    Returns:
      Devices with buses by id; a name for one that has none, "load 3".
    """
    depends = _voltage_dependent(net, lookup)
    makers = {"load": _load, "sgen": _sgen, "gen": _gen, "storage": _storage}
    for table, make in makers.items():
        rows = net[table].iloc[:n_gen] if table == "gen" else net[table]
        live = rows.in_service.to_numpy(bool) & net.bus.in_service.loc[rows.bus].to_numpy(bool)
        for index, row in zip(rows.index[live], rows[live].to_dict("records"), strict=True):
            at = int(lookup[int(row["bus"])])
            if at in depends or (table == "gen" and row["slack"]):
                continue
            p, q = (row["scaling"] * row.get(of, 0.0) for of in ("p_mw", "q_mvar"))
            device, sign = None, -1 if table in ("load", "storage") else 1
            if p == 0 or np.isfinite(np.divide(q, p)):  # a ratio that is no number is one of Q without P
                device = make(row, ids[at], p, q)
            if device is not None:
                yield Placed(device, sign * p + 0.0, sign * q + 0.0), f"{table} {index}"


def _voltage_dependent(net: Any, lookup: np.ndarray) -> set[int]:
    """Rows of buses with loads of constant current or impedance, whose shares count for all that is there."""
    load = net.load[net.load.in_service]
    if not net["_options"]["voltage_depend_loads"] or len(load) == 0:
        return set()
    shares = [load[name].to_numpy(float) for name in _SHARES.split() if name in load]
    return set(lookup[load.bus.to_numpy()[np.any(shares, 0)]].tolist()) if shares else set()


def _load(row: dict[str, Any], bus: int, p: float, q: float) -> Load | Generator | None:
    if p == 0 and q != 0:
        return None
    ratio = q / p if p else 0.0
    if p < 0:
        return Renewable(bus, q_per_p=ratio, controllable=False, name=_name(row))
    return Load(bus, q_per_p=ratio, name=_name(row))


def _sgen(row: dict[str, Any], bus: int, p: float, q: float) -> Generator | None:
    """Those that say nothing of it are not controllable, as in pandapower."""
    if p < 0 or (p == 0 and q != 0):
        return None
    if not _is_true(row.get("controllable")):
        return Renewable(bus, q_per_p=q / p if p else 0.0, controllable=False, name=_name(row))
    low, high = _reactive_limits(row, q)
    return Renewable(bus, *_active_limits(row, p), high, low, name=_name(row))


def _gen(row: dict[str, Any], bus: int, p: float, q: float) -> Generator | None:
    """Those that say nothing of it are controllable, as in pandapower."""
    controllable = row.get("controllable")
    if p < 0:
        return None
    if controllable is not None and controllable == controllable and not _is_true(controllable):
        return Generator(bus, controllable=False, name=_name(row))
    low, high = _reactive_limits(row, 0.0)
    return Generator(bus, *_active_limits(row, p), high, low, name=_name(row))


def _storage(row: dict[str, Any], bus: int, p: float, q: float) -> Storage | None:
    """Those that say nothing of it are controllable; one that is not, or has no capacity, is no device.

    The table has the signs of loads: what a unit draws is positive.
    """
    controllable, capacity = row.get("controllable"), _number(row, "max_e_mwh", 0.0)
    said_no = controllable is not None and controllable == controllable and not _is_true(controllable)
    if said_no or not 0 < capacity < np.inf:
        return None
    size = _number(row, "sn_mva", abs(p))
    charge, discharge = _number(row, "max_p_mw", size), -_number(row, "min_p_mw", -size)
    low, high = (-limit + 0.0 for limit in reversed(_reactive_limits(row, q)))
    least = min(max(_number(row, "min_e_mwh", 0.0), 0.0), capacity)
    sides = max(discharge, 0.0), max(charge, 0.0)
    return Storage(bus, sides[0], capacity, sides[1], least, 1.0, high, low, name=_name(row))


def _reactive_limits(row: dict[str, Any], q: float) -> tuple[float, float]:
    """Limits of Q with the signs of the table; between none and that of the case where it says nothing."""
    none = min(q, 0.0), max(q, 0.0)
    low, high = _number(row, "min_q_mvar", none[0]), _number(row, "max_q_mvar", none[1])
    low, high = min(low, high), max(low, high)
    return (low, high) if low < np.inf and high > -np.inf else none


def _active_limits(row: dict[str, Any], p: float) -> tuple[float, float]:
    """Largest and smallest P of a generator: those of the table, else its size, else none."""
    most = max(_number(row, "max_p_mw", max(_number(row, "sn_mva", np.inf), p)), 0.0)
    least = min(max(_number(row, "min_p_mw", 0.0), 0.0), most)
    return most, least if least < np.inf else 0.0


def _number(row: dict[str, Any], column: str, otherwise: float) -> float:
    """A cell, the other number where it is empty or holds none."""
    number = to_number(row.get(column))
    return otherwise if number is None else number


def _is_true(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_, int, float)) and value == 1


def _name(row: dict[str, Any]) -> str | None:
    name = row.get("name")
    return name if isinstance(name, str) and name else None
