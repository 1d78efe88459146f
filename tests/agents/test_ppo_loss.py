"""PPO's loss and what it tells of, against the formulas of the papers written down in NumPy."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.agents.ppo import PPOConfig
from anmjax.agents.ppo.loss import Batch, ppo_loss
from anmjax.agents.training.lanes import Lanes

STEPS, ACTIONS = 64, 3
PLAIN = PPOConfig(
    value_clip=None, normalize_advantages=False, entropy_coefficient=0.03, mean_coefficient=0.07
)
CONFIGS = {
    "plain": PLAIN,
    "values clipped": dataclasses.replace(PLAIN, value_clip=0.2),
    "advantages normalised": dataclasses.replace(PLAIN, normalize_advantages=True),
}


def data() -> tuple[dict[str, np.ndarray], Batch]:
    """What a network gives, and what was collected: many ratios are beyond the clip, on either side."""
    rng = np.random.default_rng(0)
    mean, log_std = rng.normal(size=(STEPS, ACTIONS)), rng.normal(-0.5, 0.2, ACTIONS)
    sample = mean + np.exp(log_std) * rng.normal(size=mean.shape)
    new = {"mean": mean, "log_std": log_std, "value": rng.normal(size=STEPS)}
    old_log_prob = density(mean, log_std, sample) + rng.normal(0, 0.3, STEPS)
    value = new["value"] + rng.normal(0, 0.3, STEPS)
    advantage, target = rng.normal(0.5, 2, STEPS), rng.normal(size=STEPS)
    return new, Batch(np.zeros((STEPS, 1)), sample, old_log_prob, value, advantage, target)


def density(mean: np.ndarray, log_std: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Logarithm of a normal distribution's density, the sum over independent components."""
    z = (sample - mean) / np.exp(log_std)
    return (-0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi)).sum(-1)


def by_hand(new: dict[str, np.ndarray], batch: Batch, config: PPOConfig) -> dict[str, Any]:
    """Schulman et al. (2017), equations 7 and 9; the value's clip as in their code."""
    log_ratio = density(new["mean"], new["log_std"], batch.sample) - batch.log_prob
    ratio, eps, advantage = np.exp(log_ratio), config.clip_epsilon, np.asarray(batch.advantage)
    if config.normalize_advantages:
        advantage = (advantage - advantage.mean()) / advantage.std()
    surrogate = [min(r * a, min(max(r, 1 - eps), 1 + eps) * a) for r, a in zip(ratio, advantage, strict=True)]
    errors = []
    for value, before, target in zip(new["value"], batch.value, batch.target, strict=True):
        error = (value - target) ** 2
        if config.value_clip is not None:
            clipped = before + np.clip(value - before, -config.value_clip, config.value_clip)
            error = max(error, (clipped - target) ** 2)
        errors.append(error / 2)
    # Of a normal distribution: half the logarithm of 2 pi e, and of its deviation.
    entropy = (0.5 * np.log(2 * np.pi * np.e) + new["log_std"]).sum()
    found = {
        "policy_loss": -np.mean(surrogate),
        "value_loss": np.mean(errors),
        "entropy": entropy,
        "kl": np.mean(ratio - 1 - log_ratio),
        "clip_share": np.mean((ratio < 1 - eps) | (ratio > 1 + eps)),
    }
    pull = np.mean([mean @ mean / 2 for mean in new["mean"]])
    loss = found["policy_loss"] + config.value_coefficient * found["value_loss"]
    loss += config.mean_coefficient * pull - config.entropy_coefficient * entropy
    return found | {"loss": loss}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_loss_is_that_of_the_paper(name: str) -> None:
    config = CONFIGS[name]
    new, batch = data()
    expected = by_hand(new, batch, config)
    assert 0.2 < expected["clip_share"] < 0.8

    def apply(params: dict[str, jax.Array], obs: jax.Array) -> tuple[jax.Array, ...]:
        return params["mean"], params["log_std"], params["value"]

    params = jax.tree.map(jnp.asarray, new)
    loss, parts = ppo_loss(params, apply, jax.tree.map(jnp.asarray, batch), config, Lanes(None))
    for key, value in (parts | {"loss": loss}).items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-7, err_msg=key)
