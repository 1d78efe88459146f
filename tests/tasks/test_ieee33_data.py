"""The data of IEEE33Easy-v0: the Baran-Wu feeder, its devices and its day, checked against pandapower."""

from __future__ import annotations

import json
import warnings
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.grid import Network, load_case
from anmjax.powerflow.branches import branch_flows
from anmjax.powerflow.power_flow import power_flow
from anmjax.tasks.profiles import load_profiles

N_STEPS = 96


@pytest.fixture(scope="module")
def net():
    return Network.from_json("ieee33_easy")


@pytest.fixture(scope="module")
def profiles(net):
    return load_profiles("ieee33_easy", net)


@pytest.fixture(scope="module")
def tables():
    path = resources.files("anmjax.tasks").joinpath("profiles", "ieee33_easy.json")
    return json.loads(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def idle(net, profiles):
    """Device P and Q (n, n_device) p.u. of doing nothing: the 96 steps, then the nominal loads alone."""
    p, q = np.zeros((2, N_STEPS + 1, net.n_device))
    loads, generators = list(net.loads), list(net.generators)
    p[:N_STEPS, loads] = profiles.p_load.T / net.base_mva
    p[N_STEPS, loads] = net.p_min[loads]
    p[:N_STEPS, generators] = profiles.p_max.T / net.base_mva
    q[:, loads] = p[:, loads] * net.qp_ratio[loads]
    return p, q


@pytest.fixture(scope="module")
def nothing(net, idle):
    """The same by bus (n, n_bus)."""
    return tuple(at_buses(net, device) for device in idle)


def at_buses(net, device):
    incidence = np.zeros((net.n_device, net.n_bus))
    incidence[np.arange(net.n_device), net.device_bus] = 1
    return device @ incidence


@pytest.fixture(scope="module")
def solve(net):
    """Magnitudes (n, n_bus), apparent branch flows (n, n_branch), loss (n,) p.u. and flag, one compile."""

    @jax.jit
    @jax.vmap
    def solve(p, q):
        flow = power_flow(net, p, q, tol=1e-10)
        ends = branch_flows(net, flow.v)
        loss = jnp.sum(jnp.real(ends.s_from + ends.s_to))
        return jnp.abs(flow.v), jnp.maximum(jnp.abs(ends.s_from), jnp.abs(ends.s_to)), loss, flow.converged

    return solve


@pytest.fixture(scope="module")
def reference(net, nothing):
    """The same from pandapower: magnitudes, apparent flows, loss."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandapower's own notices
        pp = pytest.importorskip("pandapower")
        grid = pp.create_empty_network(sn_mva=float(net.base_mva))
        for kv in net.base_kv:
            pp.create_bus(grid, vn_kv=float(kv))
        pp.create_ext_grid(grid, net.slack)
        for i in range(net.n_branch):
            ohm = float(net.base_kv[net.from_bus[i]] ** 2 / net.base_mva)
            r, x = float(net.r[i]) * ohm, float(net.x[i]) * ohm
            pp.create_line_from_parameters(grid, net.from_bus[i], net.to_bus[i], 1.0, r, x, 0.0, 99.0)
        for bus in range(net.n_bus):
            pp.create_sgen(grid, bus, p_mw=0.0, q_mvar=0.0)
        found = []
        for p, q in zip(*nothing, strict=True):
            grid.sgen["p_mw"], grid.sgen["q_mvar"] = p * net.base_mva, q * net.base_mva
            pp.runpp(grid, numba=False, tolerance_mva=1e-9)
            line = grid.res_line
            ends = np.hypot(line[["p_from_mw", "p_to_mw"]], line[["q_from_mvar", "q_to_mvar"]].to_numpy())
            found.append((grid.res_bus.vm_pu.to_numpy(), ends.max(axis=1), line.pl_mw.sum()))
    vm, flow, loss = map(np.array, zip(*found, strict=True))
    return vm, flow / net.base_mva, loss / net.base_mva


def test_the_feeder_and_its_loads_are_those_of_baran_and_wu(net):
    plain = Network.from_json("ieee33_baran_wu")
    assert (net.from_bus, net.to_bus, net.bus_ids) == (plain.from_bus, plain.to_bus, plain.bus_ids)
    assert net.loads == plain.loads
    for name in ("base_mva", "base_kv", "r", "x", "b", "tap", "shift"):
        np.testing.assert_array_equal(getattr(net, name), getattr(plain, name), err_msg=name)
    loads = list(net.loads)
    for name in ("p_min", "p_max", "qp_ratio"):
        np.testing.assert_array_equal(getattr(net, name)[loads], getattr(plain, name)[loads], err_msg=name)


def test_the_nominal_power_flow_has_the_published_losses_and_lowest_voltage(nothing, solve, reference):
    solved = [x[-1] for x in solve(*nothing)]
    assert solved[3]
    for vm, loss in ((solved[0], solved[2]), (reference[0][-1], reference[2][-1])):
        assert float(loss) * 10_000 == pytest.approx(202.7, abs=0.05)  # kW, as published: four digits
        assert float(vm.min()) == pytest.approx(0.9131, abs=5e-5)  # as published: four digits
        assert int(vm.argmin()) == 17


def test_doing_nothing_agrees_with_pandapower_at_every_step_of_the_day(nothing, solve, reference):
    vm, flow, loss, converged = solve(*nothing)
    assert converged.all()
    # Both solvers end quadratically, far below the tolerances they are asked for.
    np.testing.assert_allclose(vm, reference[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(flow, reference[1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(loss, reference[2], rtol=0, atol=1e-9)


def test_doing_nothing_violates_limits_in_the_stated_shares_of_the_day(net, tables, reference):
    vm, flow = reference[0][:N_STEPS, 1:], reference[1][:N_STEPS]
    high, low = (vm > net.v_max[1:]).any(axis=1), (vm < net.v_min[1:]).any(axis=1)
    branch = (flow > net.rating).any(axis=1)

    def share(steps):
        return f"{steps.sum()} of 96 steps ({100 * steps.mean():.0f} %)"

    assert (
        f"violates a voltage limit in {share(high | low)}: too high in {share(high)}, around noon and in the "
        f"windy night, too low in {share(low)}, in the evening; a branch rating in {share(branch)}, around "
        f"noon; one or the other in {share(high | low | branch)}."
    ) in tables["description"]
    hour = np.arange(N_STEPS) * 0.25
    assert (high & (hour < 6)).any()
    assert (high & (hour > 10) & (hour < 16)).any()
    assert set(hour[low].round()) <= {18, 19, 20, 21}
    assert set(hour[branch].round()) <= set(range(10, 17))


def test_the_tables_follow_their_written_formula(net, profiles, tables):
    hour = np.arange(N_STEPS) * 0.25

    def bumps(base, bumps):
        total = np.full(N_STEPS, base)
        for height, middle, width in bumps:
            distance = np.abs(hour - middle)
            total += height * np.exp(-(np.minimum(distance, 24 - distance) ** 2) / (2 * width**2))
        return total

    found = {}
    rows = dict(zip(net.device_ids, range(net.n_device), strict=True))
    for name, shape in tables["shapes"].items():
        for device in shape["devices"]:
            bounds = net.p_max if device > 32 else net.p_min
            bound = bounds[rows[device]] * net.base_mva
            if name == "pv":
                rise, down = shape["rise"], shape["set"]
                s = np.sin(np.pi * np.clip((hour - rise) / (down - rise), 0, 1)) ** shape["power"]
            else:
                s = bumps(shape["base"], shape["bumps"])
                s = s if device > 32 else shape["peak"] * s / s.max()
            found[device] = bound * s
    assert sorted(found) == list(profiles.load_ids + profiles.generator_ids)
    for ids, table in ((profiles.load_ids, profiles.p_load), (profiles.generator_ids, profiles.p_max)):
        # Written with four decimals.
        np.testing.assert_allclose(table, [found[i] for i in ids], rtol=0, atol=5.001e-5)


@pytest.mark.parametrize("p_end", [-1, 1], ids=["P drawn", "P pushed"])
@pytest.mark.parametrize("q_end", [-1, 1], ids=["Q drawn", "Q pushed"])
def test_the_ends_of_the_action_box_never_collapse_the_feeder(p_end, q_end, net, idle, solve):
    p, q = (device.copy() for device in idle)
    generators, storage = list(net.generators), list(net.storage)
    if p_end < 0:
        p[:, generators] = 0
    p[:, storage] = (net.p_min if p_end < 0 else net.p_max)[storage]
    # All of QMAX or QMIN, at full power more than the inverters can do.
    units = generators + storage
    q[:, units] = (net.q_min if q_end < 0 else net.q_max)[units]
    vm, _, _, converged = solve(at_buses(net, p), at_buses(net, q))
    assert converged.all()
    assert 0.6 < vm.min() < vm.max() < 1.25


def test_the_case_states_the_capability_of_its_inverters(net):
    units = list(net.generators + net.storage)
    top = net.p_max[units]
    for name, share in (
        ("q_max", 0.6),
        ("q_min", -0.6),
        ("p_plus", 0.85),
        ("q_plus", 0.3),
        ("q_minus", -0.3),
    ):
        # Decimal fractions of decimal numbers, rounded.
        np.testing.assert_allclose(getattr(net, name)[units], share * top, rtol=1e-14, err_msg=name)
    assert max(np.hypot(0.85, 0.6), np.hypot(1, 0.3)) < 1.05
    assert (net.eff[list(net.storage)] < 1).all()
    assert "1.05 times its PMAX" in load_case("ieee33_easy")["description"]
