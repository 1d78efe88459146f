"""ANM6Easy-v0 against exact gym-anm: the same starts and actions, compared after every step."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
import pytest
from gym_anm.envs.anm6_env.anm6_easy import ANM6Easy

import anmjax
from tests.oracle.exact_gym_anm import StepOutcome, exact_gym_anm, reset_to, stack, step

NUM_STEPS = 96  # a day


@dataclass(frozen=True)
class Rollouts:
    """Episodes of gym-anm; e episodes of t steps."""

    starts: np.ndarray  # (e, n_state) what the reset is asked for
    first_state: np.ndarray  # (e, n_state) what it gives
    first_obs: np.ndarray  # (e, n_obs)
    actions: np.ndarray  # (t, e, n_action)
    outcomes: StepOutcome  # every field with leading axes (t, e)
    alive: np.ndarray  # (t, e) the step was taken from a state that had not collapsed


def roll_out(num_episodes: int) -> Rollouts:
    """Days of gym-anm: actions from 5 % of the box to all of it, in every fourth day corners of the box."""
    env = ANM6Easy()
    env.reset(seed=0)
    rng = np.random.default_rng(1)
    low, high = env.action_space.low, env.action_space.high
    size = np.linspace(0.05, 1.0, num_episodes)[:, None]
    actions = rng.uniform(size * low, size * high, (NUM_STEPS, num_episodes, low.size))
    corners = np.where(rng.random(actions.shape) < 0.5, low, high)
    actions[:, 3::4] = corners[:, 3::4]
    starts = np.stack([env.init_state() for _ in range(num_episodes)])
    # Storage from empty to full, and with power, so that the reset has to make that possible first.
    starts[:, 14] = np.linspace(0, 100, num_episodes)
    starts[:, [6, 13]] = rng.uniform(-10, 10, (num_episodes, 2))
    first, outcomes = [], []
    alive = np.zeros((NUM_STEPS, num_episodes), bool)
    with exact_gym_anm():
        for e in range(num_episodes):
            first.append(reset_to(env, starts[e]))
            for t in range(NUM_STEPS):
                alive[t, e] = not env.terminated
                outcomes.append(step(env, actions[t, e]))
    first_state, first_obs = (np.stack(x) for x in zip(*first, strict=True))
    by_step = [stack(outcomes[t::NUM_STEPS]) for t in range(NUM_STEPS)]
    return Rollouts(starts, first_state, first_obs, actions, stack(by_step), alive)


@pytest.fixture(scope="module")
def week() -> Rollouts:
    return roll_out(7)


@pytest.fixture(scope="module")
def month() -> Rollouts:
    return roll_out(32)


def run(
    rollouts: Rollouts, dtype: str, **options: str
) -> tuple[anmjax.State, np.ndarray, anmjax.State, np.ndarray]:
    """(first states, their vectors, states after each step, their vectors) of the same episodes."""
    env = anmjax.make("ANM6Easy-v0", dtype=np.dtype(dtype), **options)

    def episodes(starts: jax.Array, actions: jax.Array):  # type: ignore[no-untyped-def]
        vector = jax.vmap(lambda s: env.state_vector(s.grid, s.aux))

        def advance(states: anmjax.State, action: jax.Array):  # type: ignore[no-untyped-def]
            states = jax.vmap(env.step)(states, action)
            return states, (states.replace(key=None), vector(states))

        first = jax.vmap(lambda start: env.reset_to(jax.random.key(0), start))(starts)
        return first.replace(key=None), vector(first), *jax.lax.scan(advance, first, actions)[1]

    return jax.device_get(jax.jit(episodes)(rollouts.starts.astype(dtype), rollouts.actions.astype(dtype)))


def check(rollouts: Rollouts, dtype: str, tolerance: float) -> None:
    """Compares everything; errors are relative to max(|value|, 0.1 p.u.), so 10 MW in the vectors."""
    first, first_vector, states, vectors = run(rollouts, dtype)
    theirs, metrics = rollouts.outcomes, states.metrics
    np.testing.assert_array_equal(states.terminated, theirs.terminated)
    alive = rollouts.alive
    mva = 10.0
    compared = {
        "first state": (first_vector, rollouts.first_state, mva),
        "first observation": (first.obs, rollouts.first_obs, mva),
        "state": (vectors, theirs.state, mva),
        "observation": (states.obs, theirs.obs, mva),
        "reward": (states.reward, theirs.reward, 0.1),
        "e_loss": (metrics["e_loss"][alive], theirs.e_loss[alive], 0.1),
        "penalty": (metrics["penalty"][alive], theirs.penalty[alive], 0.1),
        "voltages": (
            states.grid.v[~theirs.terminated], theirs.grid.v[~theirs.terminated], 1.0
        ),
    }  # fmt: skip
    for name, (ours, reference, scale) in compared.items():
        error = np.abs(ours - reference) / np.maximum(np.abs(reference), scale)
        assert error.max() <= tolerance, f"{name} differs by {error.max():.2e} at {np.argmax(error)}"


def test_the_days_hold_penalties_and_collapses(week: Rollouts) -> None:
    assert week.outcomes.terminated[-1].any()
    assert not week.outcomes.terminated[-1].all()
    assert 0.2 < np.mean(week.outcomes.penalty[week.alive] > 0) < 1


def test_a_week_equals_gym_anm_in_float64(week: Rollouts) -> None:
    # Same Newton iterates, same order of operations: rounding alone, carried over 96 steps by the charge.
    check(week, "float64", 1e-8)


def test_a_week_equals_gym_anm_in_float32(week: Rollouts) -> None:
    # Rounding to 6e-8 of charges, which 96 steps add up, and of voltages, which penalties are 25 times
    # differences of.
    check(week, "float32", 1e-4)


def test_a_reward_of_energy_is_minus_the_loss_of_gym_anm_and_all_else_is_equal(week: Rollouts) -> None:
    _, _, states, vectors = run(week, "float64", reward="energy")
    theirs, alive = week.outcomes, week.alive
    # A collapse is worth what it is worth with the penalty, and nothing comes after it.
    expected = np.where(theirs.terminated, theirs.reward, -theirs.e_loss)
    assert (theirs.reward != expected).mean() > 0.2
    compared = {
        "reward": (states.reward, expected, 0.1),
        "penalty": (states.metrics["penalty"][alive], theirs.penalty[alive], 0.1),
        "state": (vectors, theirs.state, 10.0),
    }
    for name, (ours, reference, scale) in compared.items():
        error = np.abs(ours - reference) / np.maximum(np.abs(reference), scale)
        assert error.max() <= 1e-8, name  # as above


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-8), ("float32", 1e-4)])
def test_a_month_of_two_thousand_transitions_equals_gym_anm(
    month: Rollouts, dtype: str, tolerance: float
) -> None:
    assert month.alive.sum() >= 2000
    assert month.outcomes.terminated[-1].sum() >= 2
    check(month, dtype, tolerance)
