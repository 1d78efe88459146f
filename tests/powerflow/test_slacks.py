"""Several slacks: sources in parallel, and islands with a source of their own."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax import branch_losses, island_losses, power_flow, slack_powers
from tests.grid.power_balance import admittance, assert_solves
from tests.powerflow.networks import random_network
from tests.powerflow.pandapower_reference import pp

# Central differences of step 1e-6 are good to about 1e-9 of figures of order one.
STEP, DIFFERENCE = 1e-6, 1e-8


def parallel(pv: bool):
    """Nine meshed buses with three sources, perhaps a PV bus, and loads of constant current at some."""
    rng = np.random.default_rng(3)
    net = random_network(rng, 9, 4)
    slacks = tuple(sorted((net.slack + k) % 9 for k in (0, 4, 7)))
    free = [i for i in range(9) if i not in slacks]
    p, q = rng.uniform(-0.3, 0.2, (2, 9))
    return net.replace(
        slacks=slacks,
        slack_angle=np.array([0.1, 0.15, 0.05]),
        v_set=rng.uniform(0.98, 1.03, 9),
        pv=(free[1],) if pv else (),
        g_shunt=rng.uniform(0, 0.1, 9),
        b_shunt=rng.uniform(-0.1, 0.1, 9),
        p=p,
        q=q,
        current_load_bus=(slacks[0], free[0], free[0], free[1], free[3]),
        p_current=np.array([0.1, 0.2, 0.05, -0.1, 0.05]),
        q_current=np.array([0.05, 0.1, 0.0, 0.1, -0.05]),
    )


@pytest.fixture(scope="module", params=[False, True], ids=["PQ", "with a PV bus"])
def net(request):
    return parallel(request.param)


@pytest.fixture(scope="module")
def lanes(net):
    """160 lanes, so that a CPU shares a Jacobian, and one without a solution."""
    load = np.append(np.linspace(0.6, 1.2, 159), 200.0)[:, None]
    return load, jax.jit(jax.vmap(lambda k: power_flow(net, k * net.p, k * net.q, tol=1e-11)))(load)


def test_voltages_solve_the_equations_lane_by_lane_and_slacks_hold_magnitude_and_angle(net, lanes):
    load, flow = lanes
    assert flow.converged[:-1].all()
    assert not flow.converged[-1]
    v = np.asarray(flow.v)
    for k in (0, 80, 158):
        assert_solves(net.replace(p=load[k] * net.p, q=load[k] * net.q), v[k], 1e-10)
    held = net.v_set[list(net.slacks)] * np.exp(1j * net.slack_angle)
    np.testing.assert_allclose(v[:, list(net.slacks)], np.tile(held, (160, 1)), rtol=0, atol=1e-14)


def test_slack_powers_and_losses_balance_in_every_lane(net, lanes):
    load, flow = lanes
    v = np.asarray(flow.v)[:-1]
    powers = np.asarray(jax.vmap(slack_powers, (None, 0))(net, v))
    losses = np.asarray(jax.vmap(branch_losses, (None, 0))(net, v)).sum(1)
    others = np.setdiff1d(np.arange(9), net.slacks)
    magnitude = np.abs(v)
    shunts = (magnitude**2 * (net.g_shunt - 1j * net.b_shunt)).sum(1)
    drawn = magnitude[:, list(net.current_load_bus)] @ (net.p_current + 1j * net.q_current)
    injected = (load[:-1] * net.p)[:, others].sum(1)
    # Sums of 9 numbers of order one; the solution leaves 1e-11 at each bus.
    np.testing.assert_allclose((powers.sum(1) + injected).real, (losses + shunts + drawn).real, atol=1e-10)
    # By the textbook: what flows off each slack bus, and its own load of constant current.
    sent = v[0] * (admittance(net) @ v[0]).conj()
    own = np.where(np.arange(3) == 0, magnitude[0, net.slack] * (0.1 + 0.05j), 0)
    np.testing.assert_allclose(powers[0], sent[list(net.slacks)] + own, rtol=0, atol=1e-12)
    # One island: its losses stand at the first slack.
    of_islands = np.asarray(island_losses(net, v[0]))
    np.testing.assert_allclose(of_islands, [losses[0], 0, 0], rtol=0, atol=1e-14)


NAMES = ("slack_angle", "v_set", "p_current", "q_current", "g_shunt", "r", "p", "q")


def figure_of(net):
    """A figure of the voltages as a function of one vector of what they depend on, that vector, its parts."""
    arguments = [np.asarray(getattr(net, name)) for name in NAMES]
    ends = np.cumsum([0, *map(len, arguments)]).tolist()
    parts = {name: slice(a, b) for name, a, b in zip(NAMES, ends[:-1], ends[1:], strict=True)}
    weights = np.random.default_rng(4).normal(size=(2, 9))

    def figure(z):
        own = net.replace(**{name: z[part] for name, part in parts.items()})
        v = power_flow(own, own.p, own.q, tol=1e-13).v
        return jnp.sum(weights[0] * v.real + weights[1] * v.imag)

    return figure, np.concatenate(arguments), parts


def test_derivatives_by_what_slacks_hold_and_by_currents_equal_central_differences(net):
    figure, point, parts = figure_of(net)
    n, steps = len(point), STEP * np.eye(len(point))
    points = np.vstack([point, point + steps, point - steps])
    values, gradients = jax.jit(jax.vmap(jax.value_and_grad(figure)))(points)
    differences = (values[1 : n + 1] - values[n + 1 :]) / (2 * STEP)
    np.testing.assert_allclose(gradients[0], differences, rtol=0, atol=DIFFERENCE)
    for name, part in parts.items():
        assert np.abs(gradients[0, part]).max() > 1e-3, name


@pytest.mark.slow
def test_forward_mode_agrees_with_reverse_mode(net):
    figure, point, _ = figure_of(net)
    reverse, forward = (np.asarray(jax.jit(f(figure))(point)) for f in (jax.grad, jax.jacfwd))
    np.testing.assert_allclose(forward, reverse, rtol=0, atol=1e-13)  # one system from two sides
    # Turning all slacks together turns all voltages together, and leaves every power as it is.
    a = net.slack_angle

    def powers(turn):
        return slack_powers(net, power_flow(net.replace(slack_angle=a + turn), net.p, net.q, tol=1e-13).v)

    _, change = jax.jvp(jax.jit(powers), (np.zeros(3),), (np.ones(3),))
    np.testing.assert_allclose(change, 0, rtol=0, atol=1e-12)


def test_float32_voltages_solve_the_equations(net):
    single = net.astype(np.float32)
    flow = power_flow(single, single.p, single.q)
    assert flow.converged
    assert flow.v.dtype == np.complex64
    # The tolerance of 1e-5 p.u., and as much for rounding: voltages to 6e-8, admittances of up to 50 p.u.
    assert_solves(net, np.asarray(flow.v, complex), 2e-5)


def island(grid, va_degree, length_km):
    """Four buses behind a source, in a ring; returns the first and the last bus."""
    buses = pp.create_buses(grid, 4, vn_kv=20.0)
    pp.create_ext_grid(grid, buses[0], vm_pu=1.02, va_degree=va_degree)
    for f, t in ((0, 1), (1, 2), (2, 3), (3, 0)):
        pp.create_line(grid, buses[f], buses[t], length_km, std_type="NA2XS2Y 1x240 RM/25 12/20 kV")
    for bus, p_mw in zip(buses[1:], (2.0, 1.0, 3.0), strict=True):
        pp.create_load(grid, bus, p_mw=p_mw, q_mvar=0.4)
    return buses[0], buses[3]


@pytest.fixture(scope="module")
def apart():
    """Two islands, one held at 150 degrees, with an open line between them, and pandapower's voltages."""
    from anmjax import Network

    grid = pp.create_empty_network(sn_mva=10.0)
    first, second = island(grid, 0.0, 4.0), island(grid, 150.0, 6.0)
    pp.create_line(grid, first[1], second[1], 1.0, std_type="NA2XS2Y 1x240 RM/25 12/20 kV", in_service=False)
    pp.runpp(grid, calculate_voltage_angles=True, init="dc", tolerance_mva=1e-11, numba=False)
    v = grid.res_bus.vm_pu * np.exp(1j * np.deg2rad(grid.res_bus.va_degree))
    return Network.from_pandapower(grid), v.to_numpy(), grid


