"""Derivatives by every argument, against central differences, all lanes in one call."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from anmjax import power_flow
from tests.powerflow.networks import random_network
from tests.programs import operations

LEAVES = (
    *("r", "x", "g", "b", "tap", "shift", "in_service"),
    *("v_set", "slack_angle", "g_shunt", "b_shunt"),
)
# The error of central differences is of order STEP^2 and of order 1e-15 / STEP.
STEP = 1e-6


def _network(kind):
    rng = np.random.default_rng(7)
    net = random_network(rng, 6, 0 if kind == "radial" else 4, 1)
    held = [i for i in (1, 3, 4) if i != net.slack][:2]
    return net.replace(
        pv=() if kind == "radial" else tuple(held),
        v_set=rng.uniform(0.98, 1.03, 6),
        slack_angle=np.array(0.3),
        g_shunt=rng.uniform(0, 0.1, 6),
        b_shunt=rng.uniform(-0.1, 0.1, 6),
        g=rng.uniform(0, 0.02, net.n_branch),
    )


class Problem:
    """A figure of the voltages as a function of one vector of everything that it depends on."""

    def __init__(self, kind):
        rng = np.random.default_rng(8)
        self.net = net = _network(kind)
        arguments = {name: np.asarray(getattr(net, name)) for name in LEAVES}
        arguments["p"], arguments["q"] = rng.uniform(-0.3, 0.2, (2, 6))
        start = 1.01 * np.exp(0.3j) * np.ones(6)
        arguments["start_real"], arguments["start_imag"] = start.real, start.imag
        weights = rng.normal(size=(2, 6))
        self.point, unravel = ravel_pytree(arguments)
        self.point = np.asarray(self.point)
        positions = unravel(np.arange(len(self.point), dtype=float))
        self.positions = {name: np.asarray(x, int).ravel() for name, x in positions.items()}

        def figure(z):
            a = unravel(z)
            changed = net.replace(**{name: a[name] for name in LEAVES})
            init = jax.lax.complex(a["start_real"], a["start_imag"])
            flow = power_flow(changed, a["p"], a["q"], init=init, tol=1e-12)
            real, imag = flow.v.real, flow.v.imag
            total = jnp.sum(weights[0] * (real * real + imag * imag)) + jnp.sum(weights[1] * real * imag)
            return total, flow.converged

        self.figure = figure
        self.lanes = jax.jit(jax.vmap(jax.value_and_grad(figure, has_aux=True)))
        n = len(self.point)
        offsets = np.vstack([np.zeros((2, n)), STEP * np.eye(n), -STEP * np.eye(n)])
        points = self.point + offsets
        # Lane 1: the branch of the last bus is open, and in a radial network the bus without supply.
        ends = [k for k in range(net.n_branch) if 5 in (net.from_bus[k], net.to_bus[k])]
        points[1, self.positions["in_service"][ends]] = 0
        (self.values, self.converged), self.gradients = map_arrays(self.lanes(points))

    def differences(self, y):
        n = len(self.point)
        return (y[2 : n + 2] - y[n + 2 :]) / (2 * STEP)


def map_arrays(tree):
    return jax.tree.map(np.asarray, tree)


@pytest.fixture(scope="module", params=["radial", "meshed with PV buses"])
def problem(request):
    return Problem(request.param)


def test_gradients_equal_central_differences_for_every_entry_of_every_argument(problem):
    np.testing.assert_array_equal(np.flatnonzero(~problem.converged), [1])
    differences = problem.differences(problem.values)
    for name, where in problem.positions.items():
        expected = differences[where]
        # Six digits, of the largest entry where some are zero.
        np.testing.assert_allclose(
            problem.gradients[0, where],
            expected,
            rtol=1e-6,
            atol=1e-8 + 1e-7 * np.abs(expected).max(),
            err_msg=name,
        )
        if name.startswith("start"):
            np.testing.assert_array_equal(problem.gradients[0, where], 0)
        else:
            assert np.abs(problem.gradients[0, where]).max() > 1e-3, name


def test_what_is_no_input_has_no_derivative(problem):
    net, gradient = problem.net, problem.gradients[0]
    idle = {"p": [net.slack], "q": [net.slack, *net.pv]}
    idle["v_set"] = [i for i in range(net.n_bus) if i != net.slack and i not in net.pv]
    for name, buses in idle.items():
        np.testing.assert_array_equal(gradient[problem.positions[name][buses]], 0, err_msg=name)


def test_a_lane_cut_off_from_the_slack_has_derivative_zero_among_lanes_that_have_one(problem):
    assert np.isfinite(problem.gradients).all()
    for name in ("p", "q", "r", "x", "g", "b", "tap", "shift", "in_service", "g_shunt", "b_shunt"):
        np.testing.assert_array_equal(problem.gradients[1, problem.positions[name]], 0, err_msg=name)


def test_forward_mode_agrees_with_reverse_mode(problem):
    directions = np.random.default_rng(9).normal(size=(3, len(problem.point)))

    def slope(direction):
        return jax.jvp(lambda z: problem.figure(z)[0], (problem.point,), (direction,))[1]

    forward = jax.jit(jax.vmap(slope))(directions)
    # The same linear system from its two sides: rounding only.
    np.testing.assert_allclose(forward, directions @ problem.gradients[0], rtol=1e-9)


def test_a_derivative_by_injections_alone_has_no_operations_for_those_of_the_network():
    net, p = _network("radial"), np.zeros(6)

    def count(figure, *point):
        return len(list(operations(jax.make_jaxpr(lambda *moved: jax.jvp(figure, point, moved))(*point))))

    by_both = count(lambda p, r: power_flow(net.replace(r=r), p, p).v.real, p, np.asarray(net.r))
    assert count(lambda p: power_flow(net, p, p).v.real, p) < by_both


@pytest.mark.parametrize("kind", ["radial", pytest.param("meshed with PV buses", marks=pytest.mark.long)])
def test_all_columns_of_a_jacobian_are_found_with_one_factorisation_a_lane(kind):
    net, q = _network(kind), np.zeros(6)
    lanes = np.random.default_rng(9).uniform(-0.2, 0.1, (3, 6))

    def magnitudes(p):
        v = power_flow(net, p, q, tol=1e-12).v
        return v.real**2 + v.imag**2

    every = jax.jit(jax.vmap(jax.jacfwd(magnitudes)))
    columns = [jax.jit(jax.vmap(lambda p, e=e: jax.jvp(magnitudes, (p,), (e,))[1]))(lanes) for e in np.eye(6)]
    # The same eliminations of the same numbers.
    np.testing.assert_allclose(every(lanes), np.stack(columns, -1), rtol=1e-12, atol=1e-14)
    shapes = {x.aval.shape for one in operations(jax.make_jaxpr(every)(lanes)) for x in one.outvars}
    blocks = [shape for shape in shapes if len(shape) > 3 and shape[:2] == (2, 2)]
    assert blocks
    assert max(np.prod(shape[3:]) for shape in blocks) == len(lanes)


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["meshed with PV buses"], indirect=True)
def test_the_hessian_is_symmetric_and_equals_differences_of_gradients(problem):
    hessian = np.asarray(jax.jit(jax.hessian(lambda z: problem.figure(z)[0]))(problem.point))
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9, atol=1e-9 * np.abs(hessian).max())
    expected = problem.differences(problem.gradients)
    scale = np.abs(hessian).max()
    np.testing.assert_allclose(hessian, expected, rtol=1e-6, atol=1e-8 * scale)
