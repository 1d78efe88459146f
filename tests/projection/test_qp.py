"""Quadratic programs: against CLARABEL and known solutions, flags, lanes, derivatives, errors."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.projection import dense, interior_point, solve_qp
from anmjax.projection.equilibrate import equilibration, scale
from anmjax.projection.interior_point import Problem
from tests.projection.programs import Programs, by_clarabel, infeasible, solvable, unbounded

KINDS = ("regular", "strict", "semidefinite", "linear", "degenerate", "scaled")
SHAPE = (8, 20, 3)  # variables, inequalities, equalities
BATCH = 60

solve = jax.jit(jax.vmap(solve_qp))


def drawn(kind: str, batch: int = BATCH, shape: tuple[int, int, int] = SHAPE) -> tuple[Programs, np.ndarray]:
    return solvable(kind, batch, *shape, np.random.default_rng([KINDS.index(kind), *shape]))


def arrays(programs: Programs, dtype: Any = np.float64) -> tuple[jax.Array, ...]:
    return tuple(jnp.asarray(x, dtype) for x in programs)


def check_optimal(
    kind: str, batch: int, shape: tuple[int, int, int], converged: float = 1.0, solved_by_both: float = 0.9
) -> None:
    """Objectives and constraints of a batch in float64, beside the known solution and CLARABEL's."""
    programs, x = drawn(kind, batch, shape)
    solution = solve(*arrays(programs))
    ours, known = programs.objective(np.asarray(solution.x)), programs.objective(x)
    assert np.mean(solution.converged) >= converged
    assert np.all(np.abs(ours - known) <= 1e-8 * (1 + np.abs(known)))
    size = 1 + np.abs(np.concatenate([programs.b, programs.h], 1)).max(1)
    assert np.all(programs.violation(np.asarray(solution.x)) <= 1e-8 * (size if kind == "scaled" else 1))
    theirs, verdicts = by_clarabel(programs, tol=1e-9)
    solved = np.array([verdict == "Solved" for verdict in verdicts])
    assert solved.mean() > solved_by_both
    theirs = programs.objective(theirs)
    assert np.all((np.abs(ours - theirs) <= 1e-8 * (1 + np.abs(theirs)))[solved])


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_clarabels_optimum(kind):
    check_optimal(kind, BATCH, SHAPE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [(2, 4, 0), (4, 8, 1), (8, 39, 2), (14, 40, 3), (24, 60, 6), (60, 120, 10)], ids=str
)
@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_clarabels_optimum_of_ten_thousand(kind, shape):
    # With 60 variables and many solutions either solver may stop short of 1e-9 and say so: 14 % of the
    # semidefinite programs here, 81 % of the linear ones there. Objectives are compared on all the same.
    check_optimal(kind, 340, shape, converged=0.85, solved_by_both=0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_is_good_to_four_digits(kind):
    programs, x = drawn(kind)
    solution = solve(*arrays(programs, np.float32))
    ours, known = programs.objective(np.asarray(solution.x, float)), programs.objective(x)
    error = np.abs(ours - known) / (1 + np.abs(known))
    assert solution.x.dtype == np.float32
    assert np.all(error <= 1e-4)
    assert np.mean(solution.converged) >= 0.95
    # Rounding of rows whose terms are up to 1e3 times those of the others.
    assert np.all(programs.violation(np.asarray(solution.x, float)) <= (1e-2 if kind == "scaled" else 1e-4))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("draw", [infeasible, unbounded])
def test_programs_without_a_solution_are_flagged_and_finite(draw, dtype):
    programs = draw(BATCH, *SHAPE, np.random.default_rng(0))
    _, verdicts = by_clarabel(programs)
    assert set(verdicts) == {"PrimalInfeasible" if draw is infeasible else "DualInfeasible"}
    solution = solve(*arrays(programs, dtype))
    assert not np.any(solution.converged)
    # One in a hundred unbounded ones may go unproved in single precision.
    assert np.mean(solution.infeasible if draw is infeasible else solution.unbounded) >= 0.98
    assert not np.any(solution.unbounded if draw is infeasible else solution.infeasible)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(solution))


