"""What holds in every network: energy is kept, branches dissipate, and only angle differences matter."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from anmjax import branch_flows, power_flow
from tests.powerflow.networks import random_network

LANES = 50


@pytest.fixture(
    scope="module",
    params=[pytest.param((7, 0), marks=pytest.mark.slow, id="radial"), pytest.param((8, 5), id="meshed")],
)
def solved(request):
    """A random network with PV buses and shunts under random injections and set-points."""
    n, extra = request.param
    rng = np.random.default_rng(n)
    net = random_network(rng, n, extra, 1)
    net = net.replace(
        pv=tuple(i for i in (1, 4) if i != net.slack),
        g_shunt=rng.uniform(0, 0.1, n),
        b_shunt=rng.uniform(-0.1, 0.1, n),
        g=rng.uniform(0, 0.02, net.n_branch),
    )
    p, q = rng.uniform(-0.3, 0.3, (2, LANES, n))
    v_set, angle = rng.uniform(0.97, 1.03, (LANES, n)), rng.uniform(-np.pi, np.pi, LANES)

    def solve(p, q, v_set, angle):
        own = net.replace(v_set=v_set, slack_angle=angle)
        flow = power_flow(own, p, q, tol=1e-11)
        return flow, branch_flows(own, flow.v)

    run = jax.jit(jax.vmap(solve))
    return net, (p, q, v_set, angle), run, jax.tree.map(np.asarray, run(p, q, v_set, angle))


def test_injections_cover_what_branches_and_shunts_take_and_no_branch_gives(solved):
    net, (p, _, v_set, _), _, (flow, flows) = solved
    assert flow.converged.all()
    loss = flows.s_from + flows.s_to
    assert (loss.real >= -1e-12).all()  # rounding of a branch that carries next to nothing
    assert (loss.real.sum(1) > 0).all()
    magnitude = np.abs(flow.v)
    shunts = magnitude**2 * (net.g_shunt - 1j * net.b_shunt)
    sent = shunts.copy()
    np.add.at(sent, (slice(None), np.array(net.from_bus)), flows.s_from)
    np.add.at(sent, (slice(None), np.array(net.to_bus)), flows.s_to)
    injected = p.copy()
    injected[:, net.slack] = sent[:, net.slack].real
    # The mismatches of at most eight buses, each within 1e-11.
    np.testing.assert_allclose(injected.sum(1), (loss.sum(1) + shunts.sum(1)).real, rtol=0, atol=1e-10)
    held = [net.slack, *net.pv]
    np.testing.assert_allclose(magnitude[:, held], v_set[:, held], rtol=0, atol=1e-11)


def test_the_slacks_angle_turns_every_voltage_and_changes_no_flow(solved):
    net, (p, q, v_set, angle), run, (flow, flows) = solved
    np.testing.assert_allclose(np.angle(flow.v[:, net.slack]), angle, rtol=0, atol=1e-14)
    turned, same_flows = run(p, q, v_set, angle + 2.5)
    np.testing.assert_array_equal(turned.iterations, flow.iterations)
    np.testing.assert_allclose(turned.v, flow.v * np.exp(2.5j), rtol=0, atol=1e-13)
    # Admittances of up to 100 p.u. multiply the rounding of the voltages.
    np.testing.assert_allclose(same_flows.s_from, flows.s_from, rtol=0, atol=1e-12)
