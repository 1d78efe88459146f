"""Grids and rollouts to draw, made by hand: no power flow, and so nothing to compile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from anmjax.agents.replay import Replay, Series
from anmjax.grid.network import Network
from anmjax.projection.control_layout import ControlLayout


def grid(n_bus: int, *, seed: int = 0, reach: int = 4, meshes: int = 0, ties: int = 0) -> Network:
    """A random grid: a tree, with closed branches that mesh it and open ones; devices at most buses."""
    rng = np.random.default_rng(seed)
    buses = [[0, 0, 20.0, 1.1, 0.9], *([k, 1, 0.4, 1.05, 0.95] for k in range(1, n_bus))]
    pairs = [(int(rng.integers(max(0, k - reach), k)), k) for k in range(1, n_bus)]
    pairs += [tuple(sorted(rng.choice(n_bus, 2, replace=False).tolist())) for _ in range(meshes + ties)]
    branches = [[a, b, 0.01, 0.01, 0, 1.5, 1.0, 0] for a, b in pairs]
    none = [None] * 15
    devices = [[0, 0, 0, *none[3:]]]
    for bus in range(1, n_bus):
        for kind in rng.choice([-1, 2, 3], int(rng.integers(0, 4)), p=[0.6, 0.3, 0.1]):
            row = {
                -1: [0.2, 0.0, -0.1, *none[6:]],
                2: [None, 0.2, 0.0, 0.1, -0.1, *none[8:]],
                3: [None, 0.1, -0.1, 0.1, -0.1, *[None] * 4, 0.4, 0.0, 0.9],
            }[int(kind)]
            devices.append([len(devices), bus, int(kind), *row])
    net = Network.from_dict(
        {
            "baseMVA": 1,
            "bus": np.array(buses, object),
            "device": np.array(devices, object),
            "branch": np.array(branches, object),
        }
    )
    closed = np.ones(net.n_branch)
    closed[net.n_branch - ties :] = 0
    return replace(net, in_service=closed)


def rollout(net: Network, *, steps: int = 6, seed: int = 0) -> Replay:
    """Numbers of the size that a rollout has, at random; the last step is a collapse."""
    rng = np.random.default_rng(seed)

    def draw(count: int, low: float, high: float) -> np.ndarray:
        values = rng.uniform(low, high, (steps, count))
        values[-1] = 0
        return values

    s = draw(net.n_branch, 0, 1.8)
    series = Series(
        vm=draw(net.n_bus, 0.93, 1.07),
        va_deg=draw(net.n_bus, -5, 5),
        p_mw=draw(net.n_device, -0.1, 0.2),
        q_mvar=draw(net.n_device, -0.1, 0.1),
        potential_mw=draw(len(net.generators), 0, 0.2),
        soc_mwh=draw(len(net.storage), 0, 0.4),
        p_from_mw=s * 0.9,
        q_from_mvar=s * 0.1,
        s_mva=s,
        asked_mw=draw(ControlLayout.of(net).n_controlled, -0.2, 0.3),
        asked_mvar=draw(ControlLayout.of(net).n_controlled, -0.2, 0.2),
        e_loss=rng.uniform(0, 0.1, steps),
        penalty=rng.uniform(0, 1, steps),
        reward=rng.uniform(-1, 0, steps),
        terminated=np.arange(steps) == steps - 1,
    )
    return Replay(net, 0.25, 6.0, series)
