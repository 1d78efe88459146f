"""One update of Newton's method against the reference simulator's, and what rounding may leave."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from anmjax import Network, power_flow
from anmjax.lanes.schedule import AllAtOnce
from anmjax.powerflow.elimination.solver import linear_solver
from anmjax.powerflow.equations import deviation, rounding_floor, voltage
from anmjax.powerflow.inputs import network_plan
from anmjax.powerflow.jacobian import factorise
from anmjax.powerflow.newton import start_at, update
from tests.powerflow.lanes import equations_for
from tests.powerflow.networks import dense_admittance, loaded_feeder

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # gym's own notices on import
    from gym_anm.simulator import solve_load_flow as reference


def test_an_update_is_the_references_also_where_a_magnitude_has_strayed_below_zero():
    net = Network.from_json("anm6")  # bus 0 is the slack, at 1 p.u.
    rng = np.random.default_rng(2)
    p, q = rng.uniform(-0.2, 0.2, (2, 6))
    angle, vm = rng.uniform(-0.5, 0.5, 5), np.array([0.9, -0.4, 1.1, -0.05, 0.7])

    y = scipy.sparse.csr_matrix(dense_admittance(net))
    guess = np.concatenate([angle, vm])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's about the format of the reference's matrix
        step = scipy.sparse.linalg.spsolve(reference._dfdx(guess, y), reference._f(guess, p[1:], q[1:], y))
    expected = guess - step

    @jax.jit
    def updated(x):
        plan, equations = equations_for(net, p[:, None], q[:, None])
        linear = linear_solver(plan, AllAtOnce())
        at = start_at(plan, equations, x)
        jac = factorise(plan, linear, equations.adm, voltage(at.d), at.sent)
        return update(plan, linear, equations, at, jac, jnp.full((1, 1, 1), True)).x

    bus = network_plan(net).order[:5] - 1  # of our unknowns, without the slack
    x = np.asarray(updated(jnp.asarray(np.stack([angle[bus], vm[bus] - 1]))[..., None]))[..., 0]
    # Steps of up to 10 p.u. and rad, solved to some five digits fewer than there are.
    np.testing.assert_allclose(x[0], expected[:5][bus], rtol=0, atol=1e-9)
    np.testing.assert_allclose(1 + x[1], expected[5:][bus], rtol=0, atol=1e-9)


def test_the_rounding_floor_is_one_unit_in_the_last_place_of_what_currents_are_summed_from():
    net, p, q = loaded_feeder()
    rng = np.random.default_rng(4)
    x = jnp.asarray(rng.uniform(-0.05, 0.05, (2, net.n_bus - 1, 1)))

    @jax.jit
    def floor(x):
        plan, equations = equations_for(net, p[:, None], q[:, None])
        d = deviation(plan, equations, x)
        return rounding_floor(plan, equations, d), d

    found, d = floor(x)
    plan = network_plan(net)
    v = np.zeros(net.n_bus, complex)
    v[plan.order] = np.asarray(d)[0, :, 0] + 1j * np.asarray(d)[1, :, 0]
    y = np.abs(dense_admittance(net))
    np.fill_diagonal(y, 0)
    by_hand = np.finfo(float).eps * (y * (np.abs(v)[:, None] + np.abs(v)[None])).sum(1).max()
    np.testing.assert_allclose(found[0, 0, 0], by_hand, rtol=1e-9)


def test_float32_is_not_told_converged_before_it_is():
    """Two updates leave 1e-4 p.u. and more on the feeder, some fifty times what float32 rounding explains."""
    net, p, q = loaded_feeder()
    net = net.astype(np.float32)
    p, q = (x.astype(np.float32) for x in (p, q))
    early = power_flow(net, p, q, num_iters=2, tol=1e-7)
    late = power_flow(net, p, q, num_iters=6, tol=1e-7)
    assert 2e-5 < early.mismatch < 1e-3
    assert not early.converged
    assert late.mismatch < 5e-6
    assert late.converged
