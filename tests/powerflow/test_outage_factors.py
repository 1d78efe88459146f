"""Line outage distribution factors: against pandapower's DC power flow of every outage."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from tests.powerflow.pandapower_reference import imported, pp

# pandapower says it of nets that it ships itself.
pytestmark = pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")


def dc_flows(reference):
    """P into each branch at its from end in pandapower's DC power flow, (n_branch,) p.u.; NaN if cut off."""
    pp.rundcpp(reference)
    flows = [reference.res_line.p_from_mw, reference.res_trafo.p_hv_mw]
    return np.concatenate([x.to_numpy() for x in flows]) / reference.sn_mva


@pytest.mark.parametrize("name", ["case14", pytest.param("case118", marks=pytest.mark.long)])
def test_flows_after_each_outage_are_those_of_pandapowers_dc_power_flow(name):
    reference, net = imported(name)
    factors = np.asarray(anmjax.line_outage_distribution_factors(net))
    before = dc_flows(reference)
    islanding = 0
    elements = [(table, row) for table in ("line", "trafo") for row in reference[table].index]
    for k, (table, row) in enumerate(elements):
        reference[table].loc[row, "in_service"] = False
        after = dc_flows(reference)
        reference[table].loc[row, "in_service"] = True
        if np.isnan(reference.res_bus.va_degree).any():
            islanding += 1
            assert np.isinf(factors[:, k]).all()
            continue
        after[k] = 0
        np.testing.assert_allclose(before + factors[:, k] * before[k], after, rtol=0, atol=1e-9)
    assert islanding == {"case14": 1, "case118": 9}[name]


def test_two_slacks_hold_their_angles():
    _, net = imported("case14")
    two = replace(net, slacks=(*net.slacks, 5), slack_angle=np.array([0.0, 0.0]))
    two = replace(two, pv=tuple(k for k in net.pv if k != 5))
    out, rows = 3, np.arange(net.n_branch)
    factors = anmjax.line_outage_distribution_factors(two, [out])[:, 0]

    def flows(net):
        """By a dense DC power flow."""
        b = net.in_service / (net.x * net.tap)
        incidence = np.zeros((net.n_branch, net.n_bus))
        incidence[rows, list(net.from_bus)], incidence[rows, list(net.to_bus)] = 1, -1
        free = [k for k in range(net.n_bus) if k not in net.slacks]
        matrix = incidence.T @ (b[:, None] * incidence)
        angle = np.zeros(net.n_bus)
        angle[free] = np.linalg.solve(matrix[np.ix_(free, free)], net.p[free])
        return b * (incidence @ angle)

    before, after = flows(two), flows(replace(two, in_service=(rows != out).astype(float)))
    np.testing.assert_allclose(before + factors * before[out], after, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def case14():
    net = imported("case14")[1].replace(rating=np.linspace(0.5, 2.0, 20))
    return net, anmjax.power_flow(net, net.p, net.q).v


def test_screened_loadings_move_active_power_alone(case14):
    net, v = case14
    (alone,) = np.flatnonzero(np.isinf(anmjax.line_outage_distribution_factors(net)[0]))
    rows = jnp.array([6, 2, alone])
    found = np.asarray(anmjax.screened_loading(net, v, rows))
    factors, flows = anmjax.line_outage_distribution_factors(net, rows), anmjax.branch_flows(net, v)
    for i, k in enumerate([6, 2]):
        ends = [np.hypot(s.real + factors[:, i] * s.real[k], s.imag) for s in (flows.s_from, flows.s_to)]
        expected = np.maximum(*ends) / net.rating
        expected[k] = 0
        np.testing.assert_allclose(found[i], expected, rtol=1e-9)
    assert np.isinf(found[2]).all()  # it cuts off a generator


@pytest.mark.long
def test_screening_names_the_severest_outages_first():
    _, net = imported("case118")
    flow = anmjax.power_flow(net, net.p, net.q)
    intact = np.maximum(*(np.abs(s) for s in jax.tree.leaves(anmjax.branch_flows(net, flow.v))))
    net = net.replace(rating=np.maximum(1.3 * intact, 0.3))
    screened = np.asarray(anmjax.screened_loading(net, flow.v).max(1))
    found = anmjax.contingency_analysis(net, net.p, net.q, init=flow.v)
    solved = np.asarray(found.converged)
    np.testing.assert_array_equal(np.isinf(screened), ~solved)  # those that cut off a bus
    severity = np.where(solved, found.worst(net), -np.inf)
    first = np.argsort(-np.where(solved, screened, -np.inf))[:10]
    assert set(first.tolist()) == set(np.argsort(-severity)[:10].tolist())
    # Off by what losses and reactive power change: by more than a tenth for few.
    near = np.isclose(screened[solved], severity[solved], rtol=0.1, atol=0)
    assert near.mean() > 0.95


def test_derivatives_and_bad_arguments(case14):
    net, _ = case14

    def share(x):
        return anmjax.line_outage_distribution_factors(net.replace(x=x), [0])[3, 0]

    slope, h = jax.grad(share)(jnp.asarray(net.x))[5], 1e-6
    ahead, behind = (share(jnp.asarray(net.x).at[5].add(s * h)) for s in (1, -1))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), rtol=1e-5)
    with pytest.raises(ValueError, match="'line 99' is no branch"):
        anmjax.line_outage_distribution_factors(net, ["line 99"])
    with pytest.raises(ValueError, match=r"v has shape \(3,\), expected \(14,\)"):
        anmjax.screened_loading(net, jnp.ones(3, complex))
