"""Generalized advantages against a double loop over their definition, and against SciPy's filter."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from scipy.signal import lfilter

from anmjax.agents.ppo.gae import generalized_advantages

GAMMA, LAMBDA = 0.97, 0.9


def brute_force(reward, value, next_value, terminated, done):
    """A_t = sum over k of (gamma lambda)^k delta_{t+k}, up to the episode's end, term by term."""
    steps, lanes = reward.shape
    advantage = np.zeros_like(reward)
    for lane in range(lanes):
        for t in range(steps):
            weight = 1.0
            for k in range(t, steps):
                future = 0.0 if terminated[k, lane] else GAMMA * next_value[k, lane]
                advantage[t, lane] += weight * (reward[k, lane] + future - value[k, lane])
                weight *= GAMMA * LAMBDA
                if done[k, lane]:
                    break
    return advantage


def test_advantages_equal_a_brute_force_sum_across_terminations_and_truncations():
    rng = np.random.default_rng(1)
    reward, value, next_value = rng.normal(size=(3, 40, 5))
    terminated = rng.random((40, 5)) < 0.1
    done = terminated | (rng.random((40, 5)) < 0.1)
    got = generalized_advantages(
        *map(jnp.asarray, (reward, value, next_value, terminated, done)), gamma=GAMMA, gae_lambda=LAMBDA
    )
    # float64; sums of at most 40 terms of size one.
    np.testing.assert_allclose(got, brute_force(reward, value, next_value, terminated, done), atol=1e-12)


def test_without_ends_and_values_advantages_are_discounted_sums_as_a_linear_filter_gives_them():
    reward = np.random.default_rng(2).normal(size=(100, 1))
    zero, never = jnp.zeros((100, 1)), jnp.zeros((100, 1), bool)
    got = generalized_advantages(jnp.asarray(reward), zero, zero, never, never, gamma=GAMMA, gae_lambda=1.0)
    expected = lfilter([1.0], [1.0, -GAMMA], reward[::-1, 0])[::-1]
    np.testing.assert_allclose(got[:, 0], expected, rtol=1e-12)
