"""The sparse solver against dense linear algebra, and the shape of its plans."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.powerflow.block_lu import Blocks, factor, solve, solve_transposed
from anmjax.powerflow.gather import gather_sum
from anmjax.powerflow.plan import GatherSum, elimination_levels, solver_plan
from anmjax.powerflow.sincos import sincos

# A path, a hub with more neighbours than a gather sums at once, and a mesh with fill.
GRAPHS = {
    "path": (8, [(i, i + 1) for i in range(7)]),
    "hub": (12, [(0, 1), *((1, i) for i in range(2, 12))]),
    "mesh": (
        9,
        [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (1, 4), (2, 6), (6, 7), (7, 8), (8, 3), (6, 3)],
    ),
}


def _random_system(n_bus, edges, rng):
    plan = solver_plan(n_bus, 0, *(tuple(x) for x in zip(*edges, strict=True)))
    n = plan.n_pq
    dense = np.zeros((n, n, 2, 2))
    dense[np.arange(n), np.arange(n)] = rng.normal(size=(n, 2, 2)) + 8 * np.eye(2)
    for f, t in edges:
        i, a = plan.position[f], plan.position[t]
        if max(i, a) < n:
            dense[i, a], dense[a, i] = rng.normal(size=(2, 2, 2))
    slots = [(i, a) for i, a in _slots(plan)]
    upper = np.stack([dense[i, a] for i, a in slots], -1)
    lower = np.stack([dense[a, i] for i, a in slots], -1)
    diagonal = np.moveaxis(dense[np.arange(n), np.arange(n)], 0, -1)
    return plan, Blocks(diagonal, upper, lower), dense.swapaxes(1, 2).reshape(2 * n, 2 * n)


def _solutions(plan, blocks, rhs):
    factors = factor(plan.levels, blocks)
    return solve(plan.levels, factors, rhs), solve_transposed(plan.levels, factors, rhs)


def _slots(plan):
    first = 0
    for level in plan.levels:
        after = first + level.num_pivots
        for i, a in zip(level.pivot_of_slot, level.target_of_slot, strict=True):
            yield first + int(i), after + int(a)
        first = after


@pytest.mark.parametrize("name", GRAPHS)
def test_solutions_equal_those_of_dense_linear_algebra(name):
    rng = np.random.default_rng(0)
    plan, blocks, dense = _random_system(*GRAPHS[name], rng)
    rhs = rng.normal(size=(2, plan.n_pq))
    x, z = jax.jit(lambda blocks, rhs: _solutions(plan, blocks, rhs))(blocks, rhs)
    # Well-conditioned systems of at most 22 unknowns: rounding only.
    np.testing.assert_allclose(np.ravel(np.asarray(x).T), np.linalg.solve(dense, rhs.T.ravel()), atol=1e-12)
    np.testing.assert_allclose(np.ravel(np.asarray(z).T), np.linalg.solve(dense.T, rhs.T.ravel()), atol=1e-12)


def test_a_batch_solves_every_lane_as_it_would_alone():
    rng = np.random.default_rng(1)
    systems = [_random_system(*GRAPHS["mesh"], rng) for _ in range(3)]
    plan = systems[0][0]
    batch = Blocks(*(np.stack(x, -1) for x in zip(*(s[1] for s in systems), strict=True)))
    rhs = rng.normal(size=(2, plan.n_pq, 3))
    run = jax.jit(lambda blocks, rhs: _solutions(plan, blocks, rhs))
    together = run(batch, rhs)
    for lane, (_, blocks, _) in enumerate(systems):
        for all_lanes, alone in zip(together, run(blocks, rhs[..., lane]), strict=True):
            # Compilers contract products and sums differently for different shapes.
            np.testing.assert_allclose(all_lanes[..., lane], alone, atol=1e-14)


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_the_number_of_levels_grows_like_a_logarithm_on_a_feeder(n):
    feeder = {i: {j for j in (i - 1, i + 1) if 0 <= j < n} for i in range(n)}
    levels = elimination_levels(feeder)
    assert sorted(i for level in levels for i in level) == list(range(n))
    assert len(levels) <= 2 * math.log2(n)


def test_no_two_buses_of_a_level_are_neighbours():
    n_bus, edges = GRAPHS["mesh"]
    graph = {i: set() for i in range(n_bus)}
    for f, t in edges:
        graph[f].add(t)
        graph[t].add(f)
    for level in elimination_levels(graph):
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
def test_sine_and_cosine_are_exact_to_a_unit_in_the_last_place(dtype):
    x = np.concatenate([np.linspace(-7, 7, 20001), np.random.default_rng(3).uniform(-1e3, 1e3, 20000)])
    x = x.astype(dtype)
    for ours, exact in zip(jax.jit(sincos)(x), (np.sin, np.cos), strict=True):
        error = np.asarray(ours, np.longdouble) - exact(x.astype(np.longdouble))
        assert np.abs(error).max() < np.finfo(dtype).eps