def test_islands_are_solved_each_from_the_angle_of_its_own_source(apart):
    net, v, _ = apart
    assert net.slacks == (0, 4)
    flow = power_flow(net, net.p, net.q, tol=1e-10)
    assert flow.converged
    assert flow.iterations <= 4
    np.testing.assert_allclose(flow.v, v, rtol=0, atol=1e-8)


def test_the_dc_start_of_an_island_is_at_the_angle_of_its_source(apart):
    net, v, _ = apart
    flow = power_flow(net, net.p, net.q, tol=1e-10, init="dc")
    assert flow.iterations <= 3
    np.testing.assert_allclose(flow.v, v, rtol=0, atol=1e-8)


def test_losses_and_powers_are_those_of_the_islands(apart):
    net, v, grid = apart
    base = float(net.base_mva)
    np.testing.assert_allclose(
        np.asarray(slack_powers(net, v)).real * base, grid.res_ext_grid.p_mw, atol=1e-8
    )
    np.testing.assert_allclose(
        np.asarray(slack_powers(net, v)).imag * base, grid.res_ext_grid.q_mvar, atol=1e-8
    )
    losses = grid.res_line.pl_mw.to_numpy()
    expected = [losses[:4].sum(), losses[4:8].sum()]
    np.testing.assert_allclose(np.asarray(island_losses(net, v)).real * base, expected, rtol=0, atol=1e-8)


