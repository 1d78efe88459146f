"""Draws solves a second against batch size from the newest record, beside the other programs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from benchmarks.harness import record
from benchmarks.power_flow.tables import OURS, fastest, names, of_dtype, of_network, plot_path

COLUMNS = 4
# Programs that are drawn, each as a line at the rate of the fastest of its methods, with colour and dashes.
PEERS = {
    "lightsim2grid, flat": ("tab:orange", "--"),
    "power-grid-model": ("tab:green", "-."),
    "pandapower": ("tab:gray", ":"),
}
CURVES = {"forward": ("tab:blue", "o"), "with gradient": ("tab:purple", "s")}


def draw(made: dict[str, Any], path: Path) -> None:
    """Draws the first precision of a record: one panel a network.

    Args:
      made: a record of ``power_flow``.
      path: the image to write.
    """
    matplotlib.use("Agg")
    rows_shown = of_dtype(made, made["dtypes"][0])
    shown = names(rows_shown)
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.1 * columns, 2.7 * rows + 0.6), squeeze=False)
    for axis, name in zip(axes.flat, shown, strict=False):
        panel(axis, rows_shown, name)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("solves per second")
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=len(handles), frameon=False)
    figure.tight_layout(rect=(0, 0.09 if rows == 1 else 0.05, 1, 1))
    figure.savefig(path, dpi=130)
    plt.close(figure)


def panel(axis: Any, shown: Sequence[dict[str, Any]], name: str) -> None:
    """Draws one network: ours against batch size with the spread of the repeats, the peers as levels."""
    buses = 0
    for what, (color, marker) in CURVES.items():
        rows = of_network(shown, name, what)
        if not rows:
            continue
        buses = rows[0]["n_bus"]
        batches, rates = [row["batch"] for row in rows], [row["solves_per_s"] for row in rows]
        axis.plot(
            batches,
            [rate["median"] for rate in rates],
            color=color,
            marker=marker,
            ms=4,
            label=f"{OURS}, {what}",
        )
        spread = [rate["low"] for rate in rates], [rate["high"] for rate in rates]
        axis.fill_between(batches, *spread, color=color, alpha=0.2, lw=0)
    for program, (color, dashes) in PEERS.items():
        theirs = [row for row in of_network(shown, name) if row["solver"].startswith(program)]
        if theirs:
            rate = fastest(theirs)["solves_per_s"]["median"]
            axis.axhline(rate, color=color, ls=dashes, label=program.split(",")[0])
    axis.set_xscale("log", base=4)
    batches = sorted({row["batch"] for row in shown if row.get("what") in CURVES})
    axis.set_xticks(batches, [f"{batch:,}" for batch in batches], fontsize=7, rotation=30)
    axis.minorticks_off()
    axis.set_yscale("log")
    axis.set_title(f"{name} ({buses:,} buses)", fontsize=10)
    axis.set_xlabel("scenarios in one call")
    axis.grid(alpha=0.3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws a record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.power_flow.plot", description=__doc__)
    parser.add_argument("--platform", default="cpu", help="of the record (default: %(default)s)")
    parser.add_argument("--record", type=Path, help="a record to draw instead of the newest")
    parser.add_argument("--out", type=Path, help="image to write (default: in docs/performance)")
    options = parser.parse_args(arguments)
    made = (
        json.loads(options.record.read_text())
        if options.record
        else record.latest("power_flow", options.platform)
    )
    if made is None:
        parser.error(f"no record of power_flow on {options.platform}: run 'python -m benchmarks.power_flow'")
    path = options.out or plot_path(made["machine"]["platform"])
    draw(made, path)
    print(f"plot: {path}")


if __name__ == "__main__":
    main()
