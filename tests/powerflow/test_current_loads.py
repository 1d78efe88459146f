"""Loads of constant current, against pandapower; their derivatives are in ``test_slacks.py``."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from anmjax import Network, power_flow
from tests.grid.power_balance import assert_solves
from tests.powerflow.pandapower_reference import pp


@pytest.mark.parametrize("pv", [False, True])
def test_voltages_are_pandapowers(pv):
    def build(**shares):
        grid = pp.create_empty_network(sn_mva=10.0)
        buses = pp.create_buses(grid, 5, vn_kv=20.0)
        pp.create_ext_grid(grid, buses[0], vm_pu=1.03)
        for f, t in itertools.pairwise(buses):
            pp.create_line(grid, f, t, 5.0, std_type="NA2XS2Y 1x240 RM/25 12/20 kV")
        for bus, p_mw in zip(buses[1:], (2.0, 1.5, 3.0, 1.0), strict=True):
            pp.create_load(grid, bus, p_mw=p_mw, q_mvar=0.3 * p_mw, **shares)
        if pv:
            pp.create_gen(grid, buses[2], p_mw=2.0, vm_pu=1.01)
        return grid

    names = (f"const_{kind}_{power}_percent" for kind in "iz" for power in "pq")
    grid = build(**dict(zip(names, (50.0, 70.0, 20.0, 10.0), strict=True)))
    pp.runpp(grid, tolerance_mva=1e-11, numba=False)
    v = grid.res_bus.vm_pu * np.exp(1j * np.deg2rad(grid.res_bus.va_degree))

    net = Network.from_pandapower(build())
    load = np.array([0, 2.0, 1.5, 3.0, 1.0]) / net.base_mva
    # 50 % of P and 70 % of Q are constant current, 20 % and 10 % constant impedance; the rest constant power.
    net = net.replace(
        p=net.p + 0.7 * load,
        q=net.q + 0.8 * 0.3 * load,
        current_load_bus=(1, 2, 3, 4),
        p_current=0.5 * load[1:],
        q_current=0.7 * 0.3 * load[1:],
        g_shunt=0.2 * load,
        b_shunt=-0.1 * 0.3 * load,
    )
    flow = power_flow(net, net.p, net.q, tol=1e-11)
    assert_solves(net, np.asarray(flow.v), 1e-10)
    np.testing.assert_allclose(flow.v, v, rtol=0, atol=1e-8)
    assert flow.iterations <= 5  # Newton's: with its derivative the load costs no iterations
