"""pandapower as a peer, one scenario after the other, and as a reference for voltages."""

from __future__ import annotations

from typing import Any

import numpy as np

from anmjax import Network
from anmjax.grid.pandapower_net.reading import pandapower_bus_index

MAX_ITERATIONS = 30
FEW = 3  # scenarios that pandapower is given: it solves one at a time, some 100 a second


class Pandapower:
    """pandapower's ``runpp``, one scenario after the other, from equal angles."""

    def __init__(self, source: Any, net: Network, p: np.ndarray, q: np.ndarray, *, tol: float):
        """Takes over the first scenarios: static generators make up what differs from the net's injections.

        Args:
          source: the pandapower net that ``net`` was built from; it is changed.
          net: network.
          p: (batch, n_bus) p.u., active injections.
          q: (batch, n_bus) p.u., reactive injections.
          tol: p.u., largest mismatch of a solution.
        """
        import pandapower

        self.run, self.source, self.tol = pandapower.runpp, source, tol
        self.has_angles = bool(np.any(net.shift) or np.any(net.slack_angle))
        self.index = pandapower_bus_index(source)
        at = {k: bus for bus, k in self.index.items() if k >= 0 and k not in net.slacks}
        self.buses = np.array(list(at))
        self.first = len(source.sgen)
        for bus in at.values():
            pandapower.create_sgen(source, bus, 0.0)
        self.p_mw = (p - net.p)[:FEW, self.buses] * net.base_mva
        self.q_mvar = (q - net.q)[:FEW, self.buses] * net.base_mva
        self.n_bus, self.batch, self.threads = net.n_bus, len(self.p_mw), 1
        self.settings = {"start": "flat"}

    def solve(self) -> None:
        """Solves the scenarios."""
        self.found = np.full((self.batch, self.n_bus), np.nan, complex)
        added = self.source.sgen.index[self.first :]
        for found, p_mw, q_mvar in zip(self.found, self.p_mw, self.q_mvar, strict=True):
            self.source.sgen.loc[added, "p_mw"], self.source.sgen.loc[added, "q_mvar"] = p_mw, q_mvar
            self.run(
                self.source,
                init="flat",
                calculate_voltage_angles=self.has_angles,
                tolerance_mva=self.tol,  # p.u., its name notwithstanding
                max_iteration=MAX_ITERATIONS,
            )
            read_voltages(self.source, self.index, found)

    def voltages(self) -> np.ndarray:
        """(batch, n_bus) complex p.u., NaN at buses that pandapower made for itself."""
        return self.found


def read_voltages(source: Any, index: dict[int, int], out: np.ndarray) -> None:
    """Writes the voltages of a solved pandapower net to ``out`` (n_bus,), by the network's bus order."""
    result = source.res_bus
    for bus, magnitude, angle in zip(result.index, result.vm_pu, result.va_degree, strict=True):
        if index[bus] >= 0:
            out[index[bus]] = magnitude * np.exp(1j * np.deg2rad(angle))
