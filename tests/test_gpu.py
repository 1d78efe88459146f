"""On a GPU: the same numbers as on the CPU. Run with 'pytest -m gpu'."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax

pytestmark = pytest.mark.gpu
LANES = 4096


def step_on(device: jax.Device, dtype: jnp.dtype, states, actions):
    """One step of the same lanes on a device, computed in a dtype."""
    narrow = {np.dtype(np.float64): dtype, np.dtype(np.complex128): np.result_type(dtype, np.complex64)}

    def cast(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        return leaf.astype(narrow.get(np.dtype(leaf.dtype), leaf.dtype))

    states, actions = jax.device_put(jax.tree.map(cast, (states, actions)), device)
    with jax.default_device(device):
        env = anmjax.make("ANM6Easy-v0", dtype=dtype)
        after = jax.jit(jax.vmap(env.step))(states, actions)
    return jax.device_get((after.reward, after.obs, after.terminated))


@pytest.fixture(scope="module")
def situation():
    """States after one random step, and actions over the whole box, in float64 on the CPU."""
    with jax.default_device(jax.devices("cpu")[0]):
        env = anmjax.make("ANM6Easy-v0", dtype=jnp.float64)
        states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), LANES))
        return states, jax.vmap(env.action_space.sample)(jax.random.split(jax.random.key(1), LANES))


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        (jnp.float64, 1e-8),  # the order of sums differs, and the power flow stops at 1e-5 p.u. squared
        (jnp.float32, 1e-4),  # the accuracy that float32 is held to everywhere
    ],
    ids=["float64", "float32"],
)
def test_a_step_on_the_gpu_agrees_with_the_cpu(situation, dtype, tolerance):
    reward, obs, terminated = step_on(jax.devices("cpu")[0], jnp.float64, *situation)
    got_reward, got_obs, got_terminated = step_on(jax.devices("gpu")[0], dtype, *situation)
    np.testing.assert_array_equal(got_terminated, terminated)
    np.testing.assert_allclose(got_reward, reward, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(got_obs, obs, rtol=tolerance, atol=100 * tolerance)  # MW on a base of 100 MVA