def test_a_lane_without_a_solution_leaves_all_others_bitwise_the_same():
    programs, _ = drawn("degenerate")
    hopeless = infeasible(BATCH, *SHAPE, np.random.default_rng(1))
    endless = unbounded(BATCH, *SHAPE, np.random.default_rng(2))
    which = np.arange(BATCH) % 3
    mixed = Programs(
        *(
            np.where(
                (which == 0).reshape(-1, *[1] * (x.ndim - 1)),
                x,
                np.where((which == 1).reshape(-1, *[1] * (x.ndim - 1)), y, z),
            )
            for x, y, z in zip(programs, hopeless, endless, strict=True)
        )
    )
    alone, beside = solve(*arrays(programs)), solve(*arrays(mixed))
    for x, y in zip(jax.tree.leaves(alone), jax.tree.leaves(beside), strict=True):
        np.testing.assert_array_equal(np.asarray(x)[which == 0], np.asarray(y)[which == 0])


def test_the_number_of_steps_is_fixed():
    programs, _ = drawn("strict")
    jaxpr = jax.make_jaxpr(functools.partial(solve_qp, num_iters=7))(*(x[0] for x in arrays(programs)))
    loops = [line for line in str(jaxpr).splitlines() if "length=7" in line]
    assert loops


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_any_nesting_of_vmap_gives_the_same(batch):
    programs, _ = drawn("strict")
    whole = solve(*arrays(programs))
    count = int(np.prod(batch))
    own = functools.reduce(lambda f, _: jax.vmap(f), batch, solve_qp)
    part = own(*(x[:count].reshape(*batch, *x.shape[1:]) for x in arrays(programs)))
    for x, y in zip(jax.tree.leaves(part), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(
            # Lanes are summed in another order; where a step ends is right to about 1e-8.
            np.asarray(x, float).reshape(count, *y.shape[1:]),
            np.asarray(y[:count], float),
            atol=1e-7,
        )


def test_constraints_may_be_absent():
    (P, q, A, b, G, h), _ = drawn("strict")
    lane = [jnp.asarray(x[0]) for x in (P, q, A, b, G, h)]
    free = solve_qp(*lane[:2])
    np.testing.assert_allclose(free.x, -np.linalg.solve(P[0], q[0]), rtol=1e-10)
    assert free.converged
    assert free.y.shape == free.z.shape == (0,)
    on_plane = solve_qp(*lane[:4])
    kkt = np.block([[P[0], A[0].T], [A[0], np.zeros((3, 3))]])
    x, y = np.split(np.linalg.solve(kkt, np.concatenate([-q[0], b[0]])), [8])
    np.testing.assert_allclose(on_plane.x, x, rtol=1e-9)
    np.testing.assert_allclose(on_plane.y, y, rtol=1e-9)
    half_spaces = solve_qp(*lane[:2], G=lane[4], h=lane[5])
    theirs, _ = by_clarabel(Programs(P[:1], q[:1], A[:1, :0], b[:1, :0], G[:1], h[:1]))
    np.testing.assert_allclose(half_spaces.x, theirs[0], atol=1e-9)


def test_an_infinite_bound_is_no_bound():
    (P, q, A, b, G, h), _ = drawn("regular")
    left_out = np.arange(h.shape[1]) % 2 == 0
    endless = solve(*arrays(Programs(P, q, A, b, G, np.where(left_out, np.inf, h))))
    shorter, _ = by_clarabel(Programs(P, q, A, b, G[:, ~left_out], h[:, ~left_out]))
    np.testing.assert_allclose(endless.x, shorter, atol=1e-7)
    assert np.all(np.asarray(endless.z)[:, left_out] == 0)
    assert np.all(endless.converged)


def test_soft_inequalities_are_those_of_a_program_with_violations_as_variables():
    programs = infeasible(BATCH, *SHAPE, np.random.default_rng(3))
    n, m, _ = SHAPE
    cost = np.random.default_rng(4).uniform(0.5, 5, (BATCH, m))
    cost[:, ::3] = np.inf
    soft = np.isfinite(cost)
    soft[:, : n + 1] = True  # the contradictory ones
    cost = np.where(soft & ~np.isfinite(cost), 1.0, cost)
    ours = jax.vmap(lambda *a: solve_qp(*a[:-1], violation_cost=a[-1]))(*arrays(programs), jnp.asarray(cost))
    assert np.all(ours.converged)

    zeros, eye = np.zeros((BATCH, m, n)), np.broadcast_to(np.eye(m), (BATCH, m, m))
    hard = np.where(soft, 0, 1)[..., None] * eye  # no violation of hard ones: t <= 0
    wider = Programs(
        np.pad(programs.P, [(0, 0), (0, m), (0, m)]),
        np.concatenate([programs.q, np.where(soft, cost, 0)], 1),
        np.pad(programs.A, [(0, 0), (0, 0), (0, m)]),
        programs.b,
        np.concatenate(
            [
                np.concatenate([programs.G, -eye], 2),
                np.concatenate([zeros, -eye], 2),
                np.concatenate([zeros, hard], 2),
            ],
            1,
        ),
        np.concatenate([programs.h, np.zeros((BATCH, 2 * m))], 1),
    )
    theirs, _ = by_clarabel(wider, tol=1e-11)
    np.testing.assert_allclose(ours.x, theirs[:, :n], atol=1e-6)
    np.testing.assert_array_less(np.asarray(ours.z), cost + 1e-9)


def test_a_high_cost_of_violation_is_a_hard_inequality():
    programs, _ = drawn("regular")
    soft = jax.vmap(lambda *a: solve_qp(*a, violation_cost=1e4))(*arrays(programs))
    np.testing.assert_allclose(soft.x, solve(*arrays(programs)).x, atol=1e-8)


def test_both_kinds_of_algebra_make_the_same_steps():
    programs, _ = drawn("strict", batch=16)
    problem = Problem(*(jnp.moveaxis(jnp.asarray(x), 0, -1) for x in programs), None)
    problem = scale(equilibration(problem.P, problem.q, problem.A, problem.G), problem)
    run = functools.partial(interior_point.minimise, problem=problem, num_iters=6, refinements=1)
    (ours, _), (theirs, _) = jax.jit(lambda: (run(dense.loops), run(dense.whole)))()
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.z, theirs.z, rtol=1e-6, atol=1e-9)


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


