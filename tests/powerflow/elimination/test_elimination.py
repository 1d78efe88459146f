"""The sparse solver against dense linear algebra, and the shape of its plans."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.lanes.gather import GatherSum, gather_sum
from anmjax.lanes.half_angle import half_angle
from anmjax.lanes.schedule import AllAtOnce, CPUBlocks
from anmjax.powerflow.elimination.plan import eliminate, solver_plan
from anmjax.powerflow.elimination.solver import linear_solver
from tests.programs import operations

# Two buses, a path, a hub with more neighbours than a gather sums at once, two feeders that branch, a mesh
# with fill.
GRAPHS = {
    "pair": (2, [(0, 1)]),
    "path": (8, [(i, i + 1) for i in range(7)]),
    "hub": (12, [(0, 1), *((1, i) for i in range(2, 12))]),
    "branched": (9, [(0, 1), (1, 2), (2, 3), (1, 4), (4, 5), (4, 6), (0, 7), (7, 8)]),
    "mesh": (
        9,
        [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (1, 4), (2, 6), (6, 7), (7, 8), (8, 3), (6, 3)],
    ),
}


def _random_system(n_bus, edges, rng):
    plan = solver_plan(n_bus, (0,), *(tuple(x) for x in zip(*edges, strict=True)))
    n = n_bus - 1
    dense = np.zeros((n, n, 2, 2))
    dense[np.arange(n), np.arange(n)] = rng.normal(size=(n, 2, 2)) + 8 * np.eye(2)
    for f, t in edges:
        i, a = plan.position[f], plan.position[t]
        if max(i, a) < n:
            dense[i, a], dense[a, i] = rng.normal(size=(2, 2, 2))
    edges = np.zeros((2, 2, len(plan.edge_tail)))
    for e, (i, a) in enumerate(zip(plan.edge_tail, plan.edge_head, strict=True)):
        if max(i, a) < n:  # those of the slack are not read
            edges[..., e] = dense[i, a]
    diagonal = np.moveaxis(dense[np.arange(n), np.arange(n)], 0, -1)
    return plan, (edges, diagonal), dense.swapaxes(1, 2).reshape(2 * n, 2 * n)


def _solutions(solver, system, rhs):
    factors = solver.factor(*system)
    return solver.solve(factors, rhs), solver.solve_transposed(factors, rhs)


SCHEDULES = pytest.mark.parametrize("schedule", [AllAtOnce(), CPUBlocks()])


@SCHEDULES
@pytest.mark.parametrize("name", GRAPHS)
def test_solutions_equal_those_of_dense_linear_algebra(name, schedule):
    rng = np.random.default_rng(0)
    plan, system, dense = _random_system(*GRAPHS[name], rng)
    rhs = rng.normal(size=(2, len(dense) // 2))
    x, z = jax.jit(lambda system, rhs: _solutions(linear_solver(plan, schedule), system, rhs))(system, rhs)
    # Well-conditioned systems of at most 22 unknowns: rounding only.
    np.testing.assert_allclose(np.ravel(np.asarray(x).T), np.linalg.solve(dense, rhs.T.ravel()), atol=1e-12)
    np.testing.assert_allclose(np.ravel(np.asarray(z).T), np.linalg.solve(dense.T, rhs.T.ravel()), atol=1e-12)


@SCHEDULES
@pytest.mark.parametrize("name", ["mesh", "branched"])
def test_a_batch_solves_every_lane_as_it_would_alone(name, schedule):
    rng = np.random.default_rng(1)
    systems = [_random_system(*GRAPHS[name], rng) for _ in range(3)]
    plan = systems[0][0]
    batch = tuple(np.stack(x, -1) for x in zip(*(s[1] for s in systems), strict=True))
    rhs = rng.normal(size=(2, len(systems[0][2]) // 2, 3))
    run = jax.jit(lambda system, rhs: _solutions(linear_solver(plan, schedule), system, rhs))
    together = run(batch, rhs)
    for lane, (_, system, _) in enumerate(systems):
        for all_lanes, alone in zip(together, run(system, rhs[..., lane]), strict=True):
            # Compilers contract products and sums differently for different shapes.
            np.testing.assert_allclose(all_lanes[..., lane], alone, atol=1e-14)


@SCHEDULES
@pytest.mark.parametrize("name", ["mesh", "branched"])
def test_lanes_may_share_the_factors(name, schedule):
    rng = np.random.default_rng(4)
    plan, system, dense = _random_system(*GRAPHS[name], rng)
    rhs = rng.normal(size=(2, len(dense) // 2, 3))
    shared = tuple(x[..., None] for x in system)
    together = jax.jit(lambda system, rhs: _solutions(linear_solver(plan, schedule), system, rhs))(
        shared, rhs
    )
    for matrix, x in zip((dense, dense.T), together, strict=True):
        for lane in range(3):
            expected = np.linalg.solve(matrix, rhs[..., lane].T.ravel())
            np.testing.assert_allclose(np.ravel(np.asarray(x)[..., lane].T), expected, atol=1e-12)


@pytest.mark.parametrize("closed", [False, True])
def test_the_solver_in_loops_is_the_same_program_for_feeders_and_for_rings_of_any_size(closed):
    def program(n_bus):
        edges = [*((i, i + 1) for i in range(n_bus - 1)), *([(n_bus - 1, 1)] if closed else [])]
        plan, system, _ = _random_system(n_bus, edges, np.random.default_rng(5))
        jaxpr = jax.make_jaxpr(lambda *x: _solutions(linear_solver(plan, CPUBlocks()), x[:2], x[2]))(
            *system, np.ones((2, n_bus - 1))
        )
        return [one.primitive.name for one in operations(jaxpr)]

    assert program(12) == program(120)


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_the_number_of_levels_grows_like_a_logarithm_on_a_feeder(n):
    feeder = {i: {j for j in (i - 1, i + 1) if 0 <= j < n} for i in range(n)}
    levels, _ = eliminate(feeder)
    assert sorted(i for level in levels for i in level) == list(range(n))
    assert len(levels) <= 2 * math.log2(n)


def test_no_two_buses_of_a_level_are_neighbours():
    n_bus, edges = GRAPHS["mesh"]
    graph = {i: set() for i in range(n_bus)}
    for f, t in edges:
        graph[f].add(t)
        graph[t].add(f)
    levels, _ = eliminate({i: set(js) for i, js in graph.items()})
    for level in levels:
        assert all(j not in graph[i] for i in level for j in level)
        for i in level:
            around = graph.pop(i)
            for a in around:
                graph[a] = (graph[a] | around) - {a, i}


def test_gathered_sums_equal_sums_over_the_lists():
    rng = np.random.default_rng(2)
    lists = [list(rng.integers(0, 6, size)) for size in (0, 1, 3, 4, 5, 17)]
    source = rng.normal(size=(6, 2))
    expected = np.array([source[row].sum(0) if row else np.zeros(2) for row in lists])
    np.testing.assert_allclose(gather_sum(GatherSum.build(lists), jnp.asarray(source)), expected, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sine_and_cosine_of_half_an_angle_are_exact_to_a_unit_in_the_last_place(dtype):
    x = np.concatenate([np.linspace(-7, 7, 20001), np.random.default_rng(3).uniform(-1e3, 1e3, 20000)])
    x = x.astype(dtype)
    half = x.astype(np.longdouble) / 2
    sine, cosine = (np.asarray(y, np.longdouble) for y in jax.jit(half_angle)(x))
    # Whole turns of the angle may change both signs.
    sign = np.where(sine * np.sin(half) + cosine * np.cos(half) > 0, 1, -1)
    np.testing.assert_array_equal(sign[np.abs(x) < np.pi], 1)
    assert np.abs(sign * sine - np.sin(half)).max() < np.finfo(dtype).eps
    assert np.abs(sign * cosine - np.cos(half)).max() < np.finfo(dtype).eps
