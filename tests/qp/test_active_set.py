"""The dual active set method: its answers and derivatives are those of the interior point method."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.lanes.schedule import AllAtOnce, CPUBlocks
from anmjax.qp.active_set import ActiveSet, Pairs, Program
from anmjax.qp.nearest import nearest
from anmjax.qp.solve_qp import solve_qp

N, ROWS, LANES = 5, 40, 48
PAIRS = Pairs(tuple(range(0, 2 * ROWS, 2)), tuple(range(1, 2 * ROWS, 2)))


def empty(n, dtype):
    zero = jnp.zeros(n, dtype)
    eye = jnp.eye(n, dtype=dtype)
    return ActiveSet(jnp.full(n, -1, jnp.int32), zero, zero, jnp.zeros_like(eye), eye)


def programs(dtype=np.float64):
    """Half the rows soft, of which some contradict each other."""
    rng = np.random.default_rng(3)
    base = rng.normal(size=(LANES, 2 * ROWS, N))
    alpha, beta = rng.normal(size=(2, LANES, ROWS))
    # Hard rows leave x = 0; the soft ones draw it away.
    h = np.concatenate([rng.uniform(0.1, 1, (LANES, ROWS // 2)), rng.uniform(-1, 2, (LANES, ROWS // 2))], 1)
    h[:, 3] = np.inf
    w = np.where(np.arange(ROWS) < ROWS // 2, np.inf, 3.0) * np.ones((LANES, 1))
    c = np.zeros((LANES, N))
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), Program(base, alpha, beta, h, w, c))


def solved(program, schedule=None, num_iters=100):
    return nearest(PAIRS, num_iters, schedule)(program, empty(N, program.c.dtype))


def inside(program):
    """The same by ``solve_qp``."""
    base, alpha, beta, h, w, c = program
    G = alpha[:, None] * base[np.array(PAIRS.first)] + beta[:, None] * base[np.array(PAIRS.second)]
    return solve_qp(jnp.eye(N, dtype=c.dtype), -c, G=G, h=h, violation_cost=w, num_iters=40)


def test_answers_are_those_of_the_interior_point_method():
    ours, reference = (jax.jit(jax.vmap(f))(programs()) for f in (solved, inside))
    assert np.all(ours.converged)
    assert np.all(reference.converged)
    assert (np.asarray(ours.side) < 0).any()
    assert (np.asarray(ours.active.row) >= 0).sum(1).max() > 2
    # The tolerance of the interior point method, on a curvature of one.
    np.testing.assert_allclose(ours.x, reference.x, atol=1e-6)


@pytest.mark.parametrize("schedule", [CPUBlocks(), AllAtOnce()])
def test_answers_do_not_depend_on_the_schedule_nor_on_other_lanes(schedule):
    program = programs()
    every = jax.jit(jax.vmap(lambda one: solved(one, schedule)))(program)
    alone = jax.jit(lambda one: solved(one, schedule))(jax.tree.map(lambda x: x[7], program))
    np.testing.assert_allclose(alone.x, every.x[7], atol=1e-12)
    np.testing.assert_array_equal(alone.side, every.side[7])


def test_in_float32_rows_are_kept_to_its_rounding():
    program = programs(np.float32)
    ours, exact = jax.jit(jax.vmap(solved))(program), jax.jit(jax.vmap(solved))(programs())
    assert np.all(ours.converged)
    # Condition numbers of the active rows are some tens.
    np.testing.assert_allclose(ours.x, exact.x, atol=1e-4)


def test_derivatives_are_those_of_the_interior_point_method():
    program = programs()
    rng = np.random.default_rng(4)
    change = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), program)
    # What is infinite stays so.
    change = change._replace(
        h=jnp.where(jnp.isinf(program.h), 0, change.h), w=jnp.where(jnp.isinf(program.w), 0, change.w)
    )

    def along(f):
        return jax.jit(jax.vmap(lambda p, d: jax.jvp(lambda p: f(p).x, (p,), (d,))[1]))(program, change)

    ours, reference = along(solved), along(inside)
    scale = 1 + np.abs(reference).max(1, keepdims=True)
    np.testing.assert_allclose(ours / scale, reference / scale, atol=1e-5)

    def pulled(f):
        return jax.jit(jax.vmap(jax.grad(lambda p: (f(p).x ** 2).sum())))(program)

    for mine, other in zip(pulled(solved), pulled(inside), strict=True):
        np.testing.assert_allclose(np.where(np.isinf(other), 0, mine), other, atol=1e-4)


@pytest.mark.long
def test_second_derivatives_are_differences_of_first_ones():
    program = jax.tree.map(lambda x: x[5], programs())
    change = jnp.asarray(np.random.default_rng(5).normal(size=program.base.shape))

    def first(t):
        moved = lambda t: program._replace(base=program.base + t * change)  # noqa: E731
        return jax.jvp(lambda t: solved(moved(t)).x, (t,), (1.0,))[1]

    second = jax.jacfwd(first)(0.0)
    step = 1e-5
    difference = (first(step) - first(-step)) / (2 * step)
    np.testing.assert_allclose(second, difference, rtol=1e-5, atol=1e-6)


def test_a_lane_that_runs_out_of_steps_or_has_no_numbers_says_so():
    program = programs()
    few = jax.jit(jax.vmap(lambda one: solved(one, num_iters=1)))(program)
    assert not np.all(few.converged)
    spoilt = program._replace(base=program.base.at[0].set(jnp.nan))
    mixed, whole = (jax.jit(jax.vmap(solved))(x) for x in (spoilt, program))
    np.testing.assert_array_equal(mixed.x[1:], whole.x[1:])
