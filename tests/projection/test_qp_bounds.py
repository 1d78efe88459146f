"""``solve_qp`` with bounds of any size, rows of any scale, and data that are no numbers."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.projection import solve_qp

INF, NAN = np.inf, np.nan
P, Q = np.eye(2), np.array([1.0, -2.0])
BOX = np.concatenate([np.eye(2), -np.eye(2)])
BOUNDS = [1.5, 1e2, 1e4, 1e6, 1e8, 1e10, 1e15, 1e20, 1e29, 1e30, INF]
SCALES = [1e-12, 1e-6, 1.0, 1e6, 1e12]


@functools.cache
def solver():
    """Solution and the derivatives of x in q, h and G of one program with hard and soft rows, batched."""

    def one(P, q, A, b, G, h, w):
        def x(q, h, G):
            solution = solve_qp(P, q, A, b, G, h, violation_cost=w)
            return solution.x, solution

        return jax.jacrev(x, (0, 1, 2), has_aux=True)(q, h, G)

    return jax.jit(jax.vmap(one))


def solved(cases, dtype):
    """All cases at once; each gives what differs from the box with one equality that says nothing."""
    plain = {"P": P, "q": Q, "A": np.zeros((1, 2)), "b": [0], "G": BOX, "h": [1, 1, 1, 1], "w": [INF] * 4}
    rows = [plain | case for case in cases]
    with np.errstate(over="ignore"):  # 1e30 times 1e12 is beyond float32
        data = [jnp.asarray(np.array([row[name] for row in rows], float).astype(dtype)) for name in plain]
    (by_q, by_h, by_G), solution = solver()(*data)
    finite = [np.isfinite(leaf).all() for leaf in jax.tree.leaves((solution, by_q, by_h, by_G))]
    assert all(finite)
    return solution, np.asarray(by_q), np.asarray(by_h)


# min |x|^2 / 2 + x1 - 2 x2 with x2 <= 0.5 and nothing else that binds: x = (-1, 0.5), and by the conditions
# of optimality z2 = 2 - 0.5 = 1.5, dx/dq = (-1, 0) on the diagonal, dx2/dh2 = 1.
def issue(scale=1.0, size=1.0, w=INF):
    s = np.array([1, scale, 1 / scale, scale])
    return [
        {"q": Q * size, "G": BOX * s[:, None], "h": np.array([B, 0.5, B, B]) * s * size, "w": [w] * 4}
        for B in BOUNDS
    ]


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-8), (np.float32, 1e-3)])
def test_bounds_of_any_size_change_nothing(dtype, rtol):
    # x as small as 1e-6 is good to what the tolerance is of terms of size one, hence only up from there.
    cases, sizes = [], []
    for scale in SCALES:
        cases += issue(scale)
        sizes += [1.0] * len(BOUNDS)
    for size in (1e-2, 1e3, 1e6):
        cases += issue(size=size)
        sizes += [size] * len(BOUNDS)
    for w in (10.0, 1e6):
        cases += issue(w=w)
        sizes += [1.0] * len(BOUNDS)
    solution, by_q, by_h = solved(cases, dtype)
    size = np.array(sizes)[:, None]
    assert np.all(solution.converged)
    assert not np.any(solution.infeasible | solution.unbounded)
    np.testing.assert_allclose(np.asarray(solution.x, float) / size, np.tile([-1, 0.5], (len(size), 1)), rtol)
    np.testing.assert_allclose(by_q, np.tile([[-1, 0], [0, 0]], (len(size), 1, 1)), atol=2e-3)
    # A bound that counts as none has no derivative at all, others of 1e8 and more none to speak of.
    none = np.array([c["h"] for c in cases])[:, [0, 3]] >= 1e30
    assert np.all(by_h[:, 0, [0, 3]][none] == 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_data_that_are_no_numbers_never_converge(dtype):
    bad = []
    for value in (NAN, INF):
        bad += [{"P": P * [[value, 1], [1, 1]]}, {"q": Q * [value, 1]}, {"b": [value]}]
        G = BOX.copy()
        G[0, 0] = value
        bad += [{"A": [[value, 0]]}, {"G": G}]
    bad += [{"h": [NAN, 1, 1, 1]}]
    solution, by_q, by_h = solved(bad, dtype)
    assert not np.any(solution.converged | solution.infeasible | solution.unbounded)
    assert not by_q.any()
    assert not by_h.any()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_bound_of_minus_infinity_is_infeasible(dtype):
    impossible = [{"h": [1, -INF, 1, 1]}, {"h": [1, -1e30, 1, 1]}, {"h": [1, -INF, 1, 1], "w": [5.0] * 4}]
    impossible += [{"h": [-1e10, 1, 0, 1]}, {"h": [1, 1, -1e10, 1]}]  # x1 <= -1e10 and x1 >= 0 or so
    impossible += [{"G": 0 * BOX, "h": [-1, 1, 1, 1]}]  # 0 <= -1
    solution, by_q, _ = solved(impossible, dtype)
    assert np.all(solution.infeasible)
    assert not np.any(solution.converged | solution.unbounded)
    assert not by_q.any()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_slopes_of_large_programs_are_not_lost(dtype):
    # x = -q without constraints: dx/dq = -1 at any size of q.
    free = [{"q": Q * size, "h": [INF] * 4} for size in (1e-6, 1.0, 1e5, 1e10)]
    solution, by_q, _ = solved(free, dtype)
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
