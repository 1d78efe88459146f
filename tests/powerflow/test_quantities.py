"""Branch quantities against pandapower, sensitivities and loss factors against differences."""

from __future__ import annotations

import jax
import numpy as np
import pandapower
import pandapower.networks
import pytest

import anmjax
from anmjax import (
    Network,
    branch_flows,
    branch_losses,
    branch_quantities,
    loss_factors,
    power_flow,
    sensitivities,
)
from tests.powerflow.networks import random_network

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pandapower")


def test_lines_equal_pandapowers_in_megawatts_kiloamperes_and_losses():
    reference = pandapower.networks.case14()
    pandapower.runpp(reference, tolerance_mva=1e-9, numba=False)
    net = Network.from_pandapower(reference)
    flow = power_flow(net, net.p, net.q, tol=1e-10)
    ours, theirs = branch_quantities(net, flow.v), reference.res_line
    lines = slice(0, len(theirs))  # pandapower's own conversion puts lines first, then transformers
    pairs = [
        ("p_from_mw", "p_from_mw"),
        ("q_from_mvar", "q_from_mvar"),
        ("p_to_mw", "p_to_mw"),
        ("q_to_mvar", "q_to_mvar"),
        ("i_from_ka", "i_from_ka"),
        ("i_to_ka", "i_to_ka"),
        ("loss_mw", "pl_mw"),
        ("loss_mvar", "ql_mvar"),
    ]
    for mine, name in pairs:
        np.testing.assert_allclose(getattr(ours, mine)[lines], theirs[name], atol=1e-6, err_msg=mine)
    transformers = reference.res_trafo
    np.testing.assert_allclose(ours.p_from_mw[len(theirs) :], transformers.p_hv_mw, atol=1e-6)
    np.testing.assert_allclose(ours.i_to_ka[len(theirs) :], transformers.i_lv_ka, atol=1e-6)
    assert float(branch_losses(net, flow.v).real.sum()) * 100 == pytest.approx(
        theirs.pl_mw.sum() + transformers.pl_mw.sum(), abs=1e-6
    )


def test_loading_is_the_larger_end_over_the_rating_and_zero_without_one():
    net = Network.from_json("anm6")
    p = np.array([0, 0, 0, -0.1, 0.05, -0.1])
    v = power_flow(net, p, 0.1 * p).v
    flows = branch_flows(net, v)
    larger = np.maximum(np.abs(flows.s_from), np.abs(flows.s_to))
    np.testing.assert_allclose(anmjax.branch_loading(net, v), larger / net.rating, rtol=1e-9)
    unlimited = net.replace(rating=np.full(5, np.inf))
    np.testing.assert_array_equal(anmjax.branch_loading(unlimited, v), np.zeros(5))


def test_currents_without_a_base_voltage_are_infinite_not_nan():
    net = Network.from_json("anm6")
    v = np.ones(6, complex)
    ours = branch_quantities(net.replace(base_kv=np.zeros(6)), v)
    assert np.isinf(ours.i_from_ka).all()
    assert np.isfinite(branch_quantities(net, v).i_from_ka).all()


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(3)
    net = random_network(rng, 6, 2)
    pv = tuple(i for i in (1, 4) if i != net.slack)
    net = net.replace(pv=pv, v_set=np.full(6, 1.01))
    return net, rng.uniform(-0.1, 0.1, 6), rng.uniform(-0.05, 0.05, 6)


def test_sensitivities_equal_central_differences_and_vanish_where_nothing_is_injected(case):
    net, p, q = case
    ours = sensitivities(net, p, q)
    voltages = jax.jit(jax.vmap(lambda p, q: power_flow(net, p, q, tol=1e-12).v))
    h = 1e-5 * np.eye(6)
    for name, ahead, behind in [
        ("p", voltages(p + h, q + 0 * h), voltages(p - h, q + 0 * h)),
        ("q", voltages(p + 0 * h, q + h), voltages(p + 0 * h, q - h)),
    ]:
        magnitude = (np.abs(ahead) - np.abs(behind)).T / 2e-5
        angle = (np.angle(ahead) - np.angle(behind)).T / 2e-5
        np.testing.assert_allclose(getattr(ours, f"vm_{name}"), magnitude, atol=1e-8)
        np.testing.assert_allclose(getattr(ours, f"va_{name}"), angle, atol=1e-8)
    np.testing.assert_array_equal(ours.vm_p[:, net.slack], 0)
    np.testing.assert_array_equal(ours.vm_q[:, np.array(net.pv)], 0)
    # A held magnitude moves by the rounding of its two parts only.
    np.testing.assert_allclose(ours.vm_p[np.array(net.pv)], 0, atol=1e-15)


def test_loss_factors_equal_central_differences_of_the_loss(case):
    net, p, q = case
    ours = loss_factors(net, p, q)

    def loss(p, q):
        return branch_losses(net, power_flow(net, p, q, tol=1e-12).v).real.sum()

    losses = jax.jit(jax.vmap(loss))
    h = 1e-5 * np.eye(6)
    by_p = (losses(p + h, q + 0 * h) - losses(p - h, q + 0 * h)) / 2e-5
    by_q = (losses(p + 0 * h, q + h) - losses(p + 0 * h, q - h)) / 2e-5
    np.testing.assert_allclose(ours.p, by_p, atol=1e-8)
    np.testing.assert_allclose(ours.q, by_q, atol=1e-8)
