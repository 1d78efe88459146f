"""Gradients through a day of ANM6Easy-v0, by all actions and by the limits of the state of charge.

The power flow is solved to 1e-12 here. At its default tolerance of 1e-5 a lane stops at the first iterate
within it, whose derivative differs from the solution's by as much; and neighbouring points may stop at
different iterates, which no difference quotient survives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax

ENV = anmjax.make("ANM6Easy-v0", tol=1e-12, num_iters=16)
STEPS, STORAGE = 96, 6
# MW and MWh: large enough for rounding (1e-16 of a return of 1e4), small enough for curvature.
STEP = 1e-4


@dataclass(frozen=True)
class Days:
    """Random days: inputs with a leading axis of lanes."""

    actions: np.ndarray  # (n, STEPS, 6) MW, MVAr
    limits: np.ndarray  # (n, 2) MWh, soc_max and soc_min
    hour: np.ndarray  # (n,)
    soc: np.ndarray  # (n,) MWh

    def flat(self) -> np.ndarray:
        """Everything that is differentiated by, (n, 6 STEPS + 2)."""
        return np.concatenate([self.actions.reshape(len(self.hour), -1), self.limits], axis=1)


def random_days(n: int, seed: int, *, idle: float = 0.0) -> Days:
    """From mild actions to the full box (which collapses the grid), storage full, empty or between.

    In a third of the days the battery is one of 5 MWh, emptied and filled all day. At night p_pot of the PV
    is 0. A share ``idle`` of the actions is zero, which is on the kink of the storage's efficiency.
    """
    rng = np.random.default_rng([seed, n])
    high = np.asarray(ENV.action_space.high)
    low = np.asarray(ENV.action_space.low)
    reach = rng.choice([0.2, 0.5, 1.0], n, p=[0.5, 0.3, 0.2])[:, None, None]
    actions = reach * rng.uniform(low, high, (n, STEPS, 6))
    actions[rng.random((n, STEPS)) < idle] = 0.0
    soc_max = rng.choice([100.0, 40.0, 5.0], n)
    soc_min = rng.choice([0.0, 0.1], n) * soc_max
    fill = rng.choice([0.0, 1.0, 0.5], n)
    return Days(
        actions, np.stack([soc_max, soc_min], 1), rng.integers(0, 96, n), soc_min + fill * (soc_max - soc_min)
    )


def day_return(flat: jax.Array, hour: jax.Array, soc: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Discounted return of a day, and whether it ended in a collapse."""
    actions, limits = flat[:-2].reshape(STEPS, 6), flat[-2:] / ENV.network.base_mva
    net = ENV.network
    soc_max, soc_min = net.soc_max.at[STORAGE].set(limits[0]), net.soc_min.at[STORAGE].set(limits[1])
    env = ENV.replace(network=replace(net, soc_max=soc_max, soc_min=soc_min))
    state = env.reset_to(jax.random.key(0), env.start_at(hour, soc[None]))

    def body(carry: tuple[Any, jax.Array], action: jax.Array) -> tuple[tuple[Any, jax.Array], jax.Array]:
        state, discount = carry
        state = env.step(state, action)
        return (state, discount * env.gamma), discount * state.reward

    (state, _), rewards = jax.lax.scan(body, (state, jnp.ones(())), actions)
    return rewards.sum(), state.terminated


gradient = jax.jit(jax.vmap(jax.grad(day_return, has_aux=True)))
value = jax.jit(jax.vmap(day_return))


def slopes_along(days: Days, directions: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Right and left difference quotients along directions (n, d, size), each (n, d)."""
    middle = np.asarray(value(days.flat(), days.hour, days.soc)[0])
    quotients = []
    for sign in (1, -1):
        moved = [days.flat() + sign * step * directions[:, d] for d in range(directions.shape[1])]
        values = [np.asarray(value(flat, days.hour, days.soc)[0]) for flat in moved]
        quotients.append(sign * (np.stack(values, axis=1) - middle[:, None]) / step)
    return quotients[0], quotients[1]


def assert_equal_to_central_differences(days: Days, exact: np.ndarray, most_kinks: float, seed: int) -> None:
    """Compares slopes along soc_max, soc_min and two random directions of all actions, at every smooth day.

    Where the return is smooth the right and left quotient differ by curvature, in proportion to the step;
    a kink within reach of the step shows as a difference that does not halve with it.

    Args:
      days: the days.
      exact: (n, 6 STEPS + 2) their gradients.
      most_kinks: largest share of (day, direction) with a kink.
      seed: of the directions.
    """
    directions = np.random.default_rng(seed).uniform(-1, 1, (len(exact), 4, exact.shape[1]))
    directions[..., -2:] = 0
    directions[:, :2] = np.eye(exact.shape[1])[-2:]
    slope = np.einsum("ni,ndi->nd", exact, directions)
    # Along a direction in which the parts cancel, accuracy is relative to the parts.
    tolerance = (
        1e-5 * np.maximum(abs(slope), 0.01 * np.einsum("ni,ndi->nd", abs(exact), abs(directions))) + 1e-8
    )
    (right, left), (wide_right, wide_left) = (slopes_along(days, directions, h) for h in (STEP / 2, STEP))
    kinked = abs((wide_right - wide_left) - 2 * (right - left)) > tolerance
    error = abs(0.5 * (right + left) - slope)
    worst = np.argwhere((error > tolerance) & ~kinked)
    assert not len(worst), [(i, d, slope[i, d], right[i, d], left[i, d]) for i, d in worst[:5]]
    assert kinked.mean() < most_kinks
    # Most slopes are far better than asked for: 1e-8, what rounding leaves.
    relative = (error / np.maximum(abs(slope), 1e-3))[~kinked]
    assert np.median(relative) < 1e-8


@pytest.mark.long
def test_the_gradient_of_a_day_equals_central_differences() -> None:
    days = random_days(8, 0)
    exact, _ = gradient(days.flat(), days.hour, days.soc)
    assert np.isfinite(exact).all()
    assert (np.abs(exact).max(axis=0) > 0).mean() > 0.5
    assert_equal_to_central_differences(days, np.asarray(exact), 0.1, 1)


@pytest.mark.slow
def test_the_gradients_of_a_thousand_days_are_finite_and_equal_central_differences() -> None:
    # 9 % of these days collapse. 5 % of the slopes are on a kink, most of them along soc_max: a third of the
    # days start full, and there a larger battery can charge at once and a smaller one cannot.
    days = random_days(1000, 2)
    exact, collapsed = gradient(days.flat(), days.hour, days.soc)
    assert np.isfinite(exact).all()
    assert 0.02 < collapsed.mean() < 0.5
    assert_equal_to_central_differences(days, np.asarray(exact), 0.1, 3)
    # And on kinks: a third of the actions exactly zero.
    days = random_days(1000, 4, idle=0.3)
    exact, _ = gradient(days.flat(), days.hour, days.soc)
    assert np.isfinite(exact).all()
