"""The learning curve of a training: what its policy earned and violated as it learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = {
    "episode_return": "return of an episode",
    "violation_share": "steps that violate limits, %",
    "value_loss": "value loss",
}


def plot_learning_curve(rows: Sequence[dict[str, Any]], *, title: str = "") -> Figure:
    """Draws the metrics of a training over its steps.

    Args:
      rows: of ``metrics.jsonl``.
      title: above all.

    Returns:
      The figure, to be saved by ``figure.savefig``.

    Raises:
      ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter, SymmetricalLogLocator

    figure = Figure(figsize=(8, 8), layout="constrained")
    axes = figure.subplots(len(PANELS), sharex=True)
    steps = _column(rows, "env_steps") / 1e6
    for axis, (name, label) in zip(axes, PANELS.items(), strict=True):
        values = _column(rows, name) * (100 if name == "violation_share" else 1)
        # A point shows where there are too few for a line.
        axis.plot(steps, values, lw=1.2, marker="." if len(rows) < 50 else "", color="tab:blue")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    sizes = np.abs(_column(rows, "episode_return"))
    sizes = sizes[sizes > 0]
    if sizes.size and sizes.max() > 20 * sizes.min():
        # The first policies are so much worse that nothing of the later ones would show.
        smallest = float(sizes.min())
        axes[0].set_yscale("symlog", linthresh=smallest)
        axes[0].yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=smallest, subs=[1, 2, 5]))
        axes[0].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes[1].set_ylim(bottom=0)
    if (values > 0).any():
        axes[2].set_yscale("log")
    axes[-1].set_xlabel("environment steps, millions")
    if title:
        figure.suptitle(title)
    return figure


def _column(rows: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """The values of a metric, nan where a row has none."""
    values = [row.get(name) for row in rows]
    return np.array([value if isinstance(value, (int, float)) else np.nan for value in values], float)
