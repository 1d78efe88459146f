"""pandapower's solutions, by the buses of the networks that are built from its nets."""

from __future__ import annotations

import warnings

import numpy as np

from anmjax import Network
from anmjax.grid import pandapower_bus_index

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pandapower's own notices on import
    import pandapower as pp
    import pandapower.networks as shipped


def imported(name: str) -> tuple[pp.pandapowerNet, Network]:
    """A net that pandapower ships, and the network built from it."""
    net = getattr(shipped, name)()
    return net, Network.from_pandapower(net)


def run(net: pp.pandapowerNet, tol: float, init: str = "flat") -> None:
    """pandapower's Newton, with the angles that transformers turn."""
    pp.runpp(net, tolerance_mva=tol, init=init, calculate_voltage_angles=True, numba=False)


def voltages(net: pp.pandapowerNet, index: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Bus indices of the network and the complex voltages that pandapower found there, NaN if isolated."""
    buses = [bus for bus, k in index.items() if k >= 0]
    found = net.res_bus.loc[buses]
    v = found.vm_pu.to_numpy() * np.exp(1j * np.deg2rad(found.va_degree.to_numpy()))
    return np.array([index[bus] for bus in buses]), v


__all__ = ["imported", "pandapower_bus_index", "pp", "run", "voltages"]
