"""Writes the documents' tables from the newest records, or checks (``--check``) that they are in step.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``; none is typed by hand.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import headline
from benchmarks.accelerators import tables as accelerator_tables
from benchmarks.env_step import tables as env_step_tables
from benchmarks.harness import record
from benchmarks.page import tables as page_tables
from benchmarks.policies import tables as policy_tables
from benchmarks.power_flow import tables as power_flow_tables
from benchmarks.projection import tables as projection_tables
from benchmarks.robustness import tables as robustness_tables
from benchmarks.training import tables as training_tables

ROOT = Path(__file__).parent.parent
DOCUMENTS = tuple(
    ROOT / name
    for name in (
        "README.md",
        "docs/index.md",
        "docs/pandapower-nets.md",
        "docs/replay.md",
        "docs/performance/index.md",
        "docs/performance/environment-steps.md",
        "docs/performance/learning.md",
        "docs/performance/ppo.md",
        "docs/performance/power-flow.md",
        "docs/performance/projection.md",
        "docs/performance/policies.md",
        "docs/performance/accelerators.md",
    )
)
BLOCK = re.compile(r"(<!-- table: (?P<name>\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


class Table(NamedTuple):
    """A table: what writes it, and the benchmarks whose records it is made of."""

    write: Callable[..., str]  # takes their newest records; of several, None for those that are missing
    benchmarks: tuple[str, ...]


# Of one benchmark each, by its name.
OWN: dict[str, Callable[..., str]] = {
    "accelerators": accelerator_tables.ahead,
    "env_step": env_step_tables.env_step,
    "env_step.parts": env_step_tables.env_step_parts,
    "env_step.tasks": env_step_tables.env_step_tasks,
    "page.frames": page_tables.frames,
    "policies.anm6easy": policy_tables.anm6easy,
    "policies.clairvoyant": policy_tables.clairvoyant,
    "policies.mpc": policy_tables.mpc,
    "policies.starts": policy_tables.starts,
    "policies.suite": policy_tables.suite,
    "power_flow": power_flow_tables.speed,
    "power_flow.accuracy": power_flow_tables.accuracy,
    "power_flow.parts": power_flow_tables.parts,
    "projection": projection_tables.speed,
    "projection.safety": projection_tables.safety,
    "robustness.pandapower_nets": robustness_tables.nets,
    "robustness.planted_faults": robustness_tables.planted,
    "training.constrained": training_tables.constrained,
    "training.ppo": training_tables.ppo,
    "training.returns": training_tables.returns,
    "training.scaling": training_tables.scaling,
    "training.stacks": training_tables.stacks,
    "training.search": training_tables.search,
}
TABLES = {
    "headline": Table(headline.headline, tuple(headline.ROWS)),
    **{name: Table(write, (name,)) for name, write in OWN.items()},
}


def render(text: str) -> str:
    """Fills every table of a text.

    Args:
      text: Markdown with table markers; a name is TABLE-PLATFORM, say ``env_step-cpu``.

    Returns:
      The text with the tables of the newest records.

    Raises:
      ValueError: a marker names no table.
    """

    def fill(match: re.Match[str]) -> str:
        name, _, platform = match["name"].rpartition("-")
        if name not in TABLES:
            raise ValueError(f"table {match['name']!r}: must be one of {sorted(TABLES)}, '-', and a platform")
        write, benchmarks = TABLES[name]
        made = [record.latest(benchmark, platform) for benchmark in benchmarks]
        body = write(*made) if any(made) else f"Not measured yet: `python -m benchmarks.{benchmarks[0]}`."
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
            name = document.relative_to(ROOT)
            sys.exit(f"{name} is out of step with its records: run 'python -m benchmarks.tables'")
        if before != after:
            document.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
