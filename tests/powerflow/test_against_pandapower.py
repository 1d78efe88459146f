"""Voltages of the networks that pandapower ships, against pandapower itself from the same start."""

from __future__ import annotations

import numpy as np
import pytest

from anmjax import power_flow
from tests.powerflow.pandapower_reference import imported, pandapower_bus_index, run, voltages

# pandapower says it of nets that it ships itself.
pytestmark = pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")

slow = pytest.mark.slow

# By default one of each kind (meshed with PV buses, taps and a shunt; distribution with a shift of 150
# degrees): every network is a program of its own, and compiling it is what takes time.
CASES = [
    ("case14", "flat"),
    ("create_cigre_network_mv", "dc"),
    *(pytest.param(name, "flat", marks=slow) for name in ("case4gs", "case6ww", "case9", "case30")),
    *(pytest.param(name, "flat", marks=slow) for name in ("case39", "case57", "case118", "case_illinois200")),
    *(pytest.param(name, init, marks=slow) for name, init in (("case300", "flat"), ("case9", "dc"))),
    *(pytest.param(name, "dc", marks=slow) for name in ("case1354pegase", "case2869pegase")),
    pytest.param("create_cigre_network_lv", "dc", marks=slow),
    pytest.param("create_kerber_landnetz_kabel_1", "dc", marks=slow),
    # Two external grids, on one network and on several islands.
    *(pytest.param(name, "dc", marks=slow) for name in ("mv_oberrhein", "lv_schutterwald")),
]
FEEDERS = [
    pytest.param("create_kerber_landnetz_freileitung_1", "dc", marks=slow),
    pytest.param("case33bw", "flat", marks=slow),
    pytest.param("create_cigre_network_lv", "dc", marks=slow),
]
TOL = 1e-8  # p.u.: pandapower's tolerance_mva is one of p.u. too, whatever its name


@pytest.mark.parametrize(("name", "init"), CASES)
def test_voltages_and_iterations_equal_pandapowers(name, init):
    reference, net = imported(name)
    run(reference, TOL, init)
    flow = power_flow(net, net.p, net.q, init=init, tol=TOL)
    assert flow.converged
    where, v = voltages(reference, pandapower_bus_index(reference))
    ours = np.asarray(flow.v)[where]
    # Both stop at the same iterate of the same method.
    np.testing.assert_allclose(np.abs(ours), np.abs(v), rtol=0, atol=1e-8)
    np.testing.assert_allclose(np.angle(ours / v), 0, atol=1e-8)
    if init == "flat":
        if np.any(net.slack_angle):
            # pandapower's flat start leaves all other angles at zero, ours puts them at the slack's.
            held = [*net.slacks, *net.pv]
            start = np.ones(net.n_bus, complex)
            start[held] = net.v_set[held]
            start[list(net.slacks)] *= np.exp(1j * np.asarray(net.slack_angle))
            flow = power_flow(net, net.p, net.q, init=start, tol=TOL)
        assert flow.iterations == reference._ppc["iterations"]


@pytest.mark.parametrize(("name", "init"), FEEDERS)
def test_float32_voltages_of_feeders_are_pandapowers_to_five_digits(name, init):
    reference, net = imported(name)
    run(reference, TOL, init)
    single = net.astype(np.float32)
    flow = power_flow(single, single.p, single.q, init=init)
    assert flow.v.dtype == np.complex64
    assert flow.converged
    where, v = voltages(reference, pandapower_bus_index(reference))
    ours = np.asarray(flow.v)[where].astype(np.complex128)
    np.testing.assert_allclose(np.abs(ours), np.abs(v), rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.angle(ours / v), 0, atol=1e-5)
