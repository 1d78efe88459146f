"""Actor-critics side by side: each sees its own part of the observation and owns its part of the action."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from anmjax.agents.ppo.network import ActorCritic


class IndependentActorCritic(nn.Module):
    """A policy and a value function for every agent, which share nothing.

    Together they are one policy of the whole action; values are ``(..., n_agent)``.
    """

    owned: tuple[tuple[int, ...], ...]  # by agent, components of the action; each is of one
    seen: tuple[tuple[int, ...], ...]  # by agent, entries of the scaled observation
    hidden_sizes: Sequence[int] = (64, 64)
    initial_log_std: float = -1.0
    dtype: jnp.dtype | type | None = None
    compute_dtype: str | None = None  # see MLP
    layer_norm: bool = False  # see MLP

    def setup(self) -> None:
        """Makes the networks of all agents."""
        self.agents = [
            ActorCritic(
                len(own),
                self.hidden_sizes,
                self.initial_log_std,
                self.dtype,
                self.compute_dtype,
                self.layer_norm,
            )
            for own in self.owned
        ]

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Maps observations ``(..., n_obs)`` to mean, log_std and values."""
        mean, log_std = self.policy(x)
        return mean, log_std, self.value(x)

    def policy(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean ``(..., num_actions)`` and log standard deviation ``(num_actions,)``."""
        parts = [agent.policy(own) for agent, own in zip(self.agents, self._views(x), strict=True)]
        order = np.argsort(np.concatenate(self.owned))
        mean, log_std = (jnp.concatenate(part, -1)[..., order] for part in zip(*parts, strict=True))
        return mean, log_std

    def value(self, x: jax.Array) -> jax.Array:
        """Values ``(..., n_agent)``."""
        values = [agent.value(own) for agent, own in zip(self.agents, self._views(x), strict=True)]
        return jnp.stack(values, -1)

    def _views(self, x: jax.Array) -> list[jax.Array]:
        return [x[..., np.array(seen, int)] for seen in self.seen]
