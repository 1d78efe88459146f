"""Pieces of Markdown that the tables of all benchmarks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, all columns after the first aligned right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def source(made: dict[str, Any]) -> str:
    """Where and with what a record was measured."""
    machine, versions = made["machine"], made["versions"]
    where = f"{machine['cpu']}, {machine['cores']} cores"
    if machine["platform"] != "cpu":
        where = f"{machine['num_devices']} x {machine['device_kind']}"
    commit = (
        f"commit {made['commit'][:10]}{', changed' if made['dirty'] else ''}"
        if made["commit"]
        else "no commit"
    )
    return f"{where}; jax {versions['jax']}; {commit}; {made['date'][:10]}; `{made['command']}`."
