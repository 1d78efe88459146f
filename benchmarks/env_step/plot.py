"""Draws steps a second, of environments against the number of grids and of PPO, from the newest records."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from benchmarks.env_step import tasks
from benchmarks.harness import record
from benchmarks.training.tables import POWERZOOJAX


def plot_path(platform: str) -> Path:
    """Where the plot of a platform belongs."""
    return record.PLOTS / f"throughput-{platform}.png"


def draw(env_step: dict[str, Any], ppo: dict[str, Any], path: Path) -> None:
    """Draws the two records side by side."""
    matplotlib.use("Agg")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=(1.1, 1))
    against_grids(left, env_step)
    of_ppo(right, ppo)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def against_grids(axis: Any, made: dict[str, Any]) -> None:
    """Steps per second against the number of grids, with the spread of the repeats, above gym-anm's."""
    rows = [row for row in made["rows"] if row["what"] == "batch"]
    for task in dict.fromkeys(row["task"] for row in rows):
        own = sorted((row for row in rows if row["task"] == task), key=lambda row: row["batch"])
        rates = [row["steps_per_s"] for row in own]
        grids = [row["batch"] for row in own]
        (line,) = axis.plot(grids, [rate["median"] for rate in rates], marker="o", ms=4, label=task)
        axis.fill_between(
            grids,
            [rate["low"] for rate in rates],
            [rate["high"] for rate in rates],
            color=line.get_color(),
            alpha=0.2,
            lw=0,
        )
        parts = [row for row in made["rows"] if row["what"] == "in parts" and row["task"] == task]
        if parts:
            axis.plot(
                [row["batch"] for row in parts],
                [row["steps_per_s"]["median"] for row in parts],
                color=line.get_color(),
                ls="--",
                marker="o",
                ms=4,
                mfc="w",
                label=f"{parts[0]['part']:,} at a time",
            )
    if "comparison" in made:
        level = made["comparison"]["gym_anm_process_per_core"]["median"]
        axis.axhline(level, color="tab:gray", ls=":", label="gym-anm, a process a core")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("grids side by side")
    axis.set_ylabel("environment steps per second")
    axis.set_title("random actions, auto reset", fontsize=10)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def of_ppo(axis: Any, made: dict[str, Any]) -> None:
    """Env steps that PPO learns from in a second, a bar for each case."""
    rows = made["rows"][::-1]
    names = [
        f"{row['task'].removesuffix('-v0')}, {row['num_envs']:,} grids,\n"
        f"{' x '.join(map(str, row['hidden_sizes']))}, {row['network_dtype']}"
        + (f", {row['seeds']} seeds" if row["seeds"] > 1 else "")
        for row in rows
    ]
    medians = [row["steps_per_s"]["median"] for row in rows]
    spread = [
        [row["steps_per_s"]["median"] - row["steps_per_s"]["low"] for row in rows],
        [row["steps_per_s"]["high"] - row["steps_per_s"]["median"] for row in rows],
    ]
    axis.barh(names, medians, xerr=spread, color="tab:blue", ecolor="tab:gray", height=0.6)
    axis.axvline(POWERZOOJAX, color="tab:orange", ls="--", label="PowerZooJax, 33 buses, RTX 4500 Ada")
    axis.set_xlabel("env steps per second, collected and learned from")
    axis.set_title("PPO", fontsize=10)
    axis.tick_params(axis="y", labelsize=7)
    axis.ticklabel_format(axis="x", style="plain")
    axis.xaxis.set_major_formatter(lambda x, _: f"{x / 1e6:g} M")
    axis.grid(alpha=0.3, axis="x")
    axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15), frameon=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws the newest records of every platform that has both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.env_step.plot", description=__doc__)
    parser.add_argument("--platforms", nargs="+", default=["cpu", "gpu"])
    options = parser.parse_args(arguments)
    for platform in options.platforms:
        env_step, ppo = record.latest("env_step", platform), record.latest("training.ppo", platform)
        if env_step and ppo:
            draw(env_step, ppo, plot_path(platform))
            print(f"plot: {plot_path(platform)}")
        if made := record.latest("env_step.tasks", platform):
            tasks.draw(made, tasks.plot_path(platform))
            print(f"plot: {tasks.plot_path(platform)}")


if __name__ == "__main__":
    main()
