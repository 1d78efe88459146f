"""The chord method by itself, without Newton's, which in a power flow finishes what it leaves."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax import power_flow
from anmjax.lanes.schedule import AllAtOnce
from anmjax.powerflow.chord import CHORD_RATE, CHORD_UPDATES_FREE, iterate_chord
from anmjax.powerflow.elimination.solver import linear_solver
from anmjax.powerflow.equations import voltage
from anmjax.powerflow.inputs import network_plan, of_unknown
from anmjax.powerflow.jacobian import factorise
from anmjax.powerflow.newton import Stopping, flat_start, iterate_newton, start_at
from anmjax.powerflow.solve import BASE_UPDATES
from tests.powerflow.lanes import equations_for
from tests.powerflow.networks import dense_admittance, loaded_feeder

TOL = 1e-9
# Of the base case's loads: none, some, as many, a third more; the last is beyond what the feeder can carry.
LOADINGS = (0.0, 0.6, 1.0, 1.3, 8.0)
KINDS = ("constant powers", "constant currents", "a PV bus")


class Lanes(NamedTuple):
    v: np.ndarray  # (lanes, n_bus) complex
    error: np.ndarray  # (lanes,)
    updates: np.ndarray  # (lanes,)
    v_newton: np.ndarray  # (lanes, n_bus)


@functools.cache
def ended(kind: str, loadings: tuple[float, ...] = LOADINGS, solved: bool = False) -> Lanes:
    """Where the method ends, from a flat start or from the solutions."""
    net, p, q = loaded_feeder()
    if kind == "constant currents":
        drawn = {"p_current": np.array([4e-4, 2e-4]), "q_current": np.array([1e-4, 0.0])}
        net = net.replace(current_load_bus=(5, 17), **drawn)
    if kind == "a PV bus":
        net = net.replace(pv=(12,), v_set=np.where(np.arange(net.n_bus) == 12, 0.99, 1.0))
    scale = np.array(loadings)

    def flow(k: jax.Array) -> jax.Array:
        return power_flow(net, k * p, k * q, tol=1e-12, schedule=AllAtOnce()).v

    plan = network_plan(net, net.pv)

    @jax.jit
    def run(v: jax.Array) -> tuple[jax.Array, ...]:
        _, base_case = equations_for(net, p[:, None], q[:, None])
        _, equations = equations_for(net, p[:, None] * scale, q[:, None] * scale)
        linear = linear_solver(plan, AllAtOnce())
        base = start_at(plan, base_case, flat_start(plan, base_case))
        base = iterate_newton(plan, linear, base_case, base, Stopping(BASE_UPDATES, 0.0), leave=0)
        jac = factorise(plan, linear, base_case.adm, voltage(base.d), base.sent, base_case.current)
        x = flat_start(plan, equations)
        if solved:
            x = of_unknown(plan, jnp.moveaxis(jnp.stack([jnp.angle(v), jnp.abs(v) - 1]), 1, -1))
        return iterate_chord(plan, linear, equations, x, jac, TOL)

    by_newton = jax.jit(jax.vmap(flow))(scale)
    d, error, updates = (np.asarray(x) for x in run(by_newton))
    v = np.zeros((len(scale), net.n_bus), complex)
    v[:, list(plan.order)] = (1 + d[0] + 1j * d[1]).T
    return Lanes(v, error.ravel(), updates.ravel(), np.asarray(by_newton))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_lanes_near_the_base_case_are_solved_in_a_few_updates(kind: str) -> None:
    lanes = ended(kind)
    assert (lanes.error[:4] <= TOL).all()
    np.testing.assert_allclose(lanes.v[:4], lanes.v_newton[:4], rtol=0, atol=1e-8)
    # The base case itself takes fewest: its Jacobian is its own, after two of Newton's updates.
    assert lanes.updates[2] <= 5
    assert (lanes.updates[:4] <= 15).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_lane_out_of_reach_is_left_soon_and_disturbs_no_other(kind: str) -> None:
    lanes, without = ended(kind), ended(kind, LOADINGS[:4])
    assert lanes.error[4] > 1e-3
    assert CHORD_UPDATES_FREE < lanes.updates[4] <= CHORD_UPDATES_FREE + np.log(1e9) / -np.log(CHORD_RATE)
    np.testing.assert_array_equal(lanes.updates[:4], without.updates)
    np.testing.assert_allclose(lanes.v[:4], without.v, rtol=0, atol=1e-13)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_solutions_stay_where_they_are(kind: str) -> None:
    lanes = ended(kind, LOADINGS[:4], solved=True)
    np.testing.assert_array_equal(lanes.updates, 0)
    np.testing.assert_allclose(lanes.v, lanes.v_newton, rtol=0, atol=1e-13)
    assert (lanes.error <= TOL).all()


def test_an_error_is_that_of_the_voltages_and_not_of_currents_that_rounding_has_moved() -> None:
    """Put into the equations as the textbook has them, the last voltages give the error that is told."""
    net, p, q = loaded_feeder()
    lanes = ended("constant powers")
    y = dense_admittance(net)
    for v, error, k in zip(lanes.v, lanes.error, LOADINGS, strict=True):
        left = (v * np.conj(y @ v) - k * (p + 1j * q))[1:]
        by_hand = max(abs(left.real).max(), abs(left.imag).max())
        np.testing.assert_allclose(error, by_hand, rtol=1e-4, atol=1e-11)