def test_lines_switched_in_lanes_move_buses_between_islands_and_a_cut_off_bus_is_no_solution(apart):
    net = apart[0]
    status = np.tile(net.in_service, (4, 1))
    status[1, [2, 3, 8]] = [0, 0, 1]  # bus 3 goes over the tie line to the other island
    status[2, [6, 7, 8]] = [0, 0, 1]  # and bus 7 to this one
    status[3, [2, 3]] = 0  # bus 3 is dark
    flow = jax.jit(jax.vmap(lambda s: power_flow(net.replace(in_service=s), net.p, net.q, tol=1e-11)))(status)
    np.testing.assert_array_equal(flow.converged, [True, True, True, False])
    for k in range(3):
        assert_solves(net.replace(in_service=status[k]), np.asarray(flow.v[k]), 1e-10)
    degrees = np.rad2deg(np.angle(flow.v))
    near_150 = np.abs(degrees - 150) < 10
    own = [4, 5, 6, 7]
    np.testing.assert_array_equal(np.flatnonzero(near_150[0]), own)
    np.testing.assert_array_equal(np.flatnonzero(near_150[1]), [3, *own])
    np.testing.assert_array_equal(np.flatnonzero(near_150[2]), own[:3])
    assert np.isfinite(flow.v).all()


def test_buses_that_are_all_held_are_solved_without_an_update():
    net = random_network(np.random.default_rng(1), 3, 0)
    angle = np.array([0.0, 0.1, -0.1])
    net = net.replace(slacks=(0, 1, 2), slack_angle=angle)
    flow = power_flow(net, np.zeros(3), np.zeros(3))
    assert flow.converged
    assert flow.iterations == 0
    np.testing.assert_allclose(flow.v, np.exp(1j * angle), rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", ["slack_angle", "p_current", "q_current"])
def test_what_slacks_and_loads_hold_has_one_value_each(name):
    net = replace(parallel(False), **{name: np.zeros(2)})  # past the checks of ``Network.replace``
    with pytest.raises(ValueError, match=rf"net.{name} has shape \(2,\), expected \([35],\)"):
        power_flow(net, net.p, net.q)
