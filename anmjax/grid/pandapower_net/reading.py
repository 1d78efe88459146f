"""Reads pandapower nets through pandapower's own conversion to MATPOWER's tables."""

from __future__ import annotations

import copy
import functools
import traceback
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from anmjax.grid.devices import Placed, unique_names
from anmjax.grid.faults import Fault, NetworkError
from anmjax.grid.pandapower_net.checks import find_broken_tables, tidy
from anmjax.grid.pandapower_net.devices import find_devices
from anmjax.grid.pandapower_net.limits import (
    SimplificationWarning,
    find_limits,
    find_set_point_conflicts,
    find_simplifications,
)
from anmjax.grid.pandapower_net.names import branch_names, element_name
from anmjax.grid.pandapower_net.tables import NUMBERS
from anmjax.grid.power_tables.case_devices import with_devices_of_case
from anmjax.grid.power_tables.fields import IsolatedBusWarning, network_fields
from anmjax.grid.power_tables.tables import (
    BS,
    BUS_I,
    F_BUS,
    GEN_BUS,
    GS,
    PD,
    QD,
    RATE_A,
    T_BUS,
    VMAX,
    VMIN,
    PowerTables,
)

_ORIGIN = "the pandapower net"
# Columns that pandapower appends to MATPOWER's bus and branch tables.
_CONSTANT_CURRENT, _CONSTANT_IMPEDANCE = (13, 16), (14, 17)  # shares of PD and QD
_BR_G = 23
_ASYMMETRIES = (21, 22, 24, 25)  # BR_R_ASYM, BR_X_ASYM, BR_G_ASYM, BR_B_ASYM
_VOLTAGE_LIMITS = {"max_vm_pu": (VMAX, 2.0, np.fmin), "min_vm_pu": (VMIN, 0.0, np.fmax)}  # as pandapower's
# Options of a power flow that are ours to set, whatever is stored in the net.
_OPTIONS: dict[str, Any] = {
    "algorithm": "nr",
    "calculate_voltage_angles": True,
    "init": "flat",
    "max_iteration": "auto",
    "tolerance_mva": 1e-8,
    "trafo_loading": "current",
    "check_connectivity": True,
    "numba": False,
    "lightsim2grid": False,
    "recycle": None,
    "init_vm_pu": None,
    "init_va_degree": None,
}
# Those that make another model, as runpp has them where the net stores no others.
_MODEL: dict[str, Any] = {
    "trafo_model": "t",
    "enforce_p_lims": False,
    "enforce_q_lims": False,
    "voltage_depend_loads": True,
}
# Functions of pandapower's conversion, and the table that each reads.
_READERS = {
    "_add_dcline_gens": "dcline",
    "_build_pp_ext_grid": "ext_grid",
    "_build_pp_gen": "gen",
    "_build_pp_xward": "xward",
    "_calc_impedance_parameter": "impedance",
    "_calc_line_parameter": "line",
    "_calc_pq_elements_and_add_on_ppc": "load, motor, sgen, storage, ward or xward",
    "_calc_shunts_and_add_on_ppc": "shunt, ward or xward",
    "_calc_switch_parameter": "switch",
    "_calc_trafo3w_parameter": "trafo3w",
    "_calc_trafo_parameter": "trafo",
    "_calc_xward_parameter": "xward",
    "_get_motor_pq": "motor",
    "_get_symmetric_pq_of_unsymetric_element": "asymmetric_load or asymmetric_sgen",
    "_switch_branches": "switch",
    "create_bus_lookup": "switch",
}


@dataclass(frozen=True)
class _Conversion:
    """What pandapower made of a net."""

    tables: PowerTables
    bus_ids: dict[int, int]  # index of net.bus -> id of the bus that it became
    simplifications: tuple[tuple[list[str], str], ...]  # names of elements, what was done with them
    devices: tuple[tuple[Placed, str], ...]  # with the names of those that have none
    bus_names: dict[int, str]  # id of a bus -> its name in the net, where it has one


