"""gymnax: its six values and the old five, resets and ends of episodes."""

from __future__ import annotations

import jax
import numpy as np
import pytest

pytest.importorskip("gymnax")

import anmjax
from anmjax.adapters.gymnax import Environment

LIMIT = 2


@pytest.fixture(scope="module")
def env() -> Environment:
    return Environment("ANM6Easy-v0", max_steps_in_episode=LIMIT, rescale_actions=False)


def test_a_reset_and_a_step_are_those_of_the_core(env: Environment) -> None:
    core, key = anmjax.make("ANM6Easy-v0"), jax.random.PRNGKey(3)
    obs, state = env.reset(key)
    expected = jax.jit(core.reset)(jax.random.wrap_key_data(key))
    np.testing.assert_array_equal(obs, expected.obs)
    action = np.full(6, 2.0)
    stepped = env.step(jax.random.key(0), state, action)
    expected = jax.jit(core.step)(expected, action)
    obs, state, reward, terminated, truncated, info = stepped
    # Compiled together with a reset: rounding may differ.
    np.testing.assert_allclose(obs, expected.obs, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(reward, expected.reward, rtol=1e-9)
    assert (bool(terminated), bool(truncated), int(state.time)) == (False, False, 1)
    np.testing.assert_allclose(info["final_observation"], expected.obs, rtol=1e-9, atol=1e-9)

    second = jax.jit(core.step)(expected, action)
    obs, state, _, terminated, truncated, info = env.step(jax.random.key(1), state, action)
    assert (bool(terminated), bool(truncated), int(state.time)) == (False, True, 0)
    np.testing.assert_allclose(info["final_observation"], second.obs, rtol=1e-9, atol=1e-9)
    assert not np.allclose(obs, second.obs)
    assert env.observe(jax.random.key(0), state, None, None).shape == (18,)


def test_legacy_returns_five_values_with_done() -> None:
    env = Environment("ANM6Easy-v0", legacy=True, max_steps_in_episode=1)
    _, state = env.reset(jax.random.key(0))
    obs, state, reward, done, info = env.step(jax.random.key(1), state, np.zeros(6))
    assert bool(done)
    assert int(state.time) == 0
    assert (obs.shape, reward.shape) == ((18,), ())
    assert not np.allclose(obs, info["final_observation"])


def test_spaces_are_those_of_the_task(env: Environment) -> None:
    space = anmjax.make("ANM6Easy-v0").action_space
    ours = env.action_space(env.default_params)
    np.testing.assert_array_equal(ours.low, space.low)
    np.testing.assert_array_equal(ours.high, space.high)
    assert bool(ours.contains(ours.sample(jax.random.key(0))))
    assert env.observation_space(env.default_params).shape == (18,)
    assert (env.name, env.num_actions) == ("ANM6Easy", 6)
    rescaled = Environment("ANM6Easy-v0").action_space()
    np.testing.assert_array_equal(rescaled.high, np.ones(6))
