"""Policies beside each other in plots: what they earn and violate, and what less of one thing costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from anmjax.agents.evaluation import Evaluation
from anmjax.render.theme import palette_of, themed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^Dv<>P"


def plot_policies(scores: Mapping[str, Evaluation], *, title: str = "", dark: bool = False) -> Figure:
    """Draws the table of an evaluation: returns with their intervals, violating steps, and costs of a day.

    Args:
      scores: by name of the policy, from the same starts; the best comes first.
      title: above all.
      dark: for a dark ground.

    Returns:
      The figure, to be saved by ``figure.savefig``. Of returns that differ by more than a factor of twenty
      the axis is logarithmic.

    Raises:
      ImportError: matplotlib is not installed.
      ValueError: there are no scores.
    """
    if not scores:
        raise ValueError("scores is empty, but a plot needs at least one")
    names = sorted(scores, key=lambda name: -scores[name].discounted_return)
    each = [scores[name] for name in names]
    panels = {
        "discounted return, 95 % interval": [score.discounted_return for score in each],
        "steps that violate limits, %": [_percent(score.violation_share) for score in each],
        "cost of the last day, p.u.h": [_or_nan(score.cost_per_day) for score in each],
    }
    panels = {label: values for label, values in panels.items() if np.isfinite(values).any()}
    rows = np.arange(len(names))
    with themed(dark):
        from matplotlib.figure import Figure

        palette = palette_of(dark)
        size = (2.2 + 3 * len(panels), 1.3 + 0.36 * len(names))
        figure = Figure(figsize=size, layout="constrained")
        axes = np.ravel(figure.subplots(1, len(panels), sharey=True, squeeze=False))
        for axis, (label, values) in zip(axes, panels.items(), strict=True):
            # The interval of a mean, by Student's t, as that of paired differences.
            halves = [_half(score) if axis is axes[0] else 0.0 for score in each]
            axis.errorbar(values, rows, xerr=halves, fmt="o", color=palette.busy, capsize=3, lw=1.3)
            for x, y in zip(values, rows, strict=True):
                text = f"{x:.4g}" if np.isfinite(x) else "-"
                at = (x if np.isfinite(x) else 0, y)
                axis.annotate(text, at, (0, 6), textcoords="offset points", ha="center", fontsize=7.5)
            sizes = np.abs([x for x in values if np.isfinite(x) and x])
            if sizes.size and sizes.max() > 20 * sizes.min():
                _logarithmic(axis, float(sizes.min()))
            axis.margins(x=0.14)
            axis.set_xlabel(label)
        axes[0].set_yticks(rows, names)
        axes[0].set_ylim(len(names) - 0.5, -0.7)
        if title:
            figure.suptitle(title)
    return figure


def plot_trade_off(
    points: Mapping[str, Sequence[tuple[float, float]]],
    *,
    cost: str = "violations of a step, p.u.",
    objective: str = "energy lost, MWh a day",
    title: str = "",
    dark: bool = False,
) -> Figure:
    """Draws what less of one thing costs in terms of another, and the points that no other one beats in both.

    Args:
      points: (cost, objective) of each policy of a family, less being better, by name of the family.
      cost: what the axis to the right says.
      objective: what the axis upwards says.
      title: above all.
      dark: for a dark ground.

    Returns:
      The figure; the Pareto front of all points is a line of its own.

    Raises:
      ImportError: matplotlib is not installed.
      ValueError: there are no points, or one is not finite.
    """
    with themed(dark):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.6, 4), layout="constrained")
        draw_trade_off(figure.subplots(), points, cost=cost, objective=objective, title=title, dark=dark)
    return figure


def draw_trade_off(
    axis: Axes,
    points: Mapping[str, Sequence[tuple[float, float]]],
    *,
    cost: str,
    objective: str,
    title: str,
    dark: bool = False,
) -> None:
    """Draws on an axis what ``plot_trade_off`` draws in a figure of its own."""
    every = np.array([point for family in points.values() for point in family], float).reshape(-1, 2)
    if not len(every) or not np.isfinite(every).all():
        raise ValueError("points must be some (cost, objective), all finite")
    front = pareto_front(every)
    axis.step(*front.T, where="post", color=palette_of(dark).soft, lw=4, alpha=0.35, label="Pareto front")
    for k, (name, family) in enumerate(points.items()):
        x, y = np.array(sorted(family), float).reshape(-1, 2).T
        axis.plot(x, y, marker=MARKERS[k % len(MARKERS)], lw=1, ms=5, label=name)
    positive = every[every[:, 0] > 0, 0]
    if positive.size and every[:, 0].max() > 20 * positive.min():
        # What is a thousand times smaller than the largest may as well be none.
        smallest = max(float(positive.min()), 1e-3 * float(every[:, 0].max()))
        _logarithmic(axis, smallest)
        axis.set_xlim(min(0.0, float(every[:, 0].min())) - 0.2 * smallest)
    axis.set_xlabel(cost)
    axis.set_ylabel(objective)
    axis.set_title(title, loc="left")
    axis.legend()


def pareto_front(points: np.ndarray) -> np.ndarray:
    """The points that no other one beats in both, by their first component.

    Args:
      points: (n, 2), less being better.
    """
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))]
    best = np.minimum.accumulate(ordered[:, 1])
    keeps = np.append(True, ordered[1:, 1] < best[:-1])
    kept: np.ndarray = ordered[keeps]
    return kept


def _logarithmic(axis: Axes, smallest: float) -> None:
    """Makes the axis to the right logarithmic from the smallest size on, on both sides of zero."""
    from matplotlib.ticker import StrMethodFormatter

    axis.set_xscale("symlog", linthresh=smallest)
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _half(score: Evaluation) -> float:
    """Half of the 95 % interval of the mean return; 0 of one start, which has none."""
    if score.num_starts < 2:
        return 0.0
    return float(stats.t.ppf(0.975, score.num_starts - 1)) * score.standard_error


def _percent(share: float | None) -> float:
    return np.nan if share is None else 100 * share


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
