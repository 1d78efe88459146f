"""jax-envelope: its own wrappers around a task. It needs Python 3.12."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax import adapters

wrappers = pytest.importorskip("envelope.wrappers")

LIMIT, LANES = 3, 4


def test_an_episode_is_that_of_the_core_and_ends_as_its_wrappers_end_it() -> None:
    env = adapters.envelope.Envelope.of("ANM6Easy-v0", rescale_actions=False)
    core = anmjax.make("ANM6Easy-v0")
    assert env.action_space.shape == core.action_space.shape
    np.testing.assert_array_equal(env.observation_space.high, core.observation_space.high)
    wrapped = wrappers.AutoResetWrapper(env=wrappers.TruncationWrapper(env=env, max_steps=LIMIT))
    wrapped = wrappers.VmapWrapper(env=wrapped, batch_size=LANES)
    state, info = jax.jit(wrapped.init)(jax.random.key(0))
    # The wrapper resets by keys of its own: the core follows from the states that it drew.
    inner = state.inner_state.inner_state
    action = jnp.broadcast_to(env.action_space.sample(jax.random.key(1)), (LANES, *core.action_space.shape))
    step, core_step = jax.jit(wrapped.step), jax.jit(jax.vmap(core.step))
    for t in range(LIMIT):
        state, info = step(state, action)
        inner = core_step(inner, action)
        np.testing.assert_allclose(info.reward, inner.reward, rtol=1e-9)
        np.testing.assert_array_equal(info.truncated, [t == LIMIT - 1] * LANES)
        np.testing.assert_array_equal(info.terminated, [False] * LANES)
    np.testing.assert_allclose(info.final.obs, inner.obs, rtol=1e-9, atol=1e-9)
    assert not np.allclose(info.obs, inner.obs)  # of the next episode
    np.testing.assert_allclose(info.final.metrics["e_loss"], inner.metrics["e_loss"], rtol=1e-9)


def test_grids_may_differ_from_lane_to_lane() -> None:
    keys = jax.random.split(jax.random.key(0), LANES)
    core = anmjax.make("ANM6Easy-v0")
    envs = jax.vmap(lambda key: adapters.envelope.Envelope.of(anmjax.randomise(core, key, impedance=0.2)))(
        keys
    )
    states, _ = jax.vmap(lambda env, key: env.init(key))(envs, keys)
    actions = jnp.zeros((LANES, *core.action_space.shape))
    _, info = jax.jit(jax.vmap(lambda env, state, action: env.step(state, action)))(envs, states, actions)
    assert len(np.unique(info.reward)) == LANES


def test_actions_are_rescaled_unless_told_otherwise() -> None:
    env = adapters.envelope.Envelope.of("ANM6Easy-v0")
    np.testing.assert_array_equal(env.action_space.low, -1)
    with pytest.raises(ValueError, match="dtype is an option of named tasks"):
        adapters.envelope.Envelope.of(env.env, dtype=jnp.float32)
