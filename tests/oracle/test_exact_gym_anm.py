"""The reference itself: its projections are exact, and it is gym-anm again once the context is left."""

from __future__ import annotations

from typing import Any
from unittest import mock

import cvxpy as cp
import numpy as np
import pytest
from gym_anm.envs.anm6_env.anm6_easy import ANM6Easy
from gym_anm.simulator import solve_load_flow
from gym_anm.simulator.components import devices

from tests.oracle import exact_gym_anm as reference
from tests.oracle.exact_projection import polish, project, rational_projection, solve_with_clarabel
from tests.oracle.transitions import transitions

Problem = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    """The (point, G, h) that gym-anm hands to cvxpy on a few random networks."""
    seen: list[Problem] = []

    def watch(point: np.ndarray, G: np.ndarray, h: np.ndarray) -> np.ndarray:
        seen.append((point, G, h))
        return project(point, G, h)

    with mock.patch.object(reference, "project", watch):
        for structure in (1, 5, 12, 20):
            transitions(structure, [0])
    return seen


def test_polished_projections_equal_those_of_rational_arithmetic(problems: list[Problem]) -> None:
    assert len(problems) > 50
    for point, G, h in problems:
        # Set-points reach 30 times the device: rounding is relative to them.
        tolerance = 1e-13 * (1 + np.abs(point).max())
        expected = rational_projection(point, G, h)
        np.testing.assert_allclose(project(point, G, h), expected, rtol=0, atol=tolerance)


def test_a_solver_called_directly_gives_what_it_gives_through_cvxpy(problems: list[Problem]) -> None:
    for point, G, h in problems[::8]:
        x: Any = cp.Variable(2)
        problem = cp.Problem(cp.Minimize(cp.sum_squares(x - point)), [G @ x <= h])
        tolerances = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-12)
        problem.solve(solver="CLARABEL", **tolerances)
        assert problem.status in ("optimal", "optimal_inaccurate")
        # Same program in another standard form: each run stops within its tolerance of the optimum.
        np.testing.assert_allclose(solve_with_clarabel(point, G, h), x.value, rtol=0, atol=1e-6)
        np.testing.assert_allclose(polish(point, G, h, x.value), project(point, G, h), rtol=0, atol=1e-14)


def test_gym_anm_is_restored_after_the_context() -> None:
    def patched() -> tuple[object, ...]:
        flow = solve_load_flow
        return devices.cp, flow._newton_raphson_sparse, flow._dfdx, devices.logger.disabled

    before = patched()
    with reference.exact_gym_anm():
        assert all(now != then for now, then in zip(patched(), before, strict=True))
    assert patched() == before


def test_exact_gym_anm_stays_within_osqp_accuracy_of_the_original() -> None:
    env = ANM6Easy()
    actions = np.random.default_rng(0).uniform(
        0.5 * env.action_space.low, 0.5 * env.action_space.high, (8, 6)
    )
    env.reset(seed=0)
    start = env.state.copy()
    original = [env.step(action)[:2] for action in actions]
    with reference.exact_gym_anm() as log:
        reference.reset_to(env, start)
        exact = [reference.step(env, action) for action in actions]
    assert len(log.num_iters) == 9
    for outcome, (obs, reward) in zip(exact, original, strict=True):
        # OSQP stops at residuals of 1e-5 p.u.: 1e-3 MW, carried from step to step by the state of charge.
        np.testing.assert_allclose(outcome.obs, obs, rtol=0, atol=0.05)
        np.testing.assert_allclose(outcome.reward, reward, rtol=0, atol=0.05)
