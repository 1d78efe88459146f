"""The clipped surrogate objective, the value loss and the entropy bonus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from anmjax.agents.ppo.config import PPOConfig
from anmjax.agents.ppo.network import entropy, log_prob
from anmjax.agents.training.lanes import Lanes


@struct.dataclass
class Batch:
    """Collected steps as the loss wants them; any leading axes, the same for every field."""

    obs: jax.Array  # (..., n_obs) scaled observations
    sample: jax.Array  # (..., n_action) scaled actions before clipping to the box
    log_prob: jax.Array  # (...) log density of the sample under the policy that drew it
    value: jax.Array  # (...) value when it was collected
    advantage: jax.Array  # (...)
    target: jax.Array  # (...) return to learn the value from


def ppo_loss(
    params: dict,
    apply: Callable[..., Any],
    batch: Batch,
    config: PPOConfig,
    lanes: Lanes,
    owned: tuple[tuple[int, ...], ...] | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Loss of a minibatch, averaged over its steps.

      -min(r A, clip(r, 1 - eps, 1 + eps) A) + c_v (V - target)^2 / 2 - c_e entropy + c_m |mean|^2 / 2,

    with r the ratio of the densities of the sample under the new and the old policy. The last term pulls the
    mean towards the middle of the box where actions change nothing (an empty battery asked to discharge):
    without a gradient there, it would drift out of reach of the actions that matter.

    Args:
      params: of the network.
      apply: ``ActorCritic.apply``.
      batch: this device's share of the minibatch.
      config: the options.
      lanes: where the other shares are; the mean of all losses is the minibatch's.
      owned: components of the action by agent, where there are several: densities, values and advantages have
        an axis of them, and losses are means over it. None: one has all.

    Returns:
      The loss of this share and, by name, the parts worth watching.

    Reference: Schulman et al., "Proximal policy optimization algorithms", equations 7 and 9.
    """
    mean, log_std, value = apply(params, batch.obs)
    log_ratio = log_prob(mean, log_std, batch.sample, owned) - batch.log_prob
    ratio = jnp.exp(log_ratio)

    advantage = batch.advantage
    if config.normalize_advantages:
        advantage = advantage - lanes.mean(advantage.mean())
        advantage = advantage / (jnp.sqrt(lanes.mean(jnp.square(advantage).mean())) + 1e-8)
    clipped = jnp.clip(ratio, 1 - config.clip_epsilon, 1 + config.clip_epsilon)
    policy_loss = -jnp.minimum(ratio * advantage, clipped * advantage).mean()

    error = (value - batch.target) ** 2
    if config.value_clip is not None:
        near = batch.value + jnp.clip(value - batch.value, -config.value_clip, config.value_clip)
        error = jnp.maximum(error, (near - batch.target) ** 2)
    value_loss = 0.5 * error.mean()

    bonus = entropy(log_std)
    pull = 0.5 * (mean**2).sum(-1).mean()
    loss = policy_loss + config.value_coefficient * value_loss - config.entropy_coefficient * bonus
    loss = loss + config.mean_coefficient * pull
    return loss, {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": bonus,
        # Schulman's estimate of KL(old, new): unbiased as -log_ratio is, never negative, less noisy.
        "kl": ((ratio - 1) - log_ratio).mean(),
        "clip_share": (jnp.abs(ratio - 1) > config.clip_epsilon).astype(ratio.dtype).mean(),
    }
