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


def injections(net: Network, v: np.ndarray) -> np.ndarray:
    """What the network's generation and loads inject at voltages, (n_bus,) complex p.u."""
    drawn = np.zeros(net.n_bus, complex)
    np.add.at(drawn, list(net.current_load_bus), net.p_current + 1j * net.q_current)
    return net.p + 1j * net.q - np.abs(v) * drawn


def assert_solves(net: Network, v: np.ndarray, tolerance: float | np.ndarray) -> None:
    """Asserts that voltages balance the network's injections and hold its set-points, p.u. and rad.

    Args:
      net: the network.
      v: (n_bus,) complex p.u.
      tolerance: of everything, or of the power of each bus, (n_bus,), and then of set-points its smallest.
    """
    mismatch = _mismatch(net, v)
    error = np.maximum(np.abs(mismatch.real), np.abs(mismatch.imag))
    worst = np.argmax(error / tolerance)
    assert np.all(error <= tolerance), f"{error[worst]:.1e} p.u. at bus {net.bus_ids[worst]}"
    held, slacks, least = [*net.pv, *net.slacks], list(net.slacks), np.min(tolerance)
    np.testing.assert_allclose(np.abs(v[held]), net.v_set[held], rtol=0, atol=least)
    turn = np.angle(v[slacks] * np.exp(-1j * net.slack_angle))
    np.testing.assert_allclose(turn, 0, rtol=0, atol=least)


def _mismatch(net: Network, v: np.ndarray) -> np.ndarray:
    """Power that is missing at each bus, (n_bus,) complex p.u., of what is given there."""
    error = v * (admittance(net) @ v).conj() - injections(net, v)
    error[list(net.pv)] = error[list(net.pv)].real
    error[list(net.slacks)] = 0
    return error
