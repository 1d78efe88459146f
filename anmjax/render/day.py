"""A day under each of some policies, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from anmjax.agents.day import Day

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_day(days: Mapping[str, Day], *, title: str = "") -> Figure:
    """Draws a column for each policy: power, charge, loading, voltages and cost over the hours of a day.

    Args:
      days: what happened, by name of the policy.
      title: above all.

    Returns:
      The figure, to be saved by ``figure.savefig``.

    Raises:
      ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(days) + 2.4, 10.2), layout="constrained")
    axes = figure.subplots(5, len(days), squeeze=False, sharex=True, sharey="row")
    for column, (name, day) in zip(axes.T, days.items(), strict=True):
        hours = np.linspace(0, 24, len(day.load), endpoint=False)
        column[0].set_title(name)
        _power(column[0], hours, day)
        _charge(column[1], hours, day)
        _loading(column[2], hours, day)
        _voltage(column[3], hours, day)
        _cost(column[4], hours, day)
        column[4].set_xlabel("hours from the start of the day")
        column[4].set_xticks(range(0, 25, 6))
        for axis in column:
            axis.grid(alpha=0.3)
            axis.set_xlim(0, 24)
    for axis, label in zip(
        axes[:, 0], ("MW", "MWh", "branch loading, %", "voltage, p.u.", "p.u.h a step"), strict=True
    ):
        axis.set_ylabel(label)
    for row in axes:
        row[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1), fontsize=8, frameon=False)
    for axis in axes[1:3, 0]:  # once all is drawn, as the row shares it
        axis.set_ylim(bottom=0)
    if title:
        figure.suptitle(title)
    return figure


def _power(axis: Axes, hours: np.ndarray, day: Day) -> None:
    axis.fill_between(hours, day.generated, day.potential, step="post", color="tab:orange", alpha=0.3)
    axis.step(
        hours, day.potential, where="post", color="tab:orange", lw=1, ls="--", label="could be generated"
    )
    axis.step(hours, day.generated, where="post", color="tab:green", lw=1.4, label="generated")
    axis.step(hours, day.load, where="post", color="tab:gray", lw=1.4, label="load")


def _charge(axis: Axes, hours: np.ndarray, day: Day) -> None:
    for unit in range(day.soc.shape[1]):
        axis.step(hours, day.soc[:, unit], where="post", lw=1.4, label=f"storage {unit + 1}")
    if not day.soc.shape[1]:
        axis.plot([], [], label="no storage")


def _loading(axis: Axes, hours: np.ndarray, day: Day) -> None:
    axis.step(
        hours, 100 * day.loading, where="post", color="tab:blue", lw=1.4, label="highest of all branches"
    )
    axis.axhline(100, color="tab:red", lw=1, ls="--", label="rating")


def _voltage(axis: Axes, hours: np.ndarray, day: Day) -> None:
    axis.fill_between(
        hours, day.vm_min, day.vm_max, step="post", color="tab:purple", alpha=0.4, label="least to greatest"
    )


def _cost(axis: Axes, hours: np.ndarray, day: Day) -> None:
    lost, penalty = day.e_loss.sum(), day.penalty.sum()
    axis.step(hours, day.e_loss, where="post", color="tab:green", lw=1.4, label="energy lost")
    axis.step(hours, day.penalty, where="post", color="tab:red", lw=1.4, label="penalty")
    axis.text(
        0.97,
        0.94,
        f"lost {lost:.3f}\npenalty {penalty:.3f}",
        transform=axis.transAxes,
        ha="right",
        va="top",
        fontsize=8,
        bbox={"facecolor": "white", "alpha": 0.7, "lw": 0},
    )
