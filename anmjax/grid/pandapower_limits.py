"""Finds what a pandapower net holds that a network cannot represent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from anmjax.grid.faults import Fault

# Tables that the conversion reads, and those that have no part in a balanced power flow.
_READ = {"bus", "line", "trafo", "trafo3w", "impedance", "switch", "load", "asymmetric_load", "motor", "sgen"}
_READ |= {"asymmetric_sgen", "storage", "gen", "ext_grid", "shunt", "ward", "xward"}
_NOT_READ = {"measurement", "pwl_cost", "poly_cost", "group"}
_DIRECT_CURRENT = {"dcline", "b2b_vsc", "vsc", "vsc_stacked", "vsc_bipolar", "bus_dc", "line_dc"}
_DIRECT_CURRENT |= {"source_dc", "load_dc"}
_NOT_REPRESENTED = {
    "controller": "controllers are not run: run them and take them out of service",
    **dict.fromkeys(_DIRECT_CURRENT, "direct-current elements are not represented"),
    **dict.fromkeys(("svc", "tcsc", "ssc"), "controlled (FACTS) elements are not represented"),
}
_SWITCHED = {"b": "bus", "l": "line", "t": "trafo", "t3": "trafo3w"}
# Options stored in a net that change the model; others steer the solution.
_OTHER_MODELS: dict[str, object] = {
    "consider_line_temperature": False,
    "distributed_slack": False,
    "enforce_q_lims": False,
    "neglect_open_switch_branches": False,
    "tdpf": False,
    "trafo3w_losses": "hv",
}


def find_faults(net: Any) -> Iterator[Fault]:
    """Finds what a network cannot represent, and references to buses that do not exist."""
    for name, table in net.items():
        if name.startswith(("_", "res_")) or not hasattr(table, "columns") or len(table) == 0:
            continue
        if name in _READ:
            yield from _find_lost_references(net, name)
        elif name in _NOT_REPRESENTED:
            active = table.in_service if "in_service" in table else np.ones(len(table), bool)
            for index in table.index[np.asarray(active, bool)]:
                yield Fault(f"{name} {index}", "in_service", True, f"must be False: {_NOT_REPRESENTED[name]}")
        elif name not in _NOT_READ and any(
            column == "in_service" or column.endswith("bus") for column in map(str, table.columns)
        ):
            yield Fault("network", name, f"{len(table)} rows", "must be empty: this table is not known")
    for column in (c for c in net.load if str(c).startswith(("const_z", "const_i"))):
        for index, percent in net.load.loc[net.load.in_service.astype(bool), column].items():
            if percent != 0:
                yield Fault(f"load {index}", column, percent, "must be 0: only constant power is represented")
    for name, value in net.get("user_pf_options", {}).items():
        if name in _OTHER_MODELS and value != _OTHER_MODELS[name]:
            yield Fault("network", f"user_pf_options[{name!r}]", value, f"must be {_OTHER_MODELS[name]!r}")
    if not (net.ext_grid.in_service.any() or (net.gen.in_service & net.gen.slack).any()):
        yield Fault("network", "ext_grid", "without a row in service", "must have one, for the slack bus")


def find_set_point_conflicts(net: Any, lookup: np.ndarray) -> Iterator[Fault]:
    """Finds generators at one bus that hold different voltages; ``lookup`` maps indices to joined buses."""
    first: dict[int, tuple[str, float]] = {}
    for name in ("ext_grid", "gen"):
        for row in net[name][net[name].in_service.astype(bool)].itertuples():
            element, held = first.setdefault(int(lookup[row.bus]), (f"{name} {row.Index}", row.vm_pu))
            if row.vm_pu != held:
                allowed = f"must be {held:.12g}, as at {element} of the same bus"
                yield Fault(f"{name} {row.Index}", "vm_pu", row.vm_pu, allowed)


def _find_lost_references(net: Any, name: str) -> Iterator[Fault]:
    """Elements at buses that do not exist, which pandapower would leave out or put somewhere else."""
    table = net[name]
    references = [(column, "bus", table[column]) for column in map(str, table) if column.endswith("bus")]
    if name == "switch":
        references += [("element", kind, table.element[table.et == et]) for et, kind in _SWITCHED.items()]
    for column, kind, values in references:
        for index, value in values[~values.isin(net[kind].index)].items():
            yield Fault(f"{name} {index}", column, value, f"must be the index of a {kind}")
