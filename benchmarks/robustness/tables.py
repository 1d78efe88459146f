"""Tables of the nets that pandapower ships, and of the faults that the tests were asked to notice."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.columns import Column, percent, source, table

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


BY_FILE = (
    Column("file", "file", "`{}`".format),
    Column("planted", "planted"),
    Column("noticed", "noticed"),
)


def planted(made: dict[str, Any]) -> str:
    """How many planted faults the tests notice, file by file, and the reason of each that they do not."""
    rows = made["rows"]
    files: list[dict[str, Any]] = []
    for file in dict.fromkeys(row["file"] for row in rows):
        own = [row for row in rows if row["file"] == file]
        caught = sum(row["caught"] for row in own)
        files.append({"file": file, "planted": len(own), "noticed": caught})
    live = [row for row in rows if not row["caught"]]
    number, of, share = len(rows), made["of"], percent(made["caught"] / len(rows))
    lines = [
        f"{made['caught']} of {number} noticed, {share}: {source(made)}",
        *([f"The run was stopped before {of - number} of {of}."] if number < of else []),
        "",
        table(
            (
                Column("file", "file", "`{}`".format),
                Column("planted", "planted"),
                Column("noticed", "noticed"),
            ),
            files,
        ),
    ]
    if live:
        where = Column("place", lambda row: f"`{row['file']}:{row['line']}`")
        change = Column("change", "what", "`{}`".format)
        why = Column("why no test can notice", lambda row: row["explained"] or "a gap")
        lines += ["", "Not noticed:", "", table((where, change, why), live)]
    return "\n".join(lines)
