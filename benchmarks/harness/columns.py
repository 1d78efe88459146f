"""Pieces of Markdown that the tables of all benchmarks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, all columns after the first aligned right; a bar in a cell, as in |V|, is escaped."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    escaped = [[cell.replace("|", r"\|") for cell in cells] for cells in (header, rule, *rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in escaped)


def source(made: dict[str, Any]) -> str:
    """Where and with what a record was measured."""
    jax, date = made["versions"]["jax"], made["date"][:10]
    return f"{place(made)}; jax {jax}; {commit(made)}; {date}; `{made['command']}`."


def place(made: dict[str, Any]) -> str:
    """The machine of a record."""
    machine = made["machine"]
    if machine["platform"] != "cpu":
        return f"{machine['num_devices']} x {machine['device_kind']}"
    return f"{machine['cpu']}, {machine['cores']} cores"


def commit(made: dict[str, Any]) -> str:
    """The commit that a record was made of."""
    if not made["commit"]:
        return "no commit"
    return f"commit {made['commit'][:10]}{', changed' if made['dirty'] else ''}"
