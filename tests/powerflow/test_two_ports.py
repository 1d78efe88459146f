"""Branches that differ from end to end, against pandapower."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax import BranchAsymmetry, Network, branch_flows, power_flow
from tests.grid.power_balance import assert_solves
from tests.powerflow.networks import random_network
from tests.powerflow.pandapower_reference import pp

STEP = 1e-6


@pytest.fixture(scope="module")
def unequal():
    """Two buses by an impedance with other values each way and leakage at one end, a third by a line.

    The net as pandapower has it, and the network: of a net without the differences, with them put in.
    """

    def build(rtf, xtf, gt, bt):
        grid = pp.create_empty_network(sn_mva=10.0)
        buses = pp.create_buses(grid, 3, vn_kv=20.0)
        pp.create_ext_grid(grid, buses[0], vm_pu=1.02)
        pp.create_line(grid, buses[1], buses[2], 3.0, std_type="NA2XS2Y 1x240 RM/25 12/20 kV")
        ends = {"rft_pu": 0.02, "xft_pu": 0.05, "rtf_pu": rtf, "xtf_pu": xtf}
        leaks = {"gf_pu": 0.01, "bf_pu": 0.02, "gt_pu": gt, "bt_pu": bt}
        pp.create_impedance(grid, buses[0], buses[1], sn_mva=10.0, **ends, **leaks)
        pp.create_load(grid, buses[1], p_mw=2.0, q_mvar=0.5)
        pp.create_load(grid, buses[2], p_mw=1.0, q_mvar=-0.4)
        return grid

    grid = build(0.03, 0.04, 0.04, -0.03)
    pp.runpp(grid, tolerance_mva=1e-11, numba=False)
    net = Network.from_pandapower(build(0.02, 0.05, 0.01, 0.02))
    which = net.from_bus.index(0)
    columns = np.zeros((4, net.n_branch))
    # Both ends leak half of the branch's value: 2 (0.04 - 0.01) and 2 (-0.03 - 0.02).
    columns[:, which] = 0.01, -0.01, 0.06, -0.10
    return grid, net.replace(asymmetry=BranchAsymmetry(*columns)), which


def test_voltages_and_flows_are_pandapowers(unequal):
    grid, net, which = unequal
    flow = power_flow(net, net.p, net.q, tol=1e-11)
    v = grid.res_bus.vm_pu * np.exp(1j * np.deg2rad(grid.res_bus.va_degree))
    np.testing.assert_allclose(flow.v, v, rtol=0, atol=1e-8)
    assert_solves(net, np.asarray(flow.v), 1e-9)
    sent = branch_flows(net, flow.v)
    base = float(net.base_mva)
    found = grid.res_impedance.iloc[0]
    np.testing.assert_allclose(
        [sent.s_from[which] * base, sent.s_to[which] * base],
        [found.p_from_mw + 1j * found.q_from_mvar, found.p_to_mw + 1j * found.q_to_mvar],
        rtol=0,
        atol=1e-7,
    )


@pytest.mark.parametrize("pv", [False, True])
def test_derivatives_by_the_differences_equal_central_differences(pv):
    rng = np.random.default_rng(5)
    net = random_network(rng, 5, 2)
    net = net.replace(pv=((net.slack + 1) % 5,) if pv else ())
    p, q = rng.uniform(-0.2, 0.1, (2, 5))
    point = rng.uniform(0, 0.01, 4 * net.n_branch)

    def figure(z):
        own = net.replace(asymmetry=BranchAsymmetry(*z.reshape(4, -1)))
        flow = power_flow(own, p, q, tol=1e-13)
        return jnp.sum(flow.v.real**2 + 2 * flow.v.imag)

    n, steps = len(point), STEP * np.eye(len(point))
    points = np.vstack([point, point + steps, point - steps])
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(figure)))(points)
    differences = (values[1 : n + 1] - values[n + 1 :]) / (2 * STEP)
    # Central differences of this step are good to 1e-9 of figures of order one.
    np.testing.assert_allclose(gradients[0], differences, rtol=0, atol=1e-8)
    assert np.abs(gradients[0]).reshape(4, -1).max(1).min() > 1e-4
