"""gym-anm's sample tasks run vmapped, and each of their transitions is gym-anm's for the same draws."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gym_anm.envs.anm6_env.network import network as anm6_network
from gym_anm.envs.anm_env import ANMEnv as GymANMEnv

from anmjax import ANMEnv
from tests.oracle.exact_gym_anm import exact_gym_anm, reset_to, step
from tests.tasks.ported import TWO_BUSES, RandomProfiles, SimpleEnvironment

LANES, STEPS = 4, 12


class Fed(GymANMEnv):
    """The same task in gym-anm, fed with drawn variables."""

    def next_vars(self, s_t: np.ndarray) -> np.ndarray:
        """The next of the drawn variables."""
        return next(self.draws)


@functools.cache
def run(task: type[ANMEnv]) -> tuple[Any, ...]:
    """Starts, drawn variables, random actions and what came of them: (LANES, ...), (LANES, STEPS, ...)."""
    env = task()
    low, high = env.action_space.low, env.action_space.high

    @jax.jit
    @jax.vmap
    def rollout(key: jax.Array) -> tuple[Any, ...]:
        key_reset, key_actions = jax.random.split(key)
        first = env.reset(key_reset)
        actions = jax.random.uniform(key_actions, (STEPS, low.size), minval=0.3 * low, maxval=0.3 * high)

        def body(state: Any, action: jax.Array) -> tuple[Any, Any]:
            after = env.step(state, action)
            drawn = env.next_vars(
                jax.random.fold_in(state.key, state.t), env.state_vector(state.grid, state.aux)
            )
            return after, (drawn, action, after.obs, after.reward, after.terminated)

        return first.obs, *jax.lax.scan(body, first, actions)[1]

    return jax.device_get(rollout(jax.random.split(jax.random.key(0), LANES)))


@pytest.mark.parametrize(
    ("task", "arguments"),
    [
        (SimpleEnvironment, (TWO_BUSES, "state", 1, 0.25, 0.9, 100, np.array([[0, 10]]), (1, 100))),
        (RandomProfiles, (anm6_network, "state", 1, 0.25, 0.995, 100, np.array([[0, 95]]), (1, 100))),
    ],
)
def test_a_ported_task_runs_vmapped_and_equals_gym_anm_on_the_same_draws(
    task: type[ANMEnv], arguments: tuple[Any, ...]
) -> None:
    first, drawn, actions, obs, rewards, terminated = run(task)
    assert not terminated.any()
    assert len(np.unique(rewards)) == rewards.size
    with exact_gym_anm():
        reference = Fed(*arguments)
        for lane in range(LANES):
            reference.draws = iter(drawn[lane])
            # What the start holds is feasible, so that it is its own projection. MW; the slack's power is the
            # power flow's, and both stop Newton at the same iterate.
            state, _ = reset_to(reference, first[lane])
            np.testing.assert_allclose(state, first[lane], rtol=1e-8, atol=1e-8)
            for t in range(STEPS):
                outcome = step(reference, actions[lane, t])
                # MW; both stop Newton at the same iterate.
                np.testing.assert_allclose(obs[lane, t], outcome.obs, rtol=1e-8, atol=1e-8)
                assert float(rewards[lane, t]) == pytest.approx(float(outcome.reward), rel=1e-8, abs=1e-10)


def test_the_draws_have_their_ranges() -> None:
    _, drawn, *_ = run(RandomProfiles)
    assert (drawn.min(axis=(0, 1)) >= [-10, -30, -30, 0, 0, 1]).all()
    assert (drawn.max(axis=(0, 1)) <= [0, 0, 0, 30, 50, STEPS]).all()
    np.testing.assert_array_equal(drawn[:, :, -1], np.tile(np.arange(1, STEPS + 1), (LANES, 1)))
    simple = jax.vmap(lambda key: SimpleEnvironment().next_vars(key, jnp.zeros(5)))
    load, aux = simple(jax.random.split(jax.random.key(1), 500)).T
    assert -10 <= load.min() < -9.5
    assert -0.5 < load.max() <= 0
    assert set(np.asarray(aux).tolist()) == set(range(10))
