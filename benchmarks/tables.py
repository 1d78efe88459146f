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

from benchmarks import policy_tables, power_flow_tables, projection_tables, record, throughput_tables

HERE = Path(__file__).parent
DOCUMENTS = (HERE.parent / "README.md", HERE / "ENV_STEP.md", HERE / "POWER_FLOW.md")
BLOCK = re.compile(r"(<!-- table: (?P<name>\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "env_step_parts": throughput_tables.env_step_parts,
    "env_step": throughput_tables.env_step,
    "anm6easy_table": policy_tables.anm6easy,
    "clairvoyant": policy_tables.clairvoyant,
    "mpc": policy_tables.mpc,
    "power_flow": power_flow_tables.speed,
    "power_flow_accuracy": power_flow_tables.accuracy,
    "power_flow_parts": power_flow_tables.parts,
    "projection": projection_tables.speed,
    "ppo": throughput_tables.ppo,
    "scaling": throughput_tables.scaling,
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
