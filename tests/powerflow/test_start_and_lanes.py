"""Where the iteration starts, and how a batch is worked through: neither changes a solution."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax import Network, power_flow
from anmjax.lanes.schedule import CPUBlocks
from anmjax.powerflow import newton
from anmjax.powerflow.admittance import admittance
from anmjax.powerflow.elimination.solver import linear_solver
from anmjax.powerflow.equations import Equations
from anmjax.powerflow.inputs import branch_parameters, bus_shunts, network_plan
from tests.powerflow.networks import dense_admittance, loaded_feeder, random_network


def _mismatch(net, v, p, q):
    """Largest power-balance error by dense algebra, over all buses but the slack."""
    error = v * np.conj(dense_admittance(net) @ v) - (p + 1j * q)
    return np.abs(np.delete(error, net.slack).view(float)).max()


@pytest.fixture(scope="module")
def shifted():
    """Three buses behind a transformer that turns the angle by 150 degrees, slack at 20 degrees.

    From flat start Newton ends nowhere, whatever the injections: none of 400 random ones converged.
    """
    bus = [[0, 0, 110.0, 1.1, 0.9], *([i, 1, 20.0, 1.1, 0.9] for i in (1, 2, 3))]
    transformer = [0, 1, 0.005, 0.1, 0.0, None, 1.02, 150.0]
    branch = [transformer, *([i, i + 1, 0.02, 0.05, 0.01, None, 1.0, 0.0] for i in (1, 2))]
    tables = {"bus": bus, "device": [[0, 0, 0, *[None] * 12]], "branch": branch}
    net = Network.from_dict(
        {"baseMVA": 10.0, **{name: np.array(rows, dtype=object) for name, rows in tables.items()}}
    )
    p, q = np.array([0, -0.2, -0.3, 0.1]), np.array([0, -0.1, 0.05, 0])
    return net.replace(slack_angle=np.deg2rad(20.0)), p, q


def test_a_shift_of_150_degrees_needs_the_dc_start_and_a_solved_start_needs_no_iteration(shifted):
    net, p, q = shifted
    assert not power_flow(net, p, q, tol=1e-10).converged
    flow = power_flow(net, p, q, tol=1e-10, init="dc")
    assert flow.converged
    assert 0 < flow.iterations < 6
    v = np.asarray(flow.v)
    assert _mismatch(net, v, p, q) < 1e-9
    assert np.abs(np.abs(np.angle(v[1] / v[0], deg=True)) - 150) < 10
    again = power_flow(net, p, q, tol=1e-10, init=flow.v)
    assert again.converged
    assert again.iterations == 0
    np.testing.assert_allclose(again.v, flow.v, rtol=0, atol=1e-14)
    # A start that is off by 40 degrees and 10 % leads to the same solution.
    near = power_flow(net, p, q, tol=1e-10, init=0.9 * np.exp(0.7j) * v)
    assert near.converged
    assert near.iterations > 0
    np.testing.assert_allclose(near.v, flow.v, rtol=0, atol=1e-10)


@pytest.mark.parametrize("init", ["warm", ""])
def test_an_unknown_start_is_named(init):
    net = Network.from_json("anm6")
    with pytest.raises(ValueError, match=rf"init is '{init}', expected 'flat', 'dc' or"):
        power_flow(net, np.zeros(6), np.zeros(6), init=init)


def test_a_start_of_the_wrong_shape_is_named():
    net = Network.from_json("anm6")
    with pytest.raises(ValueError, match=r"init has shape \(5,\), expected \(6,\): one voltage per bus"):
        power_flow(net, np.zeros(6), np.zeros(6), init=np.ones(5, complex))


@pytest.mark.parametrize(
    "limit", [{"num_iters": -1}, {"num_iters": 2.5}, {"tol": -1e-6}, {"tol": np.nan}, {"tol": np.ones(2)}]
)
def test_limits_that_are_no_numbers_or_negative_are_named(limit):
    net, p, q = loaded_feeder()
    with pytest.raises(ValueError, match=f"^{next(iter(limit))} is .*expected"):
        power_flow(net, p, q, **limit)


@pytest.fixture(scope="module")
def feeder():
    """The Baran-Wu feeder and 1000 loadings: most light, some next to collapse, some beyond it."""
    net, p, q = loaded_feeder()
    rng = np.random.default_rng(0)
    scale = rng.uniform(-0.5, 1.5, 1000)
    scale[::5] = rng.uniform(3.0, 3.4, 200)  # it collapses at 3.4 times its load
    scale[1::11] = rng.uniform(4, 20, 91)
    run = jax.jit(jax.vmap(lambda p, q: power_flow(net, p, q, tol=1e-10)))
    p, q = scale[:, None] * p, scale[:, None] * q
    return net, p, q, scale, run, jax.tree.map(np.asarray, run(p, q))


def test_lanes_of_four_blocks_balance_and_those_beyond_collapse_are_flagged(feeder):
    net, p, q, scale, _, flow = feeder
    np.testing.assert_array_equal(flow.converged[scale >= 4], False)
    np.testing.assert_array_equal(flow.converged[scale < 3.3], True)
    np.testing.assert_array_equal(flow.v[~flow.converged], 1)
    assert np.isfinite(flow.mismatch).all()
    # Lanes beyond collapse: with the shared Jacobian to begin with, then Newton's 16.
    assert 16 < flow.iterations.max() < 40
    for k in np.flatnonzero(flow.converged)[::9]:
        # Rounding of dense sums adds to the tolerance of 1e-10.
        assert _mismatch(net, flow.v[k], p[k], q[k]) < 2e-10


@pytest.mark.parametrize(
    "size", [40, *(pytest.param(size, marks=pytest.mark.slow) for size in (1, 3, 129, 200))]
)
def test_a_lane_has_the_same_solution_in_every_batch(feeder, size):
    _, p, q, _, run, flow = feeder
    # The last lanes of the large batch, in the block that overlaps the one before it.
    for first in (0, 1000 - size):
        own = slice(first, first + size)
        part = run(p[own], q[own])
        np.testing.assert_array_equal(part.converged, flow.converged[own])
        # Few lanes do not share a Jacobian: they come by another way to within the same tolerance, 1e-10,
        # times what a p.u. of power moves the voltages.
        np.testing.assert_allclose(part.v, flow.v[own], rtol=0, atol=1e-12 if size >= 128 else 1e-9)
        if size >= 128:
            np.testing.assert_array_equal(part.iterations, flow.iterations[own])


@pytest.mark.long
def test_a_batch_in_chunks_has_the_same_solutions_and_gradients(feeder):
    net, p, q, _, _, flow = feeder

    def solve_and_gradient(p, q, schedule=None):
        def voltage_sum(p, q):
            result = jax.vmap(lambda p, q: power_flow(net, p, q, tol=1e-10, schedule=schedule))(p, q)
            return jnp.abs(result.v).sum(), result

        return jax.jit(jax.grad(voltage_sum, (0, 1), has_aux=True))(p, q)

    whole, _ = solve_and_gradient(p, q)
    # Four chunks of 272.
    chunks, solution = solve_and_gradient(p, q, CPUBlocks(l2_bytes=1, min_chunk=300, min_block=10_000))
    np.testing.assert_array_equal(solution.converged, flow.converged)
    np.testing.assert_array_equal(solution.iterations, flow.iterations)
    np.testing.assert_allclose(solution.v, flow.v, rtol=0, atol=1e-12)
    for ours, theirs in zip(chunks, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_nested_lanes_with_networks_and_starts_of_their_own_share_what_they_may():
    # Blocks of 48 lanes, of each of which 16 may straggle.
    blocks = CPUBlocks(l2_bytes=1, min_chunk=1000, min_block=48, max_lanes_together=8, straggler_share=3)
    rng = np.random.default_rng(3)
    net = random_network(rng, 7, 3)
    outer, inner = 4, 29
    r = net.r * rng.uniform(0.5, 2, (outer, net.n_branch))
    start = rng.uniform(0.95, 1.05, (outer, 7)) * np.exp(1j * rng.uniform(-0.1, 0.1, (outer, 7)))
    p, q = rng.uniform(-0.3, 0.2, (inner, 7)), rng.uniform(-0.1, 0.1, 7)
    p[4] = -50.0
    in_service = np.ones((inner, net.n_branch))
    for lane in range(5, inner, 3):
        in_service[lane, rng.integers(net.n_branch)] = 0

    def solve(r, start, p, in_service):
        return power_flow(
            net.replace(r=r, in_service=in_service), p, q, init=start, tol=1e-10, schedule=blocks
        )

    nested = jax.vmap(jax.vmap(solve, (None, None, 0, 0)), (0, 0, None, None))
    flow = jax.tree.map(np.asarray, jax.jit(nested)(r, start, p, in_service))
    connected = np.array([_is_connected(net, row) for row in in_service])
    assert 0 < (~connected).sum() < inner
    expected = connected & (np.arange(inner) != 4)
    np.testing.assert_array_equal(flow.converged, np.broadcast_to(expected, (outer, inner)))
    np.testing.assert_array_equal(flow.v[~flow.converged], 1)
    for i, k in np.argwhere(flow.converged):
        own = net.replace(r=r[i], in_service=in_service[k])
        assert _mismatch(own, flow.v[i, k], p[k], q) < 2e-10
        # Of the solutions of a network the one that is operated: no bus far from nominal voltage.
        assert np.abs(np.abs(flow.v[i, k]) - 1).max() < 0.2


def test_lanes_that_start_alike_share_the_first_jacobian_and_make_the_same_iterates():
    rng = np.random.default_rng(5)
    net = random_network(rng, 6, 2)
    plan = network_plan(net)
    s = jnp.asarray(rng.uniform(-0.3, 0.3, (2, 5, 40)))
    inputs = jax.tree.map(lambda x: jnp.asarray(x)[:, None], (branch_parameters(net), bus_shunts(net)))
    problem = Equations(admittance(plan, *inputs), jnp.zeros((6, 1)), s)
    at = newton.start_at(plan, problem, newton.flat_start(plan, problem))
    assert at.d.shape == at.sent.shape == (2, 6, 1)
    assert at.error.shape == (2, 5, 40)

    solve = jax.jit(
        lambda at: newton.iterate_newton(
            plan, linear_solver(plan, CPUBlocks()), problem, at, newton.Stopping(16, 1e-10), leave=0
        )
    )
    shared, own = solve(at), solve(newton.of_lanes(at))
    assert own.updates.min() > 1
    np.testing.assert_array_equal(shared.updates, own.updates)
    np.testing.assert_allclose(shared.d, own.d, rtol=0, atol=1e-13)


def _is_connected(net, in_service):
    reached = {net.slack}
    for _ in range(net.n_bus):
        for f, t, status in zip(net.from_bus, net.to_bus, in_service, strict=True):
            if status and (f in reached or t in reached):
                reached |= {f, t}
    return len(reached) == net.n_bus
