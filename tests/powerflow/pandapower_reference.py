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

# p.u.; pandapower's tolerance_mva is one of p.u. too, whatever its name.
REFERENCE_TOL = 1e-8


def imported(name: str) -> tuple[pp.pandapowerNet, Network]:
    """A net that pandapower ships, and the network built from it."""
    net = getattr(shipped, name)()
    return net, Network.from_pandapower(net)


def run(net: pp.pandapowerNet, tol: float, init: str | tuple[np.ndarray, np.ndarray] = "flat") -> None:
    """pandapower's Newton, with the angles that transformers turn; from magnitudes and angles where given."""
    options = (
        {"init": init}
        if isinstance(init, str)
        else dict(zip(("init_vm_pu", "init_va_degree"), init, strict=True))
    )
    pp.runpp(net, tolerance_mva=tol, max_iteration=30, calculate_voltage_angles=True, numba=False, **options)


def voltages(net: pp.pandapowerNet, index: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Bus indices of the network and the complex voltages that pandapower found there, NaN if isolated."""
    buses = [bus for bus, k in index.items() if k >= 0]
    found = net.res_bus.loc[buses]
    v = found.vm_pu.to_numpy() * np.exp(1j * np.deg2rad(found.va_degree.to_numpy()))
    return np.array([index[bus] for bus in buses]), v


def flat(net):
    """The flat start, (n_bus,) complex p.u."""
    magnitude = np.ones(net.n_bus)
    held = [net.slack, *net.pv]
    magnitude[held] = net.v_set[held]
    return magnitude * np.exp(1j * net.slack_angle)


def assert_outages_equal(reference, net, flow):
    """Every outage in turn: the same voltages, or a flag where pandapower finds none or a bus cut off."""
    index = pandapower_bus_index(reference)
    elements = [(table, row) for table in ("line", "trafo") for row in reference[table].index]
    assert len(elements) == net.n_branch
    run(reference, REFERENCE_TOL)
    intact = tuple(reference.res_bus[column].to_numpy() for column in ("vm_pu", "va_degree"))
    islanding = []
    for k, (table, row) in enumerate(elements):
        reference[table].loc[row, "in_service"] = False
        try:
            run(reference, REFERENCE_TOL, intact)
        except pp.LoadflowNotConverged:
            assert not flow.converged[k]
            continue
        finally:
            reference[table].loc[row, "in_service"] = True
        where, v = voltages(reference, index)
        if np.isnan(v).any():
            islanding.append(k)
            assert not flow.converged[k]
            np.testing.assert_allclose(flow.v[k], flat(net), rtol=0, atol=1e-15)
        else:
            assert flow.converged[k], (table, row)
            # A mismatch of 1e-8 p.u. moves voltages by far less than 1e-6 unless a grid is near collapse.
            np.testing.assert_allclose(np.asarray(flow.v)[k, where], v, rtol=0, atol=1e-6)
    return islanding


__all__ = ["assert_outages_equal", "flat", "imported", "pandapower_bus_index", "pp", "run", "voltages"]
