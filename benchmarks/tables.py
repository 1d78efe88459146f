"""Writes the documents' tables from the newest records, or checks (``--check``) that they are in step.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``; none is typed by hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import policy_tables, power_flow_tables, projection_tables, record
from benchmarks.markdown import grid, source

DOCUMENTS = (Path(__file__).parent.parent / "README.md", Path(__file__).parent / "POWER_FLOW.md")
BLOCK = re.compile(r"(<!-- table: (?P<name>\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def millions(value: float) -> str:
    """A rate in millions, to three digits."""
    return f"{value / 1e6:.3g}"


def against_gym_anm(versus: dict[str, Any], version: str) -> str:
    """The sentence that compares the best batch with gym-anm."""
    one, many = versus["gym_anm_one_process"]["median"], versus["gym_anm_process_per_core"]["median"]
    return (
        f"Measured in turn with gym-anm {version} on the same {versus['cores']} cores: anmjax "
        f"{versus['anmjax']['median']:,.0f} steps/s ({versus['batch']:,} grids, auto reset), gym-anm "
        f"{one:.0f} steps/s in one process ({versus['ratio_one_process']:,.0f} times) and "
        f"{many:.0f} steps/s in one process a core ({versus['ratio_process_per_core']:,.0f} times)."
    )


def env_step(made: dict[str, Any]) -> str:
    """Steps per second against batch size, then the comparison with gym-anm where there was one."""
    by_batch: dict[int, dict[bool, dict[str, Any]]] = {}
    for row in made["rows"]:
        by_batch.setdefault(row["batch"], {})[row["auto_reset"]] = row
    cells = []
    for batch, pair in sorted(by_batch.items()):
        plain, reset = pair[False]["steps_per_s"], pair[True]["steps_per_s"]
        spread = f"{millions(reset['low'])} to {millions(reset['high'])}"
        cost = 100 * (plain["median"] / reset["median"] - 1)
        cells.append(
            [f"{batch:,}", millions(plain["median"]), millions(reset["median"]), spread, f"{cost:.0f} %"]
        )
    header = ["grids", "step, M/s", "step with auto reset, M/s", "low to high", "cost of auto reset"]
    first = made["first_call"]
    lines = [
        f"{made['task']}, {made['rows'][0]['dtype']}, random actions: {source(made)}",
        "",
        grid(header, cells),
        "",
        f"First call with {first['batch']:,} grids, tracing and compiling included: `reset` "
        f"{first['reset_s']:.1f} s, `step` {first['step_s']:.1f} s.",
    ]
    if "comparison" in made:
        lines += ["", against_gym_anm(made["comparison"], made["versions"]["gym-anm"])]
    return "\n".join(lines)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "env_step": env_step,
    "anm6easy_table": policy_tables.anm6easy,
    "clairvoyant": policy_tables.clairvoyant,
    "mpc": policy_tables.mpc,
    "power_flow": power_flow_tables.speed,
    "power_flow_accuracy": power_flow_tables.accuracy,
    "power_flow_parts": power_flow_tables.parts,
    "projection": projection_tables.speed,
    "safety": projection_tables.safety,
    "training": policy_tables.training,
}


def render(text: str) -> str:
    """Fills every table of a text.

    Args:
      text: Markdown with table markers; a name is BENCHMARK-PLATFORM, say ``env_step-cpu``.

    Returns:
      The text with the tables of the newest records.

    Raises:
      ValueError: a marker names no table.
    """

    def fill(match: re.Match[str]) -> str:
        benchmark, _, platform = match["name"].rpartition("-")
        if benchmark not in TABLES:
            raise ValueError(f"table {match['name']!r}: must be one of {sorted(TABLES)}, '-', and a platform")
        made = record.latest(benchmark, platform)
        body = TABLES[benchmark](made) if made else f"Not measured yet: `python -m benchmarks.{benchmark}`."
        return f"{match[1]}{body}\n{match[3]}"

    return BLOCK.sub(fill, text)


def main() -> None:
    """Rewrites the documents, or with ``--check`` says which need it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a table is out of step")
    options = parser.parse_args()
    for document in DOCUMENTS:
        before = document.read_text(encoding="utf-8")
        after = render(before)
        if before != after and options.check:
            sys.exit(f"{document.name} is out of step with its records: run 'python -m benchmarks.tables'")
        if before != after:
            document.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
