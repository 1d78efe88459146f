"""The table of what the page costs, from its record."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.columns import Column, digits, source, table

COLUMNS = (
    Column("grid", "grid"),
    Column("buses", "num_buses", ",d"),
    Column("steps", "steps", ",d"),
    Column("made in, s", "making_s", ".2f"),
    Column("MB", lambda row: row["bytes"] / 1e6, ".2f"),
    Column("frames/s", "frames_per_s", digits, missing="-"),
    Column("script, ms a frame", "ms_a_frame", ".1f", missing="-"),
)


def frames(made: dict[str, Any]) -> str:
    """Pages, how large they are and how fast a browser plays them."""
    note = (
        f"{made['browser']}, headless, without a GPU, 1,500 by 1,000 pixels, a step a frame; it grants 60 a "
        "second at most."
    )
    return f"{source(made)}\n\n{table(COLUMNS, made['rows'])}\n\n{note}"
