"""The table of the nets that pandapower ships: which of them import, and how well the voltages agree."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.columns import grid, source


def nets(made: dict[str, Any]) -> str:
    """How many nets import and agree, the reason for each that does not, then every net."""
    rows = made["rows"]
    agree = [row for row in rows if row["reason"] is None]
    others = [row for row in rows if row["reason"] is not None]
    worst = max(row["max_dvm_pu"] for row in agree)
    lines = [
        f"Compared with pandapower {made['versions']['pandapower']}: {source(made)}",
        "",
        f"{len(agree)} of {len(rows)} nets import and agree with `runpp` to {made['agrees_pu']:g} p.u. in "
        f"every voltage magnitude; the largest difference is {worst:.1e} p.u.",
    ]
    if others:
        cells = [[f"`{row['net']}`", row["reason"]] for row in others]
        lines += ["", "The others, and why:", "", grid(["net", "reason"], cells)]
    cells = [
        [
            f"`{row['net']}`",
            f"{row['n_bus']:,}",
            f"{row['n_slack']}",
            row["start"],
            f"{row['max_dvm_pu']:.1e}",
            f"{row['max_dva_rad']:.1e}",
            ", ".join(row["warnings"]),
        ]
        for row in agree
    ]
    header = ["net", "buses", "slacks", "start of runpp", "magnitude, p.u.", "angle, rad", "import warns of"]
    return "\n".join([*lines, "", "All that agree:", "", grid(header, cells)])
