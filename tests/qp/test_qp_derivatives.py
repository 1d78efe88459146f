"""Derivatives of quadratic programs: against central differences, of every order and mode, at kinks."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.qp import solve_qp
from tests.qp.programs import (
    BATCH,
    KINDS,
    SHAPE,
    Programs,
    arrays,
    drawn,
    infeasible,
    solve,
    unbounded,
)


def directions(programs: Programs, argument: int, seed: int) -> Programs:
    """A random change of one argument."""
    change = [np.zeros_like(x) for x in programs]
    change[argument] = np.random.default_rng([seed, argument]).normal(size=programs[argument].shape)
    return Programs(*change)


@jax.jit
def tangent(programs: tuple[jax.Array, ...], change: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    def run(*args: jax.Array) -> tuple[jax.Array, ...]:
        solution = jax.vmap(solve_qp)(*args)
        return solution.x, solution.y, solution.z

    return jax.jvp(run, programs, change)[1]


def check_derivatives(batch: int, shape: tuple[int, int, int]) -> None:
    programs, _ = drawn("regular", batch, shape)
    for argument in range(6):
        change = directions(programs, argument, seed=0)
        step = 1e-5
        ends = [
            solve(*arrays(Programs(*(x + s * d for x, d in zip(programs, change, strict=True)))))
            for s in (step, -step)
        ]
        ours = tangent(arrays(programs), arrays(change))
        for name, own in zip("xyz", ours, strict=True):
            ahead, behind = (np.asarray(getattr(end, name)) for end in ends)
            slope = (ahead - behind) / (2 * step)
            error = np.abs(slope - np.asarray(own)).max(1, initial=0) / (1 + np.abs(slope).max(1, initial=0))
            assert np.all(error <= 1e-6), ("PqAbGh"[argument], name, error.max())


def test_derivatives_by_every_argument_are_central_differences():
    check_derivatives(BATCH, SHAPE)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4, 8, 1), (12, 40, 3), (30, 60, 6), (60, 120, 10)], ids=str)
def test_derivatives_of_a_thousand_are_central_differences(shape):
    check_derivatives(250, shape)


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw", [*KINDS, infeasible, unbounded], ids=lambda draw: getattr(draw, "__name__", draw)
)
def test_derivatives_are_finite_and_zero_without_a_solution(draw):
    rng = np.random.default_rng(5)
    programs = drawn(draw)[0] if isinstance(draw, str) else draw(BATCH, *SHAPE, rng)
    for dtype in (np.float64, np.float32):
        change = arrays(Programs(*(rng.normal(size=x.shape) for x in programs)), dtype)
        ours = tangent(arrays(programs, dtype), change)
        assert all(np.all(np.isfinite(x)) for x in ours)
        if not isinstance(draw, str):
            assert not any(np.any(x) for x in ours)


def test_reverse_mode_is_the_transpose_of_forward_mode():
    programs, _ = drawn("regular")
    args, change = arrays(programs), arrays(directions(programs, 4, seed=1))
    weights = np.random.default_rng(6).normal(size=args[1].shape)
    gradient = jax.jit(jax.grad(lambda *a: (jax.vmap(solve_qp)(*a).x * weights).sum(), tuple(range(6))))(
        *args
    )
    for argument in range(6):
        change = arrays(directions(programs, argument, seed=1))
        forward = (tangent(args, change)[0] * weights).sum()
        np.testing.assert_allclose((gradient[argument] * change[argument]).sum(), forward, rtol=1e-8)


@pytest.mark.slow
def test_second_derivatives_are_differences_of_first_ones():
    programs, _ = drawn("regular", batch=4)
    lane = [x[0] for x in arrays(programs)]

    @jax.jit
    @functools.partial(jax.grad, argnums=0)
    def slope(G: jax.Array) -> jax.Array:
        return (solve_qp(*lane[:4], G, lane[5]).x ** 2).sum()

    change = jnp.asarray(np.random.default_rng(7).normal(size=lane[4].shape))
    ours = jax.jvp(slope, (lane[4],), (change,))[1]
    step = 1e-4
    ends = (slope(lane[4] + step * change) - slope(lane[4] - step * change)) / (2 * step)
    np.testing.assert_allclose(ours, ends, atol=1e-6 * (1 + np.abs(ends).max()))


@pytest.mark.long
def test_a_program_of_constants_compiles():
    args = arrays(drawn("regular", batch=2)[0])
    x = jax.jit(lambda: jax.grad(lambda q: jax.vmap(solve_qp)(args[0], q, *args[2:]).x.sum())(args[1]))()
    assert np.all(np.isfinite(x))


@jax.jit
@jax.value_and_grad
def bounded(q: jax.Array, smoothing: jax.Array) -> jax.Array:
    """The x of min x^2 / 2 + q x, x <= 1, and its derivative by q."""
    one = jnp.ones(1)
    return solve_qp(jnp.ones((1, 1)), q * one, G=jnp.ones((1, 1)), h=one, smoothing=smoothing).x[0]


@pytest.mark.slow
@pytest.mark.parametrize("smoothing", [1e-1, 1e-3])
@pytest.mark.parametrize("q", [-3.0, -1.0, 1.0])
def test_smoothing_gives_the_derivative_of_the_central_path(q, smoothing):
    value, own = bounded(jnp.asarray(q), jnp.asarray(smoothing))
    # On the path x + q + mu / (1 - x) = 0, so dx/dq = -1 / (1 + mu / (1 - x)^2), x the root below 1.
    x = ((1 - q) - np.sqrt((1 + q) ** 2 + 4 * smoothing)) / 2
    np.testing.assert_allclose(own, -1 / (1 + smoothing / (1 - x) ** 2), rtol=1e-6)
    np.testing.assert_allclose(value, min(-q, 1), atol=1e-6)


@pytest.mark.long
def test_at_a_kink_the_derivative_lies_between_those_of_both_sides():
    # The constraint binds exactly where the free minimiser lies.
    _, slope = bounded(jnp.asarray(-1.0), jnp.asarray(0.0))
    assert -1 <= slope <= 0


@pytest.mark.long
def test_the_derivative_by_the_cost_of_a_violation_is_that_of_the_solution_by_hand():
    """min x^2 / 2 - 3 x, x <= 1 soft: x = 3 - z with z the least of the cost and 2."""

    def solution(cost):
        eye = jnp.eye(1)
        found = solve_qp(eye, jnp.full(1, -3.0), None, None, eye, jnp.ones(1), violation_cost=cost)
        return jnp.concatenate([found.x, found.z])

    costs = jnp.array([0.5, 5.0])  # cheaper than its worth: violated, and the multiplier is the cost; kept
    found, tangents = jax.jvp(jax.vmap(solution), (costs,), (jnp.ones(2),))
    np.testing.assert_allclose(found, [[2.5, 0.5], [1.0, 2.0]], rtol=0, atol=1e-9)
    np.testing.assert_allclose(tangents, [[-1.0, 1.0], [0.0, 0.0]], rtol=0, atol=1e-6)
