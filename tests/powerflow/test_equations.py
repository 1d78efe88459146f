"""The Jacobian and the chord method's currents, derived by hand, against derivatives of the equations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.lanes import phasor
from anmjax.lanes.schedule import AllAtOnce, CPUBlocks
from anmjax.lanes.two_by_two import matvec
from anmjax.powerflow.differences import point_of, power_change, residual_change
from anmjax.powerflow.elimination.solver import linear_solver
from anmjax.powerflow.equations import (
    bus_current,
    bus_power,
    current_change,
    deviation,
    residual,
    voltage,
)
from anmjax.powerflow.jacobian import factorise, relative_change, transposed_voltage_change, voltage_change
from tests.powerflow.lanes import equations_for
from tests.powerflow.networks import random_network

N_BUS, N = 7, 6
CASES = {"PQ": ((), False), "PQ and loads": ((), True), "PV": ((2, 5), False), "PV and loads": ((2, 5), True)}
# Entries of J are up to 1e2 p.u.; J J^-1 loses some three digits to the condition of these networks.
TOL = 1e-11


def problem(pv: tuple[int, ...], loads: bool):
    """Plan and equations of a random network, and random unknowns of one lane, away from any solution."""
    rng = np.random.default_rng(11)
    net = random_network(rng, N_BUS, 3)
    if loads:
        drawn = {"p_current": np.array([0.2, 0.1]), "q_current": np.array([0.05, -0.1])}
        net = net.replace(current_load_bus=(1, 4), **drawn)
    net = net.replace(pv=pv, v_set=1.02 * net.v_set)
    plan, equations = equations_for(net, *rng.uniform(-0.3, 0.3, (2, N_BUS, 1)))
    x = np.stack([rng.uniform(-0.4, 0.4, (N, 1)), rng.uniform(-0.1, 0.1, (N, 1))])
    return plan, equations, jnp.asarray(x)


def matrix(of_units):
    """A linear function of (2, n_unknown, 1), given its values at the unit vectors."""
    return of_units.reshape(2 * N, 2 * N).T


@pytest.fixture(scope="module", params=CASES)
def at(request):
    """Derivatives of the equations, and what the solver makes of its own Jacobian, by name."""
    pv, loads = CASES[request.param]
    plan, equations, x = problem(pv, loads)
    units = jnp.eye(2 * N).reshape(2 * N, 2, N, 1)
    error = jnp.asarray(np.random.default_rng(3).normal(size=(2, N, 1)))

    def missed(d):
        return residual(plan, equations, d, bus_power(plan, equations.adm, d))

    def missed_by_polar(polar):
        """F of ln |V| and the angle."""
        return missed(deviation(plan, equations, jnp.stack([polar[1], jnp.exp(polar[0]) - 1])))

    def current(d):
        """conj(Y V) of the unknown buses."""
        return phasor.conj(bus_current(plan, equations.adm, d))[:, :N]

    @jax.jit
    def everything(x):
        d = deviation(plan, equations, x)
        polar = jnp.stack([jnp.log(1 + x[1]), x[0]])
        found = {
            "by_voltage": jax.jacfwd(missed)(d)[:, :, 0, :, :N, 0].reshape(2 * N, 2 * N),
            "by_polar": jax.jacfwd(missed_by_polar)(polar)[:, :, 0, :, :, 0].reshape(2 * N, 2 * N),
        }
        for schedule in (AllAtOnce(), CPUBlocks()):
            linear = linear_solver(plan, schedule)
            sent = bus_power(plan, equations.adm, d)
            jac = factorise(plan, linear, equations.adm, voltage(d), sent, equations.current)
            for solve in (voltage_change, transposed_voltage_change, relative_change):
                of_units = jax.vmap(lambda error, s=solve, of=(linear, jac): s(plan, *of, error))(units)
                found[f"{solve.__name__} {type(schedule).__name__}"] = matrix(of_units)
        if not pv:
            change = linear.solve(jac.factors, error)
            own = error - phasor.multiply(jac.own, change)
            found["kept"] = own if jac.load is None else own - matvec(jac.load, change)
            moved = jnp.zeros_like(d).at[:, :N].set(change)
            found["current"] = jax.jvp(current, (d,), (moved,))[1]
        return found

    return jax.tree.map(np.asarray, everything(x))


@pytest.mark.parametrize("schedule", ["AllAtOnce", "CPUBlocks"])
def test_the_jacobian_is_the_derivative_of_the_equations_by_the_voltages(at, schedule):
    identity = np.eye(2 * N)
    by_voltage, change = at["by_voltage"], at[f"voltage_change {schedule}"]
    np.testing.assert_allclose(by_voltage @ change, identity, rtol=0, atol=TOL)
    transposed = at[f"transposed_voltage_change {schedule}"]
    np.testing.assert_allclose(by_voltage.T @ transposed, identity, rtol=0, atol=TOL)
    # Newton's step is that of the logarithms of magnitudes, and of angles.
    np.testing.assert_allclose(at["by_polar"] @ at[f"relative_change {schedule}"], identity, rtol=0, atol=TOL)


def test_the_chord_methods_currents_change_as_those_of_the_network_do(at):
    if "current" in at:  # with PV buses the chord method keeps none
        assert np.abs(at["current"]).max() > 0.1
        np.testing.assert_allclose(at["kept"], at["current"], rtol=0, atol=TOL)


@pytest.mark.parametrize("name", CASES)
def test_near_a_point_the_equations_change_as_their_differences(name):
    plan, equations, x = problem(*CASES[name])
    e = jnp.asarray(0.05 * np.random.default_rng(3).normal(size=(2, N_BUS, 1))).at[:, N:].set(0)

    def missed(d):
        return residual(plan, equations, d, bus_power(plan, equations.adm, d))

    @jax.jit
    def changes(x, e):
        d = deviation(plan, equations, x)
        at = point_of(plan, equations.adm, d)
        exact = missed(d + e) - missed(d)
        found = []
        for dtype in (jnp.float64, jnp.float32):
            own, point, by = jax.tree.map(lambda x, to=dtype: x.astype(to), (equations, at, e))
            sent = power_change(point, by, current_change(plan, own.adm, by))
            found.append(residual_change(plan, own, point, by, sent))
        return exact, found

    exact, (double, single) = changes(x, e)
    largest = np.abs(exact).max()
    np.testing.assert_allclose(double, exact, rtol=0, atol=1e-14 * largest)
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, exact, rtol=0, atol=1e-6 * largest)
