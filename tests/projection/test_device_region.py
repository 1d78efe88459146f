"""The projection on device regions: exact, feasible, differentiable, with and without an interior."""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anmjax.projection import DeviceLimits, project_to_device_region, storage_power_limits
from tests.oracle.exact_projection import rational_projection
from tests.projection.regions import Regions, random_regions
from tests.qp.programs import Programs, by_clarabel

N = 4096
MANY = 1_000_000
project = jax.jit(project_to_device_region)


def projected(regions: Regions, dtype: type = np.float64) -> np.ndarray:
    """Projections (n, 2)."""
    return np.stack(project(*regions.arguments(dtype)), axis=-1)


def steepest(regions: Regions) -> np.ndarray:
    """Largest slope of a side of each region, at least one, (n, 1)."""
    return np.abs(regions.inequalities()[0]).max((1, 2))[:, None]


@pytest.fixture(scope="module")
def regions() -> Regions:
    return random_regions(N)


@pytest.fixture(scope="module")
def answers(regions: Regions) -> np.ndarray:
    return projected(regions)


@pytest.fixture(scope="module")
def million() -> Regions:
    return random_regions(MANY, 1)


@pytest.fixture(scope="module")
def million_answers(million: Regions) -> np.ndarray:
    return projected(million)


def test_it_agrees_with_clarabel_through_cvxpy(regions: Regions, answers: np.ndarray) -> None:
    point, normals, bounds = cp.Parameter(2), cp.Parameter((8, 2)), cp.Parameter(8)
    x: Any = cp.Variable(2)
    G, h = regions.inequalities()
    problem = cp.Problem(cp.Minimize(cp.sum_squares(x - point)), [normals @ x <= bounds])
    tolerances = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-12)
    errors = []
    for i in range(0, N, N // 300):
        point.value = np.array([regions.p[i], regions.q[i]])
        normals.value, bounds.value = G[i], np.where(np.isfinite(h[i]), h[i], 1)
        problem.solve(solver="CLARABEL", ignore_dpp=True, warm_start=False, **tolerances)
        assert problem.status in ("optimal", "optimal_inaccurate")
        errors.append(np.abs(x.value - answers[i]).max() / (1 + np.abs(point.value).max()))
    # Where CLARABEL stops: 4e-14 as a rule, 8e-11 at worst on these; regions without interior cost it digits.
    assert np.median(errors) < 1e-12
    assert max(errors) < 1e-8


def test_it_is_exact(regions: Regions, answers: np.ndarray) -> None:
    G, h = regions.inequalities()
    for i in range(0, N, 2):
        there, point = np.isfinite(h[i]), np.array([regions.p[i], regions.q[i]])
        # Every edge and vertex in rational arithmetic; rounding grows with the set-point and the slopes.
        scale = (1 + np.abs(point).max()) * (1 + np.abs(G[i]).max())
        error = np.abs(answers[i] - rational_projection(point, G[i][there], h[i][there])).max()
        assert error <= 1e-13 * scale, (i, error)


def test_a_million_answers_are_feasible_to_rounding(million: Regions, million_answers: np.ndarray) -> None:
    G, h = million.inequalities()
    reached = G[..., 0] * million_answers[:, :1] + G[..., 1] * million_answers[:, 1:]
    assert np.all(reached <= h + 1e-14 * (1 + np.abs(G).max(2)))


def test_a_million_answers_stay_where_they_are(million: Regions, million_answers: np.ndarray) -> None:
    again = projected(Regions(*million_answers.T, million.limits, million.p_low, million.p_high))
    assert np.all(np.abs(again - million_answers) <= 1e-14 * (1 + steepest(million)))


def test_a_million_pairs_come_no_farther_apart(million: Regions, million_answers: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    size = rng.choice([1e-3, 1.0], MANY)
    moved = np.stack([million.p, million.q]) + size * rng.normal(size=(2, MANY))
    distance = np.hypot(*(moved - np.stack([million.p, million.q])))
    other = projected(Regions(*moved, million.limits, million.p_low, million.p_high))
    assert np.all(np.hypot(*(other - million_answers).T) <= distance + 1e-12)


def test_ten_thousand_are_clarabels(million: Regions, million_answers: np.ndarray) -> None:
    every = slice(None, None, MANY // 10_000)
    G, h = (x[every] for x in million.inequalities())
    point, count = np.stack([million.p, million.q], 1)[every], len(h)
    none = np.zeros((count, 0, 2)), np.zeros((count, 0))
    h = np.where(np.isfinite(h), h, 1)
    programs = Programs(np.tile(np.eye(2), (count, 1, 1)), -point, *none, G, h)
    theirs, _ = by_clarabel(programs)
    error = np.abs(theirs - million_answers[every]).max(1) / (1 + np.abs(point).max(1))
    # A region without interior costs CLARABEL digits: it stops 1e-12 from the answer as a rule.
    assert np.median(error) < 1e-12
    assert np.all(error < 1e-8)


def test_points_inside_do_not_move(regions: Regions, answers: np.ndarray) -> None:
    centre = projected(Regions(np.zeros(N), np.zeros(N), regions.limits, regions.p_low, regions.p_high))
    inside = 0.5 * (answers + centre)  # convex: between two points of the region
    again = projected(Regions(*inside.T, regions.limits, regions.p_low, regions.p_high))
    assert np.all(np.abs(again - inside) <= 1e-14 * (1 + steepest(regions)))


def test_float32_is_accurate_to_its_rounding(regions: Regions, answers: np.ndarray) -> None:
    found = projected(regions, np.float32)
    assert found.dtype == np.float32
    slope = steepest(regions)[:, 0]
    scale = 1 + np.maximum(np.abs(regions.p), np.abs(regions.q))
    error = np.abs(found - answers).max(axis=1) / scale
    # A few roundings of 6e-8; a side that rises by tau turns an error of P into one tau times larger of Q.
    assert np.all(error <= 3e-7 * (1 + slope))
    assert np.quantile(error, 0.99) < 3e-7


def test_vmap_equals_the_lanes(regions: Regions, answers: np.ndarray) -> None:
    one = jax.jit(jax.vmap(project_to_device_region))
    np.testing.assert_array_equal(np.stack(one(*regions.arguments()), axis=-1), answers)
    p, q, limits, low, high = regions.arguments()
    lane = DeviceLimits(*(x[:3] for x in limits))
    wide = project_to_device_region(
        jnp.tile(p[:3, None], 5), jnp.tile(q[:3, None], 5), DeviceLimits(*(x[:, None] for x in lane)),
        low[:3, None], high[:3, None],
    )  # fmt: skip
    # Devices by lanes, as the simulator calls it: limits shared by the lanes.
    np.testing.assert_array_equal(np.stack(wide, axis=-1), np.tile(answers[:3, None], (1, 5, 1)))


finite = st.floats(-50, 50, allow_subnormal=False)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    p=finite,
    q=finite,
    bounds=st.lists(
        st.one_of(st.just(None), st.floats(0.0, 3.0, allow_subnormal=False)), min_size=4, max_size=4
    ),
    high=st.floats(0.0, 3.0, allow_subnormal=False),
)
def test_infinite_limits_do_not_bind(p: float, q: float, bounds: list[float | None], high: float) -> None:
    p_max, p_min, q_max, q_min = (
        sign * (np.inf if x is None else x) for x, sign in zip(bounds, (1, -1, 1, -1), strict=True)
    )
    box = DeviceLimits(p_max, p_min, q_max, q_min, p_max, p_min, q_max, q_min)
    limits = DeviceLimits(*(np.full(1, x) for x in box))
    regions = Regions(np.full(1, p), np.full(1, q), limits, np.full(1, -np.inf), np.full(1, high))
    # A rectangle, open on some sides: each coordinate is clipped.
    expected = np.clip(p, p_min, min(high, p_max)), np.clip(q, q_min, q_max)
    np.testing.assert_allclose(projected(regions)[0], expected, rtol=1e-15, atol=0)


def test_one_sided_infinities_keep_the_other_sides_slopes() -> None:
    # P unlimited above (no slope there), sloped on the charging side.
    row = DeviceLimits(np.inf, -1.0, 0.8, -0.8, np.inf, -0.5, 0.2, -0.2)
    limits = DeviceLimits(*(np.full(3, x) for x in row))
    p, q = np.array([-1.0, 40.0, -3.0]), np.array([0.8, 5.0, 0.0])
    found = projected(Regions(p, q, limits, np.full(3, -np.inf), np.full(3, np.inf)))
    # On the line from (-0.5, 0.8) to (-1, 0.2): the foot of the perpendicular from (-1, 0.8).
    direction = np.array([-0.5, -0.6]) / np.hypot(0.5, 0.6)
    foot = np.array([-0.5, 0.8]) + direction * (direction @ np.array([-0.5, 0.0]))
    np.testing.assert_allclose(found, [foot, [40.0, 0.8], [-1.0, 0.0]], rtol=0, atol=1e-15)


def scalar_objective(p: Any, q: Any, limits: DeviceLimits, low: Any, high: Any) -> jax.Array:
    """One number per device (n,), sensitive to both coordinates."""
    p, q = project_to_device_region(p, q, limits, low, high)
    return 0.7 * p + 1.3 * q + 0.4 * p * q


gradient = jax.jit(jax.grad(lambda *args: scalar_objective(*args).sum(), argnums=(0, 1, 2, 3, 4)))
objective = jax.jit(scalar_objective)


def flatten(arguments: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(arguments)]


def test_derivatives_by_every_argument_equal_central_differences_away_from_kinks() -> None:
    regions = random_regions(N, 2, degenerate=False)
    arguments = regions.arguments()
    treedef = jax.tree.structure(arguments)
    values, exact = flatten(arguments), flatten(gradient(*arguments))
    step, kinked = 1e-6, []
    for k, (value, slope) in enumerate(zip(values, exact, strict=True)):
        plus, minus = (
            objective(*jax.tree.unflatten(treedef, [*values[:k], value + h, *values[k + 1 :]]))
            for h in (step, -step)
        )
        middle = objective(*arguments)
        right, left = np.asarray(plus - middle) / step, np.asarray(middle - minus) / step
        # A kink between the two sides: their slopes differ by more than curvature and rounding explain.
        kink = np.abs(right - left) > 1e-3 * (1 + np.abs(right))
        kinked.append(kink.mean())
        central = 0.5 * (right + left)
        # Truncation step^2 f''' (f''' grows with the slopes of narrow sides), rounding 1e-16 / step.
        error = np.abs(central - slope)[~kink]
        assert np.quantile(error / (1 + np.abs(central[~kink])), 0.99) < 1e-7, k
        assert np.all(error < 1e-5 * (1 + np.abs(central[~kink]) ** 2)), k
    # Generators with P- = PMIN sit on a kink in both of these by construction: p_low in max(p_low, p_min).
    assert max(kinked[:2]) < 1e-3


def test_derivatives_are_finite_everywhere(regions: Regions) -> None:
    for part in flatten(gradient(*regions.arguments())):
        assert np.isfinite(part).all()
    # On kinks too: set-points on vertices, on edges, and regions that are a single point.
    on_edge = projected(regions)
    for q_limit in (regions.q, regions.limits.q_max, regions.limits.q_plus):
        for p_limit in (regions.limits.p_plus, regions.limits.p_max, on_edge[:, 0]):
            at = Regions(p_limit, q_limit, regions.limits, regions.p_low, regions.p_high)
            assert all(np.isfinite(part).all() for part in flatten(gradient(*at.arguments())))
    point = Regions(regions.p, regions.q, DeviceLimits(*np.zeros((8, N))), np.zeros(N), np.zeros(N))
    assert all(np.isfinite(part).all() for part in flatten(gradient(*point.arguments())))
    np.testing.assert_array_equal(projected(point), np.zeros((N, 2)))


def test_derivatives_are_finite_with_infinite_limits() -> None:
    rng = np.random.default_rng(3)
    infinite = rng.random((4, N)) < 0.7
    signs = np.array([1, -1, 1, -1])[:, None]
    p_max, p_min, q_max, q_min = signs * np.where(infinite, np.inf, rng.uniform(0, 3, (4, N)))
    limits = DeviceLimits(p_max, p_min, q_max, q_min, p_max, p_min, q_max, q_min)
    p, q = 10 * rng.normal(size=(2, N))
    for part in flatten(gradient(*Regions(p, q, limits, p_min, p_max).arguments())):
        assert np.isfinite(part).all()


def test_the_charge_limits_the_power_of_storage_and_its_derivative_is_exact() -> None:
    soc, soc_max, soc_min, eff = np.array([[0.3, 1.0, 0.2], [1.0] * 3, [0.2] * 3, [0.9, 0.9, 0.5]])
    low, high = storage_power_limits(soc, soc_max, soc_min, eff, 0.25)
    # Charging at `low` for an hour's quarter fills it, discharging at `high` empties it.
    np.testing.assert_allclose(soc - 0.25 * eff * low, soc_max, rtol=1e-15)
    np.testing.assert_allclose(soc - 0.25 * high / eff, soc_min, rtol=1e-15)

    def dispatched(soc: jax.Array, soc_max: jax.Array) -> jax.Array:
        sides = storage_power_limits(soc, soc_max, soc_min, eff, 0.25)
        box = (jnp.full(3, side) for side in (9.0, -9.0, 1.0, -1.0, 9.0, -9.0, 1.0, -1.0))
        return project_to_device_region(
            jnp.array([-8.0, 8.0, -8.0]), jnp.zeros(3), DeviceLimits(*box), *sides
        )[0]

    by_soc, by_max = jax.jacobian(dispatched, argnums=(0, 1))(jnp.asarray(soc), jnp.asarray(soc_max))
    # P = (soc - soc_max) / (dt eff) where charging, eff (soc - soc_min) / dt where discharging.
    np.testing.assert_allclose(by_soc, np.diag([4 / 0.9, 3.6, 8.0]), rtol=1e-14)
    np.testing.assert_allclose(by_max, np.diag([-4 / 0.9, 0.0, -8.0]), rtol=1e-14)
