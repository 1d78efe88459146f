"""``solve_qp`` with data of any size, bounds far from binding among them, and data that are no numbers."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.qp import solve_qp

INF, NAN = np.inf, np.nan
P, Q = np.eye(2), np.array([1.0, -2.0])
BOX = np.concatenate([np.eye(2), -np.eye(2)])
BOUNDS = [1.5, 1e2, 1e4, 1e6, 1e8, 1e10, 1e15, 1e20, 1e29, 1e30, INF]
SCALES = [1e-12, 1e-6, 1.0, 1e6, 1e12]
# What is not given: the box with one equality that says nothing.
PLAIN = {"P": P, "q": Q, "A": np.zeros((1, 2)), "b": [0], "G": BOX, "h": [1, 1, 1, 1], "w": [INF] * 4}
# All tests share one compiled program, hence its number of lanes: what is left over solves PLAIN.
LANES = 128


class Solver(NamedTuple):
    """Solves cases, each what differs from ``PLAIN``, in one type of number."""

    dtype: type
    compiled: jax.stages.Wrapped

    def __call__(self, cases):
        """The solutions, and the derivatives of x by q and by h."""
        rows = [PLAIN | case for case in cases] + [PLAIN] * (LANES - len(cases))
        with np.errstate(over="ignore"):  # 1e30 times 1e12 is beyond float32
            data = [
                jnp.asarray(np.array([row[name] for row in rows], float).astype(self.dtype)) for name in PLAIN
            ]
        out = jax.tree.map(lambda leaf: np.asarray(leaf)[: len(cases)], self.compiled(*data))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(out))
        (by_q, by_h, _), solution = out
        return solution, by_q, by_h


@pytest.fixture(scope="module", params=[np.float64, pytest.param(np.float32, marks=pytest.mark.slow)])
def solved(request):
    def one(P, q, A, b, G, h, w):
        def x(q, h, G):
            solution = solve_qp(P, q, A, b, G, h, violation_cost=w)
            return solution.x, solution

        return jax.jacrev(x, (0, 1, 2), has_aux=True)(q, h, G)

    return Solver(request.param, jax.jit(jax.vmap(one)))


# min |x|^2 / 2 + x1 - 2 x2 with x2 <= 0.5 and nothing else that binds: x = (-1, 0.5), and by the conditions
# of optimality z2 = 2 - 0.5 = 1.5, dx/dq = (-1, 0) on the diagonal, dx2/dh2 = 1.
def far_bounds(scale=1.0, size=1.0, w=INF):
    s = np.array([1, scale, 1 / scale, scale])
    return [
        {"q": Q * size, "G": BOX * s[:, None], "h": np.array([B, 0.5, B, B]) * s * size, "w": [w] * 4}
        for B in BOUNDS
    ]


@pytest.mark.slow
def test_bounds_of_any_size_change_nothing(solved):
    # x as small as 1e-6 is good to what the tolerance is of terms of size one, hence only up from there.
    cases, sizes = [], []
    for scale in SCALES:
        cases += far_bounds(scale)
        sizes += [1.0] * len(BOUNDS)
    for size in (1e-2, 1e3, 1e6):
        cases += far_bounds(size=size)
        sizes += [size] * len(BOUNDS)
    for w in (10.0, 1e6):
        cases += far_bounds(w=w)
        sizes += [1.0] * len(BOUNDS)
    solution, by_q, by_h = solved(cases)
    size = np.array(sizes)[:, None]
    assert np.all(solution.converged)
    assert not np.any(solution.infeasible | solution.unbounded)
    # Ten times the tolerance of residuals, 1e-9 and 1e-4.
    rtol = 1e-8 if solved.dtype == np.float64 else 1e-3
    np.testing.assert_allclose(np.asarray(solution.x, float) / size, np.tile([-1, 0.5], (len(size), 1)), rtol)
    np.testing.assert_allclose(by_q, np.tile([[-1, 0], [0, 0]], (len(size), 1, 1)), atol=2e-3)
    # A bound that counts as none has no derivative at all, others of 1e8 and more none to speak of.
    none = np.array([c["h"] for c in cases])[:, [0, 3]] >= 1e30
    assert np.all(by_h[:, 0, [0, 3]][none] == 0)


# One number far larger than the others. With x2 <= 0.5 in each, the answer is by hand that of two variables
# apart: x1 = -q1 / P11 within its bounds, x2 = min(-q2, 0.5).
def one_large(v):
    return [
        ({"q": [v, -2], "h": [INF, 0.5, INF, INF]}, (-v, 0.5)),
        ({"q": [v, -2], "h": [1e29, 0.5, 1e29, 1e29]}, (-v, 0.5)),
        ({"q": [v, -2], "h": [1, 0.5, 1, 1]}, (-1, 0.5)),
        ({"q": [1, -v], "h": [INF, 0.5, INF, INF]}, (-1, 0.5)),
        ({"P": np.diag([1 / v, 1]), "h": [INF, 0.5, INF, INF]}, (-v, 0.5)),
        ({"P": np.diag([v, 1]), "h": [INF, 0.5, INF, INF]}, (-1 / v, 0.5)),
        ({"h": [INF, 0.5, -v, INF]}, (v, 0.5)),  # x1 >= v
        ({"h": [INF, INF, -v, INF]}, (v, 2)),
    ]


def objective(case, x):
    """Of x in float64."""
    P, q = (np.asarray((PLAIN | case)[name], float) for name in "Pq")
    return x @ P @ x / 2 + q @ x


@pytest.mark.long
def test_one_large_number_beside_small_ones_is_never_a_proof(solved):
    # In float32 squares of 1e20 are beyond the largest number.
    sizes = [1e3, 1e6, 1e8, 1e10, 1e15] + [1e20, 1e25] * (solved.dtype == np.float64)
    cases, known = zip(*(pair for v in sizes for pair in one_large(v)), strict=True)
    solution, _, _ = solved(cases)
    assert not np.any(solution.infeasible | solution.unbounded)
    assert np.all(solution.converged)
    # What is promised of the objective, and that no constraint is violated by more than its rounding.
    tol = 1e-8 if solved.dtype == np.float64 else 1e-4
    for case, x, best in zip(cases, np.asarray(solution.x, float), known, strict=True):
        optimum = objective(case, np.array(best, float))
        assert abs(objective(case, x) - optimum) <= tol * (1 + abs(optimum)), (case, x)
        assert np.all(BOX @ x - case["h"] <= tol * (1 + np.abs(BOX @ x))), (case, x)
    # Up to 1e6, in float32 1e3, the small variable is right as well: its share of the objective is above
    # rounding. What is left of x2 is the root of the rounding of v^2, beside a dual of 1.5.
    small = len(one_large(1)) * (2 if solved.dtype == np.float64 else 1)
    np.testing.assert_allclose(
        solution.x[:small], known[:small], atol=1e-5 if tol == 1e-8 else 1e-2, rtol=tol
    )


@pytest.mark.slow
def test_an_objective_beyond_the_largest_number_is_not_converged_and_nothing_else(solved):
    v = 1e20 if solved.dtype == np.float32 else 1e160
    # Not x1 >= v: a bound of 1e30 and more is infinite.
    cases = [{"q": [v, -2], "h": [INF, 0.5, INF, INF]}, {"P": np.eye(2) / v, "q": [1, -2], "h": [INF] * 4}]
    cases += [{"P": np.eye(2) / v / 1e5, "q": [v, v], "h": [INF] * 4}]  # x alone is beyond it
    solution, by_q, _ = solved(cases)
    assert not np.any(solution.infeasible | solution.unbounded)
    assert not by_q[~solution.converged].any()


def test_soft_inequalities_are_never_a_contradiction(solved):
    # x1 <= -v at a cost of 10 a unit: x1 = -11 by hand, 10 more than the -1 that the objective asks for.
    sizes = [1e3, 1e4, 1e6, 1e8, 1e10, 1e15, 1e20]
    cases = [{"h": [-v, 0.5, INF, INF], "w": w} for v in sizes for w in ([10, INF, INF, INF], [10] * 4)]
    solution, _, _ = solved(cases)
    assert not np.any(solution.infeasible | solution.unbounded)
    assert np.all(solution.converged[:4])
    rtol = 1e-6 if solved.dtype == np.float64 else 1e-2
    np.testing.assert_allclose(solution.x[:4], np.tile([-11, 0.5], (4, 1)), rtol)
    # Farther off it may miss, but says so: x1 costs 10 (x1 + 11) and more, of an objective of about 10 v.
    tol, far = 1e-8 if solved.dtype == np.float64 else 1e-4, np.repeat(sizes, 2)
    off = np.abs(np.asarray(solution.x, float) - [-11, 0.5]).max(1)
    assert np.all((off**2 / 2 <= tol * (1 + 10 * far))[solution.converged])


def test_a_program_without_end_is_called_so(solved):
    # Along (0, 1) the objective falls for ever: no curvature, x1 = -1 or far out, and nothing in the way.
    flat = np.diag([1.0, 0.0])
    cases = [{"P": flat, "q": [q, -1], "h": [INF, INF, 1, 1]} for q in (0, 1, 1e2)]
    cases += [{"P": 0 * flat, "q": [1, -1], "h": [INF, INF, 1, 1]}]
    cases += [{"P": np.ones((2, 2)), "q": [1, -1], "h": [INF] * 4}]  # along (-1, 1)
    solution, by_q, _ = solved(cases)
    assert np.all(solution.unbounded)
    assert not np.any(solution.converged | solution.infeasible)
    assert not by_q.any()


def test_data_that_are_no_numbers_never_converge(solved):
    bad = []
    for value in (NAN, INF):
        bad += [{"P": P * [[value, 1], [1, 1]]}, {"q": Q * [value, 1]}, {"b": [value]}]
        G = BOX.copy()
        G[0, 0] = value
        bad += [{"A": [[value, 0]]}, {"G": G}]
    bad += [{"h": [NAN, 1, 1, 1]}]
    solution, by_q, by_h = solved(bad)
    assert not np.any(solution.converged | solution.infeasible | solution.unbounded)
    assert not by_q.any()
    assert not by_h.any()


@pytest.mark.slow
def test_a_bound_of_minus_infinity_is_infeasible(solved):
    impossible = [{"h": [1, -INF, 1, 1]}, {"h": [1, -1e30, 1, 1]}, {"h": [1, -INF, 1, 1], "w": [5.0] * 4}]
    impossible += [{"h": [-1e10, 1, 0, 1]}, {"h": [1, 1, -1e10, 1]}]  # x1 <= -1e10 and x1 >= 0 or so
    impossible += [{"G": 0 * BOX, "h": [-1, 1, 1, 1]}]  # 0 <= -1
    solution, by_q, _ = solved(impossible)
    assert np.all(solution.infeasible)
    assert not np.any(solution.converged | solution.unbounded)
    assert not by_q.any()


@pytest.mark.slow
def test_slopes_of_large_programs_are_not_lost(solved):
    # x = -q without constraints: dx/dq = -1 at any size of q.
    free = [{"q": Q * size, "h": [INF] * 4} for size in (1e-6, 1.0, 1e5, 1e10)]
    solution, by_q, _ = solved(free)
    np.testing.assert_allclose(solution.x, [-case["q"] for case in free], rtol=1e-5)
    np.testing.assert_allclose(by_q, np.tile(-np.eye(2), (4, 1, 1)), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64", "float8_e4m3fn"])
@pytest.mark.parametrize("name", ["P", "h", "violation_cost"])
def test_other_kinds_of_number_are_refused_by_name(name, dtype):
    given = {"P": P, "q": Q, "G": BOX, "h": np.ones(4), "violation_cost": np.ones(4)}
    given[name] = jnp.asarray(given[name]).astype(dtype)
    with pytest.raises(ValueError, match=f"{name} has dtype {dtype}, expected float32, float64 or whole"):
        solve_qp(**given)


def test_no_lanes_and_no_rows_have_no_answers():
    def of(q):
        return solve_qp(jnp.eye(2), q, jnp.zeros((0, 2)), jnp.zeros(0), jnp.zeros((0, 2)), jnp.zeros(0)).x

    assert jax.vmap(jax.grad(lambda q: of(q).sum()))(jnp.zeros((0, 2))).shape == (0, 2)
    assert jax.vmap(jax.vmap(of))(jnp.zeros((3, 0, 2))).shape == (3, 0, 2)
