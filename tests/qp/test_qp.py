"""Quadratic programs: against CLARABEL and known solutions, flags, lanes, errors."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.qp import dense, interior_point, solve_qp
from anmjax.qp.equilibrate import equilibration, scale
from anmjax.qp.homogeneous import Problem
from tests.qp.programs import (
    BATCH,
    KINDS,
    SHAPE,
    Programs,
    arrays,
    by_clarabel,
    drawn,
    infeasible,
    solve,
    unbounded,
)

# Variables, inequalities and equalities of the slow tests.
SHAPES = [(2, 4, 0), (4, 8, 1), (8, 39, 2), (14, 40, 3), (24, 60, 6), (60, 120, 10)]


def check_optimal(
    kind: str, batch: int, shape: tuple[int, int, int], solved_by_clarabel: float = 0.9
) -> None:
    """Objectives and constraints of a batch in float64, beside the known solution and CLARABEL's."""
    programs, x = drawn(kind, batch, shape)
    solution = solve(*arrays(programs))
    ours, known = programs.objective(np.asarray(solution.x)), programs.objective(x)
    assert np.all(solution.converged)
    assert np.all(np.abs(ours - known) <= 1e-8 * (1 + np.abs(known)))
    size = 1 + np.abs(np.concatenate([programs.b, programs.h], 1)).max(1)
    assert np.all(programs.violation(np.asarray(solution.x)) <= 1e-8 * (size if kind == "scaled" else 1))
    theirs, verdicts = by_clarabel(programs, tol=1e-9)
    solved = np.array([verdict == "Solved" for verdict in verdicts])
    assert solved.mean() > solved_by_clarabel
    theirs = programs.objective(theirs)
    assert np.all((np.abs(ours - theirs) <= 1e-8 * (1 + np.abs(theirs)))[solved])


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_clarabels_optimum(kind):
    check_optimal(kind, BATCH, SHAPE)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_clarabels_optimum_of_ten_thousand(kind, shape):
    # CLARABEL stops short of 1e-9, and says so, at 81 % of the linear programs of 60 variables.
    check_optimal(kind, 340, shape, solved_by_clarabel=0.15)


def relative_violation(programs: Programs, x: np.ndarray) -> np.ndarray:
    """By how much each program's worst row is violated, over the sum of the row's terms by magnitude."""

    def over_terms(matrix, rhs, excess):
        terms = np.einsum("bij,bj->bi", np.abs(matrix), np.abs(x)) + np.abs(rhs)
        return (excess(np.einsum("bij,bj->bi", matrix, x) - rhs) / terms).max(1, initial=0)

    above = over_terms(programs.G, programs.h, lambda error: np.maximum(error, 0))
    return np.maximum(above, over_terms(programs.A, programs.b, np.abs))


def check_single_precision(kind: str, batch: int, shape: tuple[int, int, int]) -> None:
    """Objectives and constraints of a batch in float32, beside float64 with the same, rounded, data."""
    programs, _ = drawn(kind, batch, shape)
    rounded = Programs(*(x.astype(np.float32).astype(float) for x in programs))
    solution, exact = solve(*arrays(programs, np.float32)), solve(*arrays(rounded))
    ours, known = (rounded.objective(np.asarray(s.x, float)) for s in (solution, exact))
    error = np.abs(ours - known) / (1 + np.abs(known))
    assert solution.x.dtype == np.float32
    assert np.all(error <= 1e-4)
    assert np.mean(solution.converged) >= 0.98
    # Of the terms that each row is made of, which is what ``converged`` promises: where a row that does not
    # bind is 3e-7 from binding, single precision takes it for one that does.
    assert np.all(relative_violation(rounded, np.asarray(solution.x, float)) <= 1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_is_good_to_four_digits(kind):
    check_single_precision(kind, BATCH, SHAPE)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_is_good_to_four_digits_of_ten_thousand(kind, shape):
    check_single_precision(kind, 340, shape)


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


@pytest.mark.long
@pytest.mark.parametrize("batch", [(), (3,), pytest.param((2, 3), marks=pytest.mark.slow)])
def test_any_nesting_of_vmap_gives_the_same(batch):
    programs, _ = drawn("regular")
    whole = solve(*arrays(programs))
    count = int(np.prod(batch))
    own = functools.reduce(lambda f, _: jax.vmap(f), batch, solve_qp)
    part = own(*(x[:count].reshape(*batch, *x.shape[1:]) for x in arrays(programs)))
    for x, y in zip(jax.tree.leaves(part), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(
            np.asarray(x, float).reshape(count, *y.shape[1:]),
            np.asarray(y[:count], float),
            atol=1e-9,
        )


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_cost_far_above_its_worth_changes_nothing(dtype):
    # x = 0 were it not for a soft x >= 100, whose dual is 100: any higher cost makes it hard.
    cost = jnp.asarray([150, 1e3, 1e4, 1e5, 1e6, 1e8, 1e12, 1e25], dtype)
    one = jnp.ones((1, 1), dtype)
    far = jax.vmap(lambda c: solve_qp(one, 0 * one[0], G=-one, h=-100 * one[0], violation_cost=c))(cost)
    assert np.all(far.converged)
    np.testing.assert_allclose(far.x, np.full((8, 1), 100), rtol=1e-5)


def test_both_kinds_of_algebra_make_the_same_steps():
    programs, _ = drawn("strict", batch=16)
    problem = Problem(*(jnp.moveaxis(jnp.asarray(x), 0, -1) for x in programs), None)
    problem = scale(equilibration(problem.P, problem.q, problem.A, problem.G), problem)
    run = functools.partial(interior_point.minimise, problem=problem, num_iters=6, refinements=1)
    (ours, _), (theirs, _) = jax.jit(lambda: (run(dense.loops), run(dense.whole)))()
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.z, theirs.z, rtol=1e-6, atol=1e-9)


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
