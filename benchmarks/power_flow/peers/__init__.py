"""Other power flow programs at work on the same network, scenarios and tolerance.

Each is built from a ``Network`` and per-bus injections in p.u., a whole batch at once. One whose package is
missing, or that cannot represent the network, is left out by ``peers``.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Protocol

import numpy as np

from anmjax import Network
from benchmarks.power_flow.peers.lightsim2grid import LightSim2Grid
from benchmarks.power_flow.peers.power_grid_model import PowerGridModel

# Newton iterations that lightsim2grid makes with one factorization where it is told to save some.
KEPT_FACTORIZATIONS = 2


class Peer(Protocol):
    """A program with a network and a batch of scenarios loaded."""

    batch: int  # scenarios in one ``solve``
    threads: int
    settings: dict[str, Any]  # what else a record should say of it

    def solve(self) -> None:
        """Solves all scenarios."""

    def voltages(self) -> np.ndarray:
        """(batch, n_bus) complex p.u., NaN where the last ``solve`` found nothing."""


def peers(net: Network, p: np.ndarray, q: np.ndarray, *, tol: float, threads: int) -> dict[str, Peer]:
    """All peers that are installed and can represent the network, by name.

    Args:
      net: network.
      p: (batch, n_bus) p.u., active injections.
      q: (batch, n_bus) p.u., reactive injections.
      tol: p.u., largest mismatch of a solution.
      threads: threads of each peer.
    """
    found: dict[str, Peer] = {}
    if net.n_slack > 1 or net.current_load_bus or net.asymmetry is not None:
        return found  # the peers are built with one source, loads of constant power and symmetric branches
    settings: dict[str, Any] = {"tol": tol, "threads": threads}
    if importlib.util.find_spec("lightsim2grid"):
        found["lightsim2grid, flat"] = LightSim2Grid(net, p, q, warm=False, **settings)
        found["lightsim2grid, flat, factors kept"] = LightSim2Grid(
            net, p, q, warm=False, every=KEPT_FACTORIZATIONS, **settings
        )
        found["lightsim2grid, warm"] = LightSim2Grid(net, p, q, warm=True, **settings)
    if importlib.util.find_spec("power_grid_model") and not net.pv:
        for name, method in (("Newton", "newton_raphson"), ("iterative current", "iterative_current")):
            found[f"power-grid-model, {name}"] = PowerGridModel(net, p, q, method=method, **settings)
    return found
