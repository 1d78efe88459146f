"""Single outages of a grid in one call, against pandapower one by one."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from anmjax import power_flow
from tests.powerflow.pandapower_reference import (
    REFERENCE_TOL,
    assert_outages_equal,
    flat,
    imported,
    pandapower_bus_index,
    run,
    voltages,
)

# pandapower says it of nets that it ships itself.
pytestmark = pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")

TOL = 1e-10  # p.u.


def _solver(net):
    return jax.jit(
        jax.vmap(lambda in_service: power_flow(net.replace(in_service=in_service), net.p, net.q, tol=TOL))
    )


def _single_outages(net):
    """(n_branch + 2, n_branch): every branch open in turn, then none, then the first one half in service."""
    half = np.ones(net.n_branch)
    half[0] = 0.5
    return np.vstack([1 - np.eye(net.n_branch), np.ones(net.n_branch), half])


@pytest.fixture(scope="module")
def case14():
    reference, net = imported("case14")
    run_lanes = _solver(net)
    in_service = _single_outages(net)
    return reference, net, run_lanes, in_service, run_lanes(in_service)


def test_every_outage_of_case14_equals_pandapowers_and_the_one_that_islands_is_flagged(case14):
    reference, net, _, _, flow = case14
    islanding = assert_outages_equal(reference, net, flow)
    # Only bus 8 (index 7) hangs on one branch. It injects nothing, so that cut off it is in balance with
    # itself at any voltage: a flag that looked at the mismatch alone would call it solved.
    (k,) = islanding
    assert 7 in (net.from_bus[k], net.to_bus[k])
    assert net.p[7] == 0
    assert np.isfinite(flow.v).all()
    assert np.isfinite(flow.mismatch).all()


def test_a_branch_half_in_service_is_connected_and_has_half_the_admittance(case14):
    reference, _, _, _, flow = case14
    assert flow.converged[-1]
    line = reference.line.loc[reference.line.index[0]].copy()
    names = ["r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km", "g_us_per_km"]
    reference.line.loc[line.name, names] = line[names].to_numpy(float) * [2, 2, 0.5, 0.5]
    run(reference, REFERENCE_TOL)
    reference.line.loc[line.name, names] = line[names].to_numpy(float)
    where, v = voltages(reference, pandapower_bus_index(reference))
    np.testing.assert_allclose(np.asarray(flow.v)[-1, where], v, rtol=0, atol=1e-9)
    run(reference, REFERENCE_TOL)
    np.testing.assert_allclose(np.asarray(flow.v)[-2, where], voltages(reference, dict(enumerate(where)))[1])


def test_an_islanded_lane_leaves_the_others_bitwise_alone(case14):
    _, net, run_lanes, in_service, flow = case14
    (bad,) = np.flatnonzero(~np.asarray(flow.converged))
    healthy = in_service.copy()
    healthy[bad] = 1
    without = run_lanes(healthy)
    assert without.converged.all()
    others = np.arange(len(in_service)) != bad
    np.testing.assert_array_equal(np.asarray(flow.v)[others], np.asarray(without.v)[others])
    np.testing.assert_array_equal(np.asarray(flow.iterations)[others], np.asarray(without.iterations)[others])
    all_open = in_service.copy()
    all_open[:] = 0
    dark = run_lanes(all_open)
    assert not dark.converged.any()
    np.testing.assert_allclose(dark.v, np.broadcast_to(flat(net), dark.v.shape), rtol=0, atol=1e-15)


@pytest.mark.slow
def test_every_outage_of_case118_equals_pandapowers_and_nine_bridges_are_flagged():
    reference, net = imported("case118")
    flow = _solver(net)(_single_outages(net))
    assert len(assert_outages_equal(reference, net, flow)) == 9
    assert np.isfinite(flow.v).all()
    assert flow.converged[-2:].all()