@pytest.mark.parametrize("smoothing", [1e-1, 1e-3])
@pytest.mark.parametrize("q", [-3.0, -1.0, 1.0])
def test_smoothing_gives_the_derivative_of_the_central_path(q, smoothing):
    value, own = bounded(jnp.asarray(q), jnp.asarray(smoothing))
    # On the path x + q + mu / (1 - x) = 0, so dx/dq = -1 / (1 + mu / (1 - x)^2), x the root below 1.
    x = ((1 - q) - np.sqrt((1 + q) ** 2 + 4 * smoothing)) / 2
    np.testing.assert_allclose(own, -1 / (1 + smoothing / (1 - x) ** 2), rtol=1e-6)
    np.testing.assert_allclose(value, min(-q, 1), atol=1e-6)


def test_at_a_kink_the_derivative_lies_between_those_of_both_sides():
    # The constraint binds exactly where the free minimiser lies.
    _, slope = bounded(jnp.asarray(-1.0), jnp.asarray(0.0))
    assert -1 <= slope <= 0


ARGUMENTS = {
    "P": np.eye(2),
    "q": np.ones(2),
    "A": np.ones((1, 2)),
    "b": np.ones(1),
    "G": np.ones((3, 2)),
    "h": np.ones(3),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": np.eye(3)}, r"P has shape \(3, 3\), expected \(2, 2\)"),
        ({"q": np.ones((2, 1))}, r"q has shape \(2, 1\), expected \(n,\)"),
        ({"A": np.ones((1, 3))}, r"A has shape \(1, 3\), expected \(rows, 2\)"),
        ({"b": np.ones(2)}, r"b has shape \(2,\), expected \(1,\)"),
        ({"G": None}, "G and h go together"),
        ({"h": np.ones(2)}, r"h has shape \(2,\), expected \(3,\)"),
        ({"violation_cost": np.ones(2)}, r"violation_cost has shape \(2,\), expected \(3,\)"),
        ({"num_iters": -1}, "num_iters is -1, expected a number, not negative"),
        ({"num_iters": 2.5}, "num_iters is 2.5, expected a whole number"),
        ({"refinements": 0.5}, "refinements is 0.5, expected a whole number"),
        ({"tol": -1e-3}, "tol is -0.001, expected a number, not negative"),
        ({"smoothing": -1.0}, "smoothing is -1.0, expected a number, not negative"),
        ({"smoothing": np.ones(2)}, r"smoothing has shape \(2,\), expected \(\)"),
    ],
)
def test_what_is_wrong_with_an_argument_is_said(change, message):
    with pytest.raises(ValueError, match=message):
        solve_qp(**{**ARGUMENTS, **change})