def read_pandapower(net: Any, devices: bool = True) -> dict[str, Any]:
    """Reads a pandapower net into the fields of a network, see ``Network.from_pandapower``."""
    conversion = _convert(net)
    for elements, done in conversion.simplifications:
        # The caller of Network.from_pandapower.
        warnings.warn(SimplificationWarning(elements, done, _ORIGIN), stacklevel=3)
    fields = network_fields(conversion.tables, _ORIGIN)
    placed, others = zip(*conversion.devices, strict=True) if conversion.devices and devices else ((), ())
    fields = with_devices_of_case(fields, placed, others)
    ids = fields["bus_ids"]
    names = [conversion.bus_names.get(number) for number in ids]
    return fields | {"bus_names": unique_names(names, [f"bus {number}" for number in ids])}


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
      NetworkError: the net has faults, or what cannot be represented, or what pandapower refuses.
    """
    try:
        from pandapower.auxiliary import _add_dcline_gens, _init_runpp_options, pandapowerNet
        from pandapower.pd2ppc import _pd2ppc
    except ModuleNotFoundError as error:
        message = "pandapower is not installed: pip install 'anmjax[pandapower]'"
        raise ImportError(message) from error
    if not isinstance(net, pandapowerNet):
        raise TypeError(f"a pandapower net is needed, not a {type(net).__name__}")
    empty = _empty_net()
    if faults := list(find_broken_tables(net, empty)):
        raise NetworkError(faults, _ORIGIN)
    # The conversion leaves its marks in the net, and in tables that it reads.
    net = copy.copy(net)
    for name in NUMBERS:
        net[name] = net[name].copy()
    faults = tidy(net, empty)
    faults += find_limits(net)
    if faults:
        raise NetworkError(faults, _ORIGIN)
    n_gen = len(net.gen)
    tables = ("bus", "bus_dc", "ext_grid", "gen", "branch", "branch_dc")
    net["_pd2ppc_lookups"] = dict.fromkeys(tables, np.array([], np.int64))
    try:
        with np.errstate(all="ignore"):  # what comes of it is checked
            # As runpp: with its options, and two generators for every line of direct current.
            _init_runpp_options(net, **_OPTIONS, **_MODEL, passed_parameters=_OPTIONS)
            if len(net.dcline):
                _add_dcline_gens(net)
            ppc, _ = _pd2ppc(net)
    except (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError) as error:
        raise NetworkError(_explain(error, net, n_gen), _ORIGIN) from error
    except (UserWarning, ValueError) as error:
        raise NetworkError(_explain(error, net, n_gen), _ORIGIN) from error
    lookup = net["_pd2ppc_lookups"]["bus"]
    simplifications = tuple(find_simplifications(net, lookup))
    return _renumber(net, ppc, lookup, simplifications, n_gen)


@functools.cache  # which takes longer than most conversions
def _empty_net() -> Any:
    """A net without elements, as the installed pandapower makes it; not to be changed."""
    from pandapower.create import create_empty_network

    return create_empty_network()


def _explain(error: Exception, net: Any, n_gen: int) -> list[Fault]:
    """Names what pandapower refused: by its words and the table that it read, if nothing better is known."""
    lookup = net["_pd2ppc_lookups"]["bus"]
    net.gen = net.gen.iloc[:n_gen]  # without those of lines of direct current, which have names of their own
    if len(lookup) and (faults := list(find_set_point_conflicts(net, lookup))):
        return faults
    functions = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    tables = [_READERS[name] for name in functions if name in _READERS]
    field = f"conversion of {tables[-1]}" if tables else "conversion"
    said = str(error) if isinstance(error, (UserWarning, ValueError)) else f"{type(error).__name__}: {error}"
    return [Fault("network", field, said, "must be what pandapower can convert to MATPOWER's tables")]


def _renumber(
    net: Any,
    ppc: Any,
    lookup: np.ndarray,
    simplifications: tuple[tuple[list[str], str], ...],
    n_gen: int,
) -> _Conversion:
    """Gives buses the indices of the net, and limits where the power flow tables have placeholders."""
    bus, gen, branch = (np.array(ppc[name], np.float64) for name in ("bus", "gen", "branch"))
    names = branch_names(net, net["_pd2ppc_lookups"]["branch"], len(branch))
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
    current_load = _split_loads(bus)
    branch[:, RATE_A] = _ratings(net, names)
    tables = PowerTables(
        base_mva=float(net.sn_mva),
        bus=bus[rows],
        gen=gen,
        branch=branch,
        branch_g=branch[:, _BR_G],
        branch_names=names,
        auxiliary=frozenset(i for i in ids.values() if i > largest),
        current_load=current_load[rows],
        asymmetry=branch[:, _ASYMMETRIES],
    )
    bus_ids = {int(i): ids[int(lookup[i])] for i in net.bus.index}
    called = net.bus.name if "name" in net.bus else {}
    bus_names = {i: called[i] for i in bus_ids.values() if isinstance(called.get(i), str)}
    devices = tuple(find_devices(net, n_gen, lookup, ids))
    return _Conversion(tables, bus_ids, simplifications, devices, bus_names)


def _split_loads(bus: np.ndarray) -> np.ndarray:
    """Takes the parts of constant impedance and current out of the demand of the bus table.

    A load of constant impedance is a shunt: with its share z of P and Q, GS grows by z P and BS falls by z Q.

    Returns:
      (n_bus, 2) MW and MVAr of constant current, at 1 p.u. of voltage.
    """
    demand = bus[:, [PD, QD]]
    # Before pandapower 3.2 one share was that of both, and the table ended earlier.
    of_q = 1 if bus.shape[1] > _CONSTANT_IMPEDANCE[1] else 0
    current, impedance = (
        demand * bus[:, [columns[0], columns[of_q]]] for columns in (_CONSTANT_CURRENT, _CONSTANT_IMPEDANCE)
    )
    bus[:, [PD, QD]] = demand - current - impedance
    bus[:, GS] += impedance[:, 0]
    bus[:, BS] -= impedance[:, 1]
    return current


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
                rating[element_name(net, table, index, side)] = 0.0 if np.isnan(mva) else mva
    return np.array([rating[name] for name in names])
