"""How many environment steps a second, on every task, and what does the table of a year cost?

Random actions, auto reset, one batch for all, in turns. Beside IEEE33-v0, whose table has 35,040 rows, the
same task with its first two days alone: the same program, but for the size of the table.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import anmjax
from benchmarks.env_step.speed import PART, Lanes
from benchmarks.harness import command_line, record
from benchmarks.harness.timing import Spread, interleave

YEAR = "IEEE33-v0"
A_DAY = f"{YEAR}, two days alone"
PAIRS = 5  # times as many rounds of these two


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.env_step.tasks", description=__doc__)
    tasks = sorted(anmjax.registered_tasks())
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks, help="default: all")
    parser.add_argument("--batch", type=int, default=2 * PART, metavar="LANES", help="of each (%(default)s)")
    command_line.add_timing(parser, seconds=1.0, repeats=7)
    command_line.add_devices(parser)
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.tasks, options.batch, options.seconds, options.repeats = [YEAR], 64, 0.05, 2
    return options


def of_a_day(env: Any) -> Any:
    """The task with two days of its table: a day, and what comes after it."""
    profiles = env._recipe.profiles
    values = profiles.values[: 2 * round(24 / float(env.delta_t))]
    return env.replace(profiles=dataclasses.replace(profiles, values=values), test=())


def share_of(rates: dict[str, Spread]) -> dict[str, float]:
    """Steps with the whole table in those with two days of it: median of the rounds, its standard error."""
    shares = np.array(rates[YEAR].values) / np.array(rates[A_DAY].values)
    # The median of a normal sample has 1.253 times the mean's error; the quartiles are 1.349 errors apart.
    low, median, high = np.quantile(shares, [0.25, 0.5, 0.75])
    error = 1.253 * (high - low) / 1.349 / math.sqrt(len(shares))
    return {"median": float(median), "error": float(error), "rounds": len(shares)}


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    mesh = command_line.mesh_of(options.devices)
    lanes: dict[str, Lanes] = {}
    buses: dict[str, int] = {}
    for name in options.tasks:
        env: Any = anmjax.make(name)
        cases = {name: env, A_DAY: of_a_day(env)} if name == YEAR else {name: env}
        for case, own in cases.items():
            lanes[case] = Lanes(anmjax.AutoReset(own), options.batch, mesh, options.seconds)
            buses[case] = own.network.n_bus
            print(f"{case}: {lanes[case].num_steps} steps a run", flush=True)
    rates = interleave({case: lane.steps_per_s for case, lane in lanes.items()}, options.repeats)
    # The difference is small, and a shared machine is not steady: these two again, and more often.
    pair = {case: lanes[case].steps_per_s for case in (YEAR, A_DAY) if case in lanes}
    shares = share_of(interleave(pair, PAIRS * options.repeats)) if pair else None
    rows = []
    for case, lane in lanes.items():
        rate = rates[case]
        print(f"{case}, {buses[case]} buses: {rate.median:,.0f} steps/s", flush=True)
        rows.append(
            {
                "task": case,
                "buses": buses[case],
                "batch": options.batch,
                "dtype": lane.dtype,
                "steps_per_s": rate.to_dict(),
                **lane.costs(),
                **lane.quality(),
            }
        )
        if case == YEAR and shares is not None:
            rows[-1]["of_two_days"] = shares
            print("of the steps with two days of the table: {median:.3f} +- {error:.3f}".format(**shares))
    made = record.make("env_step.tasks", rows)
    if options.out or not options.smoke:
        record.write(made, options.out)


def plot_path(platform: str) -> Path:
    """Where the plot of a platform belongs."""
    return record.PLOTS / f"tasks-{platform}.png"


def draw(made: dict[str, Any], path: Path) -> None:
    """Draws steps a second against the number of buses."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.5, 4))
    rows = [row for row in made["rows"] if row["task"] != A_DAY]
    for k, row in enumerate(sorted(rows, key=lambda row: (row["buses"], -row["steps_per_s"]["median"]))):
        rate = row["steps_per_s"]
        spread = [[rate["median"] - rate["low"]], [rate["high"] - rate["median"]]]
        axis.errorbar(row["buses"], rate["median"], spread, fmt="o", color=f"C{k % 10}", label=row["task"])
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks([6, 15, 33, 69, 122, 178], labels=["6", "15", "33", "69", "122", "178"])
    axis.set_xticks([], minor=True)
    axis.set_xlabel("buses")
    axis.set_ylabel("environment steps per second")
    axis.set_title(f"random actions, auto reset, {rows[0]['batch']:,} grids", fontsize=10)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
