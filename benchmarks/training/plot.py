"""Draws, from the newest records, returns against steps and wall clock, and energy against violations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import matplotlib.transforms
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from anmjax.render.comparison import draw_trade_off
from anmjax.render.theme import themed
from benchmarks.harness import record
from benchmarks.training.returns import PASSED

NAMES = {"shac": "SHAC", "ppo": "PPO"}
COLOURS = {"shac": "tab:blue", "ppo": "tab:orange"}


def plot_path(platform: str, what: str = "learning") -> Path:
    """Where a plot of a platform belongs."""
    return record.PLOTS / f"{what}-{platform}.png"


def draw(made: dict[str, Any], path: Path) -> None:
    """Draws a row of two axes for every task: against steps, against seconds."""
    matplotlib.use("Agg")
    tasks = list(dict.fromkeys(row["task"] for row in made["rows"]))
    figure, axes = plt.subplots(len(tasks), 2, figsize=(10, 3.6 * len(tasks)), squeeze=False)
    for (by_steps, by_seconds), task in zip(axes, tasks, strict=True):
        rows = [row for row in made["rows"] if row["task"] == task]
        for axis, unit in ((by_steps, "env_steps"), (by_seconds, "seconds")):
            for row in rows:
                x = np.array([point[unit] for point in row["curve"]])
                y = np.array([point["return"] for point in row["curve"]])
                shown = x / 1e6 if unit == "env_steps" else x
                label = NAMES[row["agent"]] if row is first_of(rows, row["agent"]) else None
                axis.plot(shown, y, color=COLOURS[row["agent"]], lw=1, alpha=0.8, label=label)
            for level in PASSED.get(task, ()):
                axis.axhline(level, color="0.5", lw=0.8, ls=":")
                axis.text(0.01, level, f"{level:g}", color="0.4", fontsize=8, transform=across(axis))
            best, least = max(row["return"] for row in rows), min(PASSED.get(task, (3 * rows[0]["return"],)))
            axis.set_ylim(1.1 * least, best + 0.06 * (best - least))
            axis.set_ylabel("discounted return")
            axis.grid(alpha=0.3)
        by_steps.set_xscale("log")
        by_steps.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        by_steps.xaxis.set_minor_formatter(NullFormatter())
        by_steps.set_xlabel("million environment steps")
        by_seconds.set_xlabel("seconds after the first update, evaluations apart")
        by_steps.set_title(task, loc="left")
        by_steps.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def trade_off(made: dict[str, Any], path: Path) -> None:
    """Draws, for every task, the energy lost in a day against the violations of a step."""
    tasks = list(dict.fromkeys(row["task"] for row in made["rows"]))
    with themed(dark=False):
        figure = Figure(figsize=(5.4 * len(tasks), 4.2), layout="constrained")
        axes = figure.subplots(1, len(tasks), squeeze=False)
        for axis, task in zip(axes[0], tasks, strict=True):
            families: dict[str, list[tuple[float, float]]] = {}
            for row in (row for row in made["rows"] if row["task"] == task):
                name = NAMES.get(row["agent"], row["agent"])
                family = f"{name}, {row['kind']}s" if row["kind"] else name
                families.setdefault(family, []).append((row["cost"], row["energy_mwh_a_day"]))
            cost, objective = "violations a step, p.u.", "energy lost, MWh a day"
            draw_trade_off(axis, families, cost=cost, objective=objective, title=task)
            axis.set_ylim(bottom=0)
    figure.savefig(path, dpi=120)


def across(axis: Any) -> Any:
    """Coordinates of an axis: x as a share of its width, y as drawn."""
    return matplotlib.transforms.blended_transform_factory(axis.transAxes, axis.transData)


def first_of(rows: list[dict[str, Any]], agent: str) -> dict[str, Any]:
    """The first training of an agent."""
    return next(row for row in rows if row["agent"] == agent)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws the newest record of a platform."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training.plot", description=__doc__)
    parser.add_argument("--platform", default="cpu")
    platform = parser.parse_args(arguments).platform
    drawn = {"learning": ("training.returns", draw), "trade-off": ("training.constrained", trade_off)}
    made = {what: record.latest(benchmark, platform) for what, (benchmark, _) in drawn.items()}
    if not any(made.values()):
        parser.error(
            f"no record of {' or '.join(benchmark for benchmark, _ in drawn.values())} on {platform}"
        )
    for what, found in made.items():
        if found is not None:
            drawn[what][1](found, plot_path(platform, what))


if __name__ == "__main__":
    main()
