"""Reads pandapower nets through pandapower's own conversion to MATPOWER's tables."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from anmjax.grid.faults import Fault, NetworkError
from anmjax.grid.pandapower_limits import find_faults, find_set_point_conflicts
from anmjax.grid.ppc import (
    BUS_I,
    F_BUS,
    GEN_BUS,
    RATE_A,
    T_BUS,
    VMAX,
    VMIN,
    IsolatedBusWarning,
    PowerTables,
    network_fields,
)

_ORIGIN = "the pandapower net"
# Columns that pandapower appends to MATPOWER's branch table.
_BR_G = 23
_ASYMMETRIES = {21: "BR_R_ASYM", 22: "BR_X_ASYM", 24: "BR_G_ASYM", 25: "BR_B_ASYM"}
_VOLTAGE_LIMITS = {"max_vm_pu": (VMAX, 2.0, np.fmin), "min_vm_pu": (VMIN, 0.0, np.fmax)}  # as pandapower's


@dataclass(frozen=True)
class _Conversion:
    """What pandapower made of a net."""

    tables: PowerTables
    bus_ids: dict[int, int]  # index of net.bus -> id of the bus that it became


def read_pandapower(net: Any) -> dict[str, Any]:
    """Reads a pandapower net into the fields of a network, see ``Network.from_pandapower``."""
    return network_fields(_convert(net).tables, _ORIGIN)


def pandapower_bus_index(net: Any) -> dict[int, int]:
    """Maps the buses of a pandapower net to those of the network that is built from it.

    Args:
      net: the pandapower net, as it was given to ``Network.from_pandapower``.

    Returns:
      Index of ``net.bus`` -> position in the bus arrays of the network. Buses joined by switches share
      one, and -1 stands for a bus that was left out: out of service or not supplied.

    Raises:
      ImportError: pandapower is not installed.
      NetworkError: the net has faults; the error lists all of them.
    """
    conversion = _convert(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsolatedBusWarning)  # -1 says it
        ids = network_fields(conversion.tables, _ORIGIN)["bus_ids"]
    position = {number: k for k, number in enumerate(ids)}
    return {bus: position.get(number, -1) for bus, number in conversion.bus_ids.items()}


def _convert(net: Any) -> _Conversion:
    """Converts a copy of the net.

    Raises:
      ImportError: pandapower is not installed.
      NetworkError: the net holds what cannot be represented, or what pandapower refuses.
    """
    try:
        from pandapower.auxiliary import pandapowerNet
        from pandapower.converter.pypower.to_ppc import to_ppc
        from pandapower.pd2ppc import _pd2ppc
    except ModuleNotFoundError as error:
        message = "pandapower is not installed: pip install 'anmjax[pandapower]'"
        raise ImportError(message) from error
    if not isinstance(net, pandapowerNet):
        raise TypeError(f"a pandapower net is needed, not a {type(net).__name__}")
    faults = list(find_faults(net))
    if faults:
        raise NetworkError(faults, _ORIGIN)
    # The conversion leaves its marks in the net.
    net = copy.deepcopy(net)
    stored = net.get("user_pf_options", {})
    options = {name: stored[name] for name in ("trafo_model", "switch_rx_ratio") if name in stored}
    try:
        # Not in the mode "opf", which costs would choose: there loads become generators.
        to_ppc(net, calculate_voltage_angles=True, init="flat", mode="pf", **options)
        # It returns what is in service. The function beneath it returns everything, by the same options.
        ppc, _ = _pd2ppc(net)
    except (UserWarning, ValueError, KeyError, IndexError, NotImplementedError) as error:
        raise NetworkError(_explain(error, net), _ORIGIN) from error
    lookup = net["_pd2ppc_lookups"]
    names = _branch_names(net, lookup["branch"], len(ppc["branch"]))
    faults = _find_asymmetries(ppc["branch"], names)
    if faults:
        raise NetworkError(faults, _ORIGIN)
    return _renumber(net, ppc, lookup["bus"], names)


def _explain(error: Exception, net: Any) -> list[Fault]:
    """Names what pandapower refused, in its own words where there are no better ones."""
    lookup = net.get("_pd2ppc_lookups", {}).get("bus")
    faults = [] if lookup is None else list(find_set_point_conflicts(net, lookup))
    allowed = "must be what pandapower can convert to MATPOWER's tables"
    return faults or [Fault("network", "conversion", str(error), allowed)]


def _renumber(net: Any, ppc: Any, lookup: np.ndarray, names: tuple[str, ...]) -> _Conversion:
    """Gives buses the indices of the net, and limits where the power flow tables have placeholders."""
    bus, gen, branch = (np.array(ppc[name], np.float64) for name in ("bus", "gen", "branch"))
    indices = np.sort(net.bus.index.to_numpy())
    ids: dict[int, int] = {}  # row -> id
    for index in indices:
        ids.setdefault(int(lookup[index]), int(index))
    largest = int(indices[-1])
    # Star points and inner buses continue the numbers; open ends of lines, which pandapower does not
    # number, come after them. Rows that neither a bus nor a branch uses are left over from joined buses.
    for index in range(largest + 1, len(lookup)):
        ids.setdefault(int(lookup[index]), index)
    for row in np.unique(branch[:, [F_BUS, T_BUS]]).astype(int).tolist():
        ids.setdefault(row, len(lookup) + row)
    rows = sorted(ids)
    number = np.full(len(bus), np.nan)
    number[rows] = [ids[row] for row in rows]
    bus[:, BUS_I] = number
    gen[:, GEN_BUS] = number[gen[:, GEN_BUS].astype(int)]
    branch[:, [F_BUS, T_BUS]] = number[branch[:, [F_BUS, T_BUS]].astype(int)]
    _set_voltage_limits(net, bus, lookup)
    branch[:, RATE_A] = _ratings(net, names)
    tables = PowerTables(
        base_mva=float(net.sn_mva),
        bus=bus[rows],
        gen=gen,
        branch=branch,
        branch_g=branch[:, _BR_G],
        branch_names=names,
        auxiliary=frozenset(i for i in ids.values() if i > largest),
    )
    return _Conversion(tables, {int(i): ids[int(lookup[i])] for i in net.bus.index})


def _set_voltage_limits(net: Any, bus: np.ndarray, lookup: np.ndarray) -> None:
    """Writes the limits of net.bus, the tightest of joined buses; pandapower's own where there are none."""
    rows = lookup[net.bus.index.to_numpy()]
    for name, (column, default, tighter) in _VOLTAGE_LIMITS.items():
        bus[:, column] = np.nan
        if name in net.bus:
            tighter.at(bus[:, column], rows, net.bus[name].to_numpy(np.float64))
        bus[:, column] = np.where(np.isnan(bus[:, column]), default, bus[:, column])


