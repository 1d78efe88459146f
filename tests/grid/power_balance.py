"""The power balance of a network at given voltages, by the textbook formula, apart from the package."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from anmjax.grid import Network


def admittance(net: Network) -> sparse.csr_matrix:
    """Bus admittance matrix, (n_bus, n_bus) complex: MATPOWER User's Manual, equations (3.7) to (3.13).

    A branch that differs from end to end has, in the second row, what its to end has.
    """
    f, t, buses = np.array(net.from_bus, int), np.array(net.to_bus, int), np.arange(net.n_bus)
    series = series_to = net.in_service / (net.r + 1j * net.x)
    charging = charging_to = net.in_service * (net.g + 1j * net.b) / 2
    if (more := net.asymmetry) is not None:
        series_to = net.in_service / (net.r + more.r + 1j * (net.x + more.x))
        charging_to = net.in_service * (net.g + more.g + 1j * (net.b + more.b)) / 2
    ratio = net.tap * np.exp(1j * net.shift)
    entries = [
        (f, f, (series + charging) / np.abs(ratio) ** 2),
        (f, t, -series / ratio.conj()),
        (t, f, -series_to / ratio),
        (t, t, series_to + charging_to),
        (buses, buses, net.g_shunt + 1j * net.b_shunt),
    ]
    rows, columns, values = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    return sparse.coo_matrix((values, (rows, columns)), shape=(net.n_bus, net.n_bus)).tocsr()


def assert_solves(net: Network, v: np.ndarray, tolerance: float) -> None:
    """Asserts that voltages balance the network's injections and hold its set-points, p.u. and rad."""
    s = v * (admittance(net) @ v).conj()
    drawn = np.zeros(net.n_bus, complex)
    np.add.at(drawn, list(net.current_load_bus), net.p_current + 1j * net.q_current)
    s = s + np.abs(v) * drawn
    held = [*net.pv, *net.slacks]
    pq = np.setdiff1d(np.arange(net.n_bus), held)
    not_slack = np.setdiff1d(np.arange(net.n_bus), net.slacks)
    np.testing.assert_allclose(s.real[not_slack], net.p[not_slack], rtol=0, atol=tolerance)
    np.testing.assert_allclose(s.imag[pq], net.q[pq], rtol=0, atol=tolerance)
    np.testing.assert_allclose(np.abs(v[held]), net.v_set[held], rtol=0, atol=tolerance)
    np.testing.assert_allclose(np.angle(v[list(net.slacks)]), net.slack_angle, rtol=0, atol=tolerance)
