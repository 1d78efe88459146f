"""Finds what a pandapower net holds that a network cannot represent, or represents in a simpler way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from anmjax.grid.faults import Fault
from anmjax.grid.pandapower_net.names import element_name
from anmjax.grid.pandapower_net.tables import NUMBERS

# Tables that have no part in a balanced power flow.
_NOT_READ = {"measurement", "pwl_cost", "poly_cost", "group", "controller"}
_CONVERTERS = ("b2b_vsc", "vsc", "vsc_stacked", "vsc_bipolar")
_NOT_REPRESENTED = {
    **dict.fromkeys(_CONVERTERS, "converters are not represented"),
    **dict.fromkeys(
        ("bus_dc", "line_dc", "source_dc", "load_dc"), "direct-current grids are not represented"
    ),
    **dict.fromkeys(("svc", "tcsc", "ssc"), "controlled (FACTS) elements are not represented"),
}
# Options stored in a net that change how a power flow is solved, not only its tables.
_OTHER_SOLUTIONS = ("distributed_slack", "enforce_q_lims", "tdpf")
_LISTED = 10  # elements that a message lists before it says "and so many more"


class SimplificationWarning(UserWarning):
    """Warns of elements that a network represents in a simpler way than the net that it was built from.

    Attributes:
      elements: their names.
      done: what was done with them.
    """

    def __init__(self, elements: Sequence[str], done: str, origin: str) -> None:
        self.elements, self.done, self.origin = tuple(elements), done, origin
        listed = ", ".join(self.elements[:_LISTED])
        more = len(self.elements) - _LISTED
        super().__init__(f"{origin}: {listed}{f' and {more} more' if more > 0 else ''}: {done}")

    def __reduce__(self) -> tuple[type[SimplificationWarning], tuple[Any, ...]]:
        """Pickles by its parts."""
        return SimplificationWarning, (self.elements, self.done, self.origin)


def find_limits(net: Any) -> Iterator[Fault]:
    """Finds what a network cannot represent, in a net whose tables are tidy."""
    for name, table in net.items():
        if name.startswith(("_", "res_")) or not hasattr(table, "columns") or len(table) == 0:
            continue
        if name in _NOT_REPRESENTED:
            for index in _in_service(table):
                allowed = f"must be False: {_NOT_REPRESENTED[name]}"
                yield Fault(element_name(net, name, index), "in_service", True, allowed)
        elif name not in NUMBERS and name not in _NOT_READ:
            columns = map(str, table.columns)
            if any(column == "in_service" or column.endswith("bus") for column in columns):
                yield Fault("network", name, f"{len(table)} rows", "must be empty: this table is not known")
    for name, value in net.get("user_pf_options", {}).items():
        if name in _OTHER_SOLUTIONS and value:
            yield Fault("network", f"user_pf_options[{name!r}]", value, "must be False")
    if not (net.ext_grid.in_service.any() or (net.gen.in_service & net.gen.slack).any()):
        yield Fault("network", "ext_grid", "without a row in service", "must have one, for the slack bus")


def find_simplifications(net: Any, lookup: np.ndarray) -> Iterator[tuple[list[str], str]]:
    """Finds elements that are represented in a simpler way: their names, and what is done with them.

    Args:
      net: the net.
      lookup: rows of the buses in pandapower's table, where joined buses share one, by index.
    """
    for name in ("asymmetric_load", "asymmetric_sgen"):
        table = net[name][net[name].in_service]
        phases = [[f"{of}_{phase}_{unit}" for phase in "abc"] for of, unit in (("p", "mw"), ("q", "mvar"))]
        uneven = [table[of].to_numpy(np.float64) != table[of[:1]].to_numpy(np.float64) for of in phases]
        if names := [element_name(net, name, index) for index in table.index[np.hstack(uneven).any(1)]]:
            yield names, "taken as balanced, a third of the sum in each phase"
    if names := [element_name(net, "controller", index) for index in _in_service(net.controller)]:
        yield names, "not run, the tables of the net count as they are, as for runpp without run_control"
    if net["_options"]["voltage_depend_loads"]:
        yield from _find_averaged_loads(net, lookup)


def _find_averaged_loads(net: Any, lookup: np.ndarray) -> Iterator[tuple[list[str], str]]:
    """Loads whose part of constant current or impedance becomes that of everything at their bus."""
    load = net.load[net.load.in_service]
    shares = load[[column for column in load if str(column).startswith("const_")]]
    at = lookup[load.bus.to_numpy()]
    different = {row for row in at if len(shares[at == row].drop_duplicates()) > 1}
    for name in ("sgen", "storage", "motor", "ward", "xward", "asymmetric_load", "asymmetric_sgen"):
        different |= set(lookup[net[name].bus[net[name].in_service].to_numpy()])
    mixed = load.index[shares.to_numpy().any(1) & np.isin(at, list(different))]
    if names := [element_name(net, "load", index) for index in mixed]:
        mean = "the mean share of constant current and impedance of the loads at a bus"
        yield names, f"{mean} is that of all power there, as in pandapower"


def find_set_point_conflicts(net: Any, lookup: np.ndarray) -> Iterator[Fault]:
    """Finds elements at one bus that hold different voltages; ``lookup`` maps indices to joined buses."""
    first: dict[int, tuple[str, str, float]] = {}
    held = [("ext_grid", "bus", "vm_pu"), ("gen", "bus", "vm_pu")]
    held += [("dcline", f"{end}_bus", f"vm_{end}_pu") for end in ("from", "to")]
    for name, at, column in held:
        for index, row in net[name][net[name].in_service].iterrows():
            found = (element_name(net, name, index), column, float(row[column]))
            element, _, value = first.setdefault(int(lookup[row[at]]), found)
            if row[column] != value:
                allowed = f"must be {value:.12g}, as at {element} of the same bus"
                yield Fault(found[0], column, row[column], allowed)


def _in_service(table: Any) -> Any:
    """Indices of what is in service, of everything in a table that does not say."""
    active = table["in_service"] if "in_service" in table else np.ones(len(table), bool)
    return table.index[np.asarray(active, bool)]
