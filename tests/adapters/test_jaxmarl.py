"""JaxMARL: its environment over the agents of a task, and its own log of episodes."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

with warnings.catch_warnings():
    # Of jaxopt, which its brax environments import: that it is no longer maintained.
    warnings.simplefilter("ignore", DeprecationWarning)
    pytest.importorskip("jaxmarl")

import anmjax
from anmjax.adapters.jaxmarl import Env

LIMIT = 2


def test_episodes_are_those_of_the_core_and_end_together() -> None:
    env = Env("ANM6Easy-v0", rescale_actions=False, max_steps=LIMIT)
    core = anmjax.TimeLimit(anmjax.make("ANM6Easy-v0"), max_steps=LIMIT)
    obs, state = env.reset(jax.random.PRNGKey(1))
    expected = jax.jit(core.reset)(jax.random.wrap_key_data(jax.random.PRNGKey(1)))
    assert list(obs) == env.agents == ["device_2", "device_4", "device_6"]
    step, total = jax.jit(core.step), 0.0
    for t in range(LIMIT):
        actions = {agent: jnp.full(2, 2.0) for agent in env.agents}
        obs, state, rewards, dones, infos = env.step(jax.random.PRNGKey(t), state, actions)
        expected = step(expected, jnp.full(6, 2.0))
        for agent in env.agents:
            # Compiled together with a reset: rounding.
            np.testing.assert_allclose(rewards[agent], expected.reward, rtol=1e-9)
        np.testing.assert_allclose(infos["final_obs"], expected.obs, rtol=1e-9, atol=1e-9)
        total += float(rewards["device_2"])
        assert bool(dones["__all__"]) == (t == LIMIT - 1)
    assert infos["truncated"].tolist() == [True] * 3
    assert int(state.step) == 0
    assert not np.allclose(state.core.obs, infos["final_obs"])
    for agent in env.agents:
        assert obs[agent].shape == env.observation_space(agent).shape
        assert env.action_space(agent).shape == (2,)
