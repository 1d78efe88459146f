"""The power balance of a network in plain float64 NumPy, to judge voltages from any program by."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from anmjax import Network


class PowerBalance:
    """Ybus of a network, and what it says of given voltages.

    Branch k is a pi model behind an ideal transformer ``a = tap exp(j shift)`` at its from side, with
    series admittance ``y = in_service / (r + j x)`` and ``c = in_service (g + j b) / 2`` at each end:
    ``I_from = (y + c) V_from / |a|^2 - y V_to / conj(a)``, ``I_to = (y + c) V_to - y V_from / a``.
    """

    def __init__(self, net: Network):
        """Builds Ybus."""
        f, t = np.array(net.from_bus), np.array(net.to_bus)
        y = net.in_service / (net.r + 1j * net.x)
        end = y + net.in_service * (net.g + 1j * net.b) / 2
        a = net.tap * np.exp(1j * net.shift)
        diagonal = np.arange(net.n_bus)
        entries = [end / net.tap**2, end, -y / a.conj(), -y / a, net.g_shunt + 1j * net.b_shunt]
        rows, columns = [f, t, f, t, diagonal], [f, t, t, f, diagonal]
        self.y_bus = sparse.csr_array(
            (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))), (net.n_bus, net.n_bus)
        )
        self.active = ~np.isin(diagonal, net.slacks)
        self.reactive = self.active & ~np.isin(diagonal, net.pv)

    def mismatch(self, v: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Largest power-balance error of each scenario.

        Args:
          v: (batch, n_bus) complex p.u., voltages; NaN in a scenario without a solution.
          p: (batch, n_bus) p.u., active injections; the slack's are ignored.
          q: (batch, n_bus) p.u., reactive injections; those of the slack and of PV buses are ignored.

        Returns:
          (batch,) p.u., NaN where voltages are.
        """
        v = v.astype(complex)
        s = v * np.conj((self.y_bus @ v.T).T)
        worst_p = np.abs(s.real - p)[:, self.active].max(1, initial=0)
        worst_q = np.abs(s.imag - q)[:, self.reactive].max(1, initial=0)
        return np.maximum(worst_p, worst_q)
