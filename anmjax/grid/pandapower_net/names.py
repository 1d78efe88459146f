"""What messages call the elements of a pandapower net."""

from __future__ import annotations

from typing import Any

from anmjax.grid.faults import show


def element_name(net: Any, table: str, index: object, side: str = "") -> str:
    """Names an element by its table, its index, the name it has in the net, and a side of it."""
    names = net[table].get("name", {})
    name = names.get(index)
    called = f" {show(name)}" if isinstance(name, str) and name else ""
    return f"{table} {index}{called}" + (f" ({side})" if side else "")


def branch_names(net: Any, ranges: dict[str, tuple[int, int]], n_branch: int) -> tuple[str, ...]:
    """Names the elements that the branches came from.

    Args:
      net: the net after its conversion.
      ranges: first branch and last but one of each table, as pandapower keeps them.
      n_branch: number of branches.
    """
    names = ["switch"] * n_branch
    for table, (first, last) in ranges.items():
        if table == "switch":
            indices = net.switch.index[net["_impedance_bb_switches"].astype(bool)]
        else:
            indices = net[table].index
        sides = ("hv", "mv", "lv") if table == "trafo3w" else ("",)
        names[first:last] = [element_name(net, table, index, side) for side in sides for index in indices]
    return tuple(names)
