"""brax: its state, and its wrappers around the task."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest

with warnings.catch_warnings():
    # Of jaxopt, which brax imports: that it is no longer maintained.
    warnings.simplefilter("ignore", DeprecationWarning)
    wrap = pytest.importorskip("brax.envs.wrappers.training").wrap

import anmjax
from anmjax.adapters.brax import Env

LIMIT = 2


@pytest.fixture
def plain_promotion():
    """brax counts steps in floats, and adds integers to them."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.usefixtures("plain_promotion")
def test_wrapped_as_its_learners_wrap_it_episodes_are_truncated_and_begin_again() -> None:
    env = Env("ANM6Easy-v0", rescale_actions=False)
    assert (env.observation_size, env.action_size, env.backend) == (18, 6, "anmjax")
    wrapped = wrap(env, episode_length=LIMIT)
    keys = jax.random.split(jax.random.PRNGKey(0), 2)
    first = jax.jit(wrapped.reset)(keys)
    core = anmjax.make("ANM6Easy-v0")
    state = jax.jit(jax.vmap(core.reset))(jax.vmap(jax.random.wrap_key_data)(keys))
    # The same draws, compiled in another program: rounding.
    np.testing.assert_allclose(first.obs, state.obs, rtol=1e-9, atol=1e-9)

    step, core_step = jax.jit(wrapped.step), jax.jit(jax.vmap(core.step))
    action, after = np.full((2, 6), 2.0), first
    for t in range(LIMIT):
        after, state = step(after, action), core_step(state, action)
        np.testing.assert_allclose(after.reward, state.reward, rtol=1e-9)
        np.testing.assert_allclose(after.metrics["e_loss"], state.metrics["e_loss"], rtol=1e-9)
        last = t == LIMIT - 1
        np.testing.assert_array_equal(after.done, [last] * 2)
        np.testing.assert_array_equal(after.info["truncation"], [last] * 2)
        np.testing.assert_allclose(after.obs, first.obs if last else state.obs, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(after.pipeline_state.t, [0, 0])
