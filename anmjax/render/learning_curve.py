"""The learning curve of a training: what its policy earned and violated as it learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from anmjax.render.theme import themed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Which of these there are differs from one learner to another; rates and rewards are for want of better.
PANELS = {
    "episode_return": "return of an episode",
    "violation_share": "steps that violate limits, %",
    "value_loss": "value loss",
}
ELSE = {"reward": "reward of a step", "steps_per_second": "steps per second"}


def plot_learning_curve(rows: Sequence[dict[str, Any]], *, title: str = "", dark: bool = False) -> Figure:
    """Draws the metrics of a training over its steps.

    Args:
      rows: of ``metrics.jsonl``.
      title: above all.
      dark: for a dark ground.

    Returns:
      The figure, to be saved by ``figure.savefig``.

    Raises:
      ImportError: matplotlib is not installed.
    """
    with themed(dark):
        return _draw(rows, title)


def _draw(rows: Sequence[dict[str, Any]], title: str) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter, SymmetricalLogLocator

    known = {name for row in rows for name in row}
    panels = [name for name in PANELS if name in known] or [name for name in ELSE if name in known]
    figure = Figure(figsize=(8, 2 + 2 * len(panels)), layout="constrained")
    axes = dict(zip(panels, np.ravel(figure.subplots(len(panels), sharex=True)), strict=True))
    steps = _column(rows, "env_steps") / 1e6
    for name, axis in axes.items():
        values = _column(rows, name) * (100 if name == "violation_share" else 1)
        # A point shows where there are too few for a line.
        axis.plot(steps, values, lw=1.2, marker="." if len(rows) < 50 else "")
        axis.set_ylabel((PANELS | ELSE)[name])
        if name == "value_loss" and (values > 0).any():
            axis.set_yscale("log")
    sizes = np.abs(_column(rows, "episode_return"))
    sizes = sizes[sizes > 0]
    if sizes.size and sizes.max() > 20 * sizes.min():
        # The first policies are so much worse that nothing of the later ones would show.
        smallest, returns = float(sizes.min()), axes["episode_return"]
        returns.set_yscale("symlog", linthresh=smallest)
        returns.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=smallest, subs=[1, 2, 5]))
        returns.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if "violation_share" in axes:
        axes["violation_share"].set_ylim(bottom=0)
    axes[panels[-1]].set_xlabel("environment steps, millions")
    if title:
        figure.suptitle(title)
    return figure


def _column(rows: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """The values of a metric, nan where a row has none."""
    values = [row.get(name) for row in rows]
    return np.array([value if isinstance(value, (int, float)) else np.nan for value in values], float)
