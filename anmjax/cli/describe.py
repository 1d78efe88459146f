"""``anmjax describe TASK``: what a task is, its grid, its devices and what it is compared with."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from anmjax.agents.baselines import BASELINES
from anmjax.cli.tasks import make_task
from anmjax.grid import tables
from anmjax.grid.network import Network
from anmjax.grid.settings import SHUNT, SWITCH, TAP
from anmjax.projection.control_layout import ControlLayout

WHAT_IS_SET = {TAP: "turns ratio", SHUNT: "reactive power", SWITCH: "service"}


def run(arguments: argparse.Namespace) -> int:
    """Prints the card of a task."""
    env = make_task(arguments.task)
    print(f"{arguments.task}\n")
    if about := inspect.getdoc(type(env)):
        print(f"{about}\n")
    observations, actions = env.observation_space.shape[0], env.action_space.shape[0]
    print(f"{observations} observations, {actions} actions")
    for name, what in (("delta_t", "h a step"), ("gamma", "discount factor"), ("lamb", "lambda")):
        if hasattr(env, name):
            print(f"{getattr(env, name):g} {what}")
    network = getattr(env, "network", None)
    if network is not None:
        print("\n" + "\n".join(_grid(network)))
        layout = ControlLayout.of(network)
        print(f"\nAn action is {layout.description}: {', '.join(layout.names) or 'nothing'}")
        print(f"Baselines: {', '.join(BASELINES)}")
    return 0


def _grid(net: Network) -> Iterator[str]:
    """Sizes of a grid, what is fixed in it, and a line for every device."""
    base = float(net.base_mva)
    yield f"{net.n_bus} buses, {net.n_branch} branches, {net.n_device} devices, on {base:g} MVA"
    if net.p_fixed is not None:
        fixed = np.asarray(net.p_fixed) * base
        yield f"Fixed injections of no device: {fixed.sum():g} MW at {np.count_nonzero(fixed)} buses"
    width = max(map(len, net.device_labels))
    for k, label in enumerate(net.device_labels):
        kind, at = net.device_kind[k], net.device_bus[k]
        bus = net.bus_labels[at]
        place = f"{_what(net, k)} at {bus}{_limits(net, k, kind, base)}"
        yield f"  {net.device_ids[k]:>3}  {label:<{width}}  {place}"
    if net.settings is not None:
        yield f"Set of the network: {len(net.settings)}"
        yield from _settings(net, base)


def _settings(net: Any, base: float) -> Iterator[str]:
    """A line for everything that is set of a network."""
    known = net.settings
    width = max(map(len, known.names))
    for k, (name, quantity, place) in enumerate(zip(known.names, known.quantity, known.element, strict=True)):
        scale, unit = (base, " MVAr at 1 p.u.") if quantity == SHUNT else (1.0, "")
        low, high, step = (float(x[k]) * scale for x in (known.low, known.high, known.step))
        if quantity == SHUNT:
            where = net.bus_labels[place]
        else:
            ends = net.bus_labels[net.from_bus[place]], net.bus_labels[net.to_bus[place]]
            where = f"the branch from {ends[0]} to {ends[1]}"
        steps = f" in steps of {step:.4g}" if step else ""
        what = f"{WHAT_IS_SET[quantity]} of {where}"
        yield f"       {name:<{width}}  {what}: {low:.4g} to {high:.4g}{unit}{steps}"


def _what(net: Network, k: int) -> str:
    feeds_in = net.device_kind[k] in tables.DEMANDS and float(net.p_max[k]) > 0
    return "follows its profile" if feeds_in else tables.ALL_DEVICE_KINDS[net.device_kind[k]]


def _limits(net: Network, k: int, kind: int, base: float) -> str:
    """Limits in the units of the table."""
    if kind == tables.SLACK:
        return ""
    of: dict[str, Any] = {name: float(getattr(net, name)[k]) * base for name in ("p_min", "p_max", "soc_max")}
    text = f": {of['p_min']:.4g} to {of['p_max']:.4g} MW"
    if kind not in tables.DEMANDS:
        text += f", {float(net.q_min[k]) * base:.4g} to {float(net.q_max[k]) * base:.4g} MVAr"
    return text + (f", {of['soc_max']:.4g} MWh" if kind == tables.STORAGE else "")
