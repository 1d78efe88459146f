"""The table of the nets that pandapower ships: which of them import, and how well the voltages agree."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.columns import Column, source, table

NET = Column("net", "net", "`{}`".format)
AGREE = (
    NET,
    Column("buses", "n_bus", ","),
    Column("slacks", "n_slack"),
    Column("start of runpp", "start"),
    Column("magnitude, p.u.", "max_dvm_pu", ".1e"),
    Column("angle, rad", "max_dva_rad", ".1e"),
    Column("import warns of", "warnings", ", ".join),
)


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
        lines += ["", "The others, and why:", "", table([NET, Column("reason", "reason")], others)]
    return "\n".join([*lines, "", "All that agree:", "", table(AGREE, agree)])
