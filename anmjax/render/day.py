"""A day, or some, under each of some policies, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from anmjax.agents.replay import Replay
from anmjax.grid.network import Network
from anmjax.projection.control_layout import ControlLayout
from anmjax.render.colours import Palette
from anmjax.render.summary import branch_name, loading
from anmjax.render.theme import palette_of, themed
from anmjax.render.web_page import check_rollouts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED = 8  # devices with a line of their own colour; the others are grey
FULLEST = 3  # branches that are drawn
LONGEST_NAME = 24


def plot_day(rollouts: Mapping[str, Replay], *, title: str = "", dark: bool = False) -> Figure:
    """Draws a column for each policy over the hours of its rollout.

    From above: power in sum, P and Q of each controlled device, charges, the branches that come nearest to
    their ratings, the range of voltages with their limits, and costs.

    Args:
      rollouts: of the same grid and length, by name of the policy.
      title: above all.
      dark: for a dark ground.

    Returns:
      The figure, to be saved by ``figure.savefig``: as PDF or SVG it is vectors.

    Raises:
      ImportError: matplotlib is not installed.
      ValueError: there is no rollout, or they differ in grid, steps or length of a step.
    """
    check_rollouts(rollouts)
    with themed(dark):
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(3.4 * len(rollouts) + 2.6, 13), layout="constrained")
        axes = figure.subplots(len(PANELS), len(rollouts), squeeze=False, sharex=True, sharey="row")
        for column, (name, rollout) in zip(axes.T, rollouts.items(), strict=True):
            column[0].set_title(_short(name))
            hours = rollout.delta_t * np.arange(len(rollout.series.e_loss) + 1) + (rollout.start_hour or 0)
            for axis, draw in zip(column, PANELS.values(), strict=True):
                draw(_Panel(axis, hours, palette_of(dark)), rollout)
            column[-1].set_xlabel(
                "hours from the start" if rollout.start_hour is None else "hours from midnight"
            )
            column[-1].set_xlim(hours[0], hours[-1])
            column[-1].xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 3, 6, 10]))
        for axis, label in zip(axes[:, 0], PANELS, strict=True):
            axis.set_ylabel(label)
        for axis in axes.ravel():
            axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1), handlelength=1.2)
        for axis in axes[3:5, 0]:  # once all is drawn, as the row shares it
            axis.set_ylim(bottom=0)
        if title:
            figure.suptitle(title)
    return figure


class _Panel:
    """An axis over hours; every value lasts until the next one."""

    def __init__(self, axis: Axes, hours: np.ndarray, palette: Palette) -> None:
        self.axis, self.hours, self.palette = axis, hours, palette

    def line(self, values: np.ndarray, label: str | None, **style: Any) -> None:
        held = np.append(values, values[-1:])
        self.axis.step(self.hours, held, where="post", label=label, **{"lw": 1.3, **style})

    def between(self, low: np.ndarray, high: np.ndarray, **style: Any) -> None:
        low, high = (np.append(x, x[-1:]) for x in (low, high))
        self.axis.fill_between(self.hours, low, high, step="post", lw=0, **style)

    def limit(self, value: float, label: str | None = None) -> None:
        if np.isfinite(value):
            self.axis.axhline(value, color=self.palette.bad, lw=1, ls="--", label=label)

    def none(self, text: str) -> None:
        self.axis.plot([], [], " ", label=text)


def _power(panel: _Panel, rollout: Replay) -> None:
    net, series, colours = rollout.network, rollout.series, panel.palette
    given = series.p_mw[:, np.array(net.generators, int)].sum(1)
    could = series.potential_mw.sum(1)
    panel.between(given, np.maximum(given, could), color=colours.could, alpha=0.3)
    panel.line(could, "could be generated", color=colours.could, ls="--", lw=1)
    panel.line(given, "generated", color=colours.given)
    panel.line(-series.p_mw[:, np.array(net.loads, int)].sum(1), "load", color=colours.load)


def _of_devices(panel: _Panel, net: Network, values: np.ndarray) -> None:
    """P or Q of each controlled device: those that move most by name."""
    devices = ControlLayout.of(net).devices
    if not devices.size:
        panel.none("no device is controlled")
        return
    moves = np.ptp(values[:, devices], axis=0)
    first = set(devices[np.argsort(-moves, kind="stable")[:NAMED]].tolist())
    for k in devices.tolist():
        if k not in first:
            panel.line(values[:, k], None, color=panel.palette.soft, lw=0.6, alpha=0.6)
    for k in sorted(first):
        panel.line(values[:, k], _short(net.device_labels[k]))
    if len(devices) > NAMED:
        panel.none(f"and {len(devices) - NAMED} more")


def _active(panel: _Panel, rollout: Replay) -> None:
    _of_devices(panel, rollout.network, rollout.series.p_mw)


def _reactive(panel: _Panel, rollout: Replay) -> None:
    _of_devices(panel, rollout.network, rollout.series.q_mvar)


def _charge(panel: _Panel, rollout: Replay) -> None:
    net, soc = rollout.network, rollout.series.soc_mwh
    if not net.storage:
        panel.none("no storage")
        return
    for unit, k in enumerate(net.storage):
        panel.line(soc[:, unit], _short(net.device_labels[k]) if unit < NAMED else None)
    most = np.asarray(net.soc_max)[np.array(net.storage, int)] * float(net.base_mva)
    if len(set(most.tolist())) == 1:
        panel.limit(float(most[0]), "full")


def _loading(panel: _Panel, rollout: Replay) -> None:
    net, series = rollout.network, rollout.series
    shares = 100 * loading(net, series)
    if not shares.any():
        panel.none("no rating")
        return
    for k in np.argsort(-shares.max(0), kind="stable")[:FULLEST].tolist():
        panel.line(shares[:, k], f"branch {branch_name(net, k)}")
    panel.limit(100, "rating")


def _voltage(panel: _Panel, rollout: Replay) -> None:
    net, colours = rollout.network, panel.palette
    alive = ~np.asarray(rollout.series.terminated, bool)
    others = np.delete(np.arange(net.n_bus), net.slacks)
    vm = np.where(alive[:, None], rollout.series.vm, np.nan)[:, others]
    if not alive.any() or not others.size:
        panel.none("no voltages")
        return
    lowest, highest = (others[extreme(vm) % len(others)] for extreme in (np.nanargmin, np.nanargmax))
    panel.between(vm.min(1), vm.max(1), color=colours.charge, alpha=0.25)
    panel.line(vm.max(1), f"highest ({_short(net.bus_labels[highest])})", color=colours.high)
    panel.line(vm.min(1), f"lowest ({_short(net.bus_labels[lowest])})", color=colours.low)
    limits = np.asarray(net.v_min)[others].max(), np.asarray(net.v_max)[others].min()
    for k, limit in enumerate(limits):
        if 0 < limit < 2:  # what no limit is called in other programs
            panel.limit(float(limit), None if k else "limits")


def _cost(panel: _Panel, rollout: Replay) -> None:
    lost, penalty = rollout.series.e_loss, rollout.series.penalty
    panel.line(lost, f"lost or stored, {lost.sum():.4g} in all", color=panel.palette.given)
    panel.line(penalty, f"violations, {penalty.sum():.4g}", color=panel.palette.bad)


# By what stands at the axis.
PANELS = {
    "MW in sum": _power,
    "P of devices, MW": _active,
    "Q of devices, MVAr": _reactive,
    "charge, MWh": _charge,
    "branch loading, %": _loading,
    "voltage, p.u.": _voltage,
    "cost of a step, p.u.h": _cost,
}


def _short(name: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in name)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"