def _ratings(net: Any, names: tuple[str, ...]) -> np.ndarray:
    """MVA at 100 % loading and nominal voltage, 0 (unlimited) where there is no such limit, (n_branch,)."""
    rating = dict.fromkeys(names, 0.0)
    for table, sides in (("line", ("",)), ("trafo", ("",)), ("trafo3w", ("hv", "mv", "lv"))):
        elements = net[table]
        percent = elements.get("max_loading_percent", np.full(len(elements), np.nan))
        share = np.nan_to_num(np.asarray(percent, np.float64), nan=100.0) / 100
        for side in sides:
            if table == "line":
                kv = net.bus.vn_kv.loc[elements.from_bus].to_numpy()
                power = np.sqrt(3) * kv * elements.max_i_ka * elements.df * elements.parallel
            elif table == "trafo":
                power = elements.sn_mva * elements.df * elements.parallel
            else:
                power = elements[f"sn_{side}_mva"]
            for index, mva in zip(elements.index, share * np.asarray(power, np.float64), strict=True):
                rating[_name(table, index, side)] = 0.0 if np.isnan(mva) else mva
    return np.array([rating[name] for name in names])


def _branch_names(net: Any, ranges: dict[str, tuple[int, int]], n_branch: int) -> tuple[str, ...]:
    """Names of the elements that the branches came from."""
    names = ["switch"] * n_branch
    for table, (first, last) in ranges.items():
        if table == "switch":
            indices = net.switch.index[net["_impedance_bb_switches"].astype(bool)]
        else:
            indices = net[table].index
        sides = ("hv", "mv", "lv") if table == "trafo3w" else ("",)
        names[first:last] = [_name(table, index, side) for side in sides for index in indices]
    return tuple(names)


def _name(table: str, index: int, side: str = "") -> str:
    return f"{table} {index} ({side})" if side else f"{table} {index}"


def _find_asymmetries(branch: np.ndarray, names: tuple[str, ...]) -> list[Fault]:
    """Branches that look different from their two ends, those out of service too: they may be closed."""
    faults = []
    for column, field in _ASYMMETRIES.items():
        for row in np.flatnonzero(branch[:, column]).tolist():
            allowed = "must be 0: a branch is the same from both ends"
            faults.append(Fault(names[row], field, branch[row, column], allowed))
    return faults
