"""The tables of what programs come to on devices that they were compiled for, from the record."""

from __future__ import annotations

from typing import Any

from benchmarks.accelerators.targets import TARGETS, Target
from benchmarks.harness.columns import Column, Row, digits, source, table


def ahead(made: dict[str, Any]) -> str:
    """A table for each device, of the programs that compile, and those that do not."""
    lines = [source(made)]
    for name, target in TARGETS.items():
        rows = [row for row in made["rows"] if row["target"] == name]
        good = [row for row in rows if "error" not in row]
        if good:
            lines += [
                "",
                f"{target.title}, {target.bandwidth / 1e12:g} TB/s:",
                "",
                table(columns(target), good),
            ]
        failed = [f"- {row['program']} does not compile: {row['error']}" for row in rows if "error" in row]
        lines += ["", *failed] if failed else []
    return "\n".join(lines)


def columns(target: Target) -> list[Column]:
    """What is shown of a device: registers of a GPU alone, and its two ways to launch."""
    shown = [
        Column("program", "program"),
        Column("lanes", "lanes", ","),
        Column("kernels a step", "kernels", digits),
        Column("loops by data", "open_loops"),
        Column("in kernels", "open_loops_in_kernels", missing=""),
        Column("bytes a lane", "bytes_a_lane", digits),
        Column("scratch, bytes a lane", lambda row: row["temp_bytes"] / row["lanes"], digits),
        Column("compile, s", _seconds, ".0f"),
    ]
    if target.platform == "tpu":
        return [*shown, Column("estimate, M/s", "bound_per_s.plain", _millions)]
    return [
        *shown[:6],
        Column("updates", "updates", missing=""),
        Column("registers", "registers", missing=""),
        Column("spilled, bytes", "spilled_bytes", ",", missing=""),
        *shown[6:],
        Column("estimate, M/s", "bound_per_s.plain", _millions),
        Column("in a graph", "bound_per_s.graph", _millions),
    ]


def _seconds(row: Row) -> float:
    return float(row["trace_s"] + row["compile_s"])


def _millions(rate: float) -> str:
    return digits(rate / 1e6)
