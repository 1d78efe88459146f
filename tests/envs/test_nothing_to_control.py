"""A grid of a slack and a load, on which there is nothing to control, and batches without a lane."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from tests.envs.samples import Feeder, start

NONE = [None] * 9
# 10 MW drawn through 0.01 + 0.1j p.u. on 100 MVA.
GRID = {
    "baseMVA": 100,
    "bus": [[0, 0, 132, 1.0, 1.0], [1, 1, 33, 1.1, 0.999]],
    "device": [[0, 0, 0, None, None, None, *NONE], [1, 1, -1, 0.2, 0, -10, *NONE]],
    "branch": [[0, 1, 0.01, 0.1, 0, 32, 1, 0]],
}


class OnlyALoad(anmjax.ANMEnv):
    """The load draws 10 MW always."""

    def __init__(self) -> None:
        super().__init__(GRID, "state", 0, 1.0, 0.9, 100)

    def init_state(self, key: jax.Array) -> jax.Array:
        return jnp.array([0.0, -10.0, 0.0, -2.0])

    def next_vars(self, key: jax.Array, state: jax.Array) -> jax.Array:
        return jnp.array([-10.0])


@pytest.mark.long
@pytest.mark.parametrize("lanes", [1, 3])
def test_the_safety_layer_passes_the_empty_action_through(lanes: int) -> None:
    env = anmjax.SafeAction(OnlyALoad())
    assert env.action_space.low.shape == (0,)
    states = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), lanes))
    after = jax.vmap(env.step)(states, jnp.zeros((lanes, 0)))
    assert not np.any(after.terminated)
    np.testing.assert_array_equal(after.metrics["safe_distance"], np.zeros(lanes))
    # The limit that no action can meet: |V| = 0.997 of the power flow is below 0.999 and the margin of 2e-3.
    vm = np.abs(after.grid.v[:, 1])
    np.testing.assert_allclose(after.metrics["safe_violation"], 0.999 + 2e-3 - vm, atol=1e-12)


@pytest.mark.long
def test_a_batch_without_a_lane_steps_to_a_batch_without_a_lane() -> None:
    env = Feeder()
    state = jax.vmap(lambda key: env.reset_to(key, start()))(jax.random.split(jax.random.key(0), 0))
    after = jax.vmap(env.step)(state, jnp.zeros((0, 6)))
    assert after.reward.shape == (0,)
    assert jax.vmap(env.step)(after, jnp.zeros((0, 6))).obs.shape == (0, *env.observation_space.low.shape)
