"""The two networks of an actor-critic: a Gaussian policy and a value function, which share nothing."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct

from anmjax.agents.layers import MLP
from anmjax.agents.scaling import unscale, with_cycles
from anmjax.envs.records import State
from anmjax.envs.spaces import Box
from anmjax.wrappers.running_statistics import RunningStatistics


class ActorCritic(nn.Module):
    """Policy mean, log standard deviation (the same in every state) and value of an observation.

    The small gain of the last policy layer puts the first actions at the middle of the box.
    """

    num_actions: int
    hidden_sizes: Sequence[int] = (64, 64)
    initial_log_std: float = -1.0
    dtype: jnp.dtype | type | None = None
    compute_dtype: str | None = None  # see MLP
    layer_norm: bool = False  # see MLP

    def setup(self) -> None:
        """Makes both networks; each can be applied without the other."""
        make = functools.partial(
            MLP, dtype=self.dtype, compute_dtype=self.compute_dtype, layer_norm=self.layer_norm
        )
        self.actor = make((*self.hidden_sizes, self.num_actions), 0.01)
        self.critic = make((*self.hidden_sizes, 1), 1.0)
        initial = nn.initializers.constant(self.initial_log_std)
        self.log_std = self.param("log_std", initial, (self.num_actions,), self.dtype)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Maps observations ``(..., n_obs)`` to mean, log_std and value."""
        mean, log_std = self.policy(x)
        return mean, log_std, self.value(x)

    def policy(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean ``(..., num_actions)`` and log standard deviation ``(num_actions,)``."""
        return self.actor(x), self.log_std

    def value(self, x: jax.Array) -> jax.Array:
        """Value ``(...)``."""
        return self.critic(x)[..., 0]


def log_prob(
    mean: jax.Array,
    log_std: jax.Array,
    sample: jax.Array,
    owned: tuple[tuple[int, ...], ...] | None = None,
) -> jax.Array:
    """Log density of ``sample`` under independent normals, summed over the last axis.

    With ``owned``, components of that axis by agent, the sums of each: ``(..., n_agent)``.
    """
    log_std = jnp.broadcast_to(log_std, mean.shape)
    z = (sample - mean) * jnp.exp(-log_std)
    terms = 0.5 * z**2 + log_std + 0.5 * np.log(2 * np.pi)
    if owned is None:
        return -jnp.sum(terms, axis=-1)
    return -jnp.stack([terms[..., np.array(own, int)].sum(-1) for own in owned], -1)


def entropy(log_std: jax.Array) -> jax.Array:
    """Entropy of independent normals, summed over the last axis."""
    return jnp.sum(log_std + 0.5 * np.log(2 * np.pi * np.e), axis=-1)


@struct.dataclass
class Policy:
    """What acting needs of a trained agent: network, scaling of observations and actions."""

    params: Any  # of ActorCritic, as flax nests them
    statistics: RunningStatistics  # of the observations
    box: Box  # of the actions
    network: Any = struct.field(pytree_node=False)  # an ActorCritic, or what has its methods
    observation_clip: float = struct.field(pytree_node=False, default=10.0)
    cycles: tuple[tuple[int, float], ...] = struct.field(pytree_node=False, default=())  # see ``cycles_of``

    def __call__(self, key: jax.Array, obs: jax.Array) -> jax.Array:
        """The deterministic action: the mean of the policy.

        Args:
          key: unused, as other policies draw at random.
          obs: (..., n_obs) observation.

        Returns:
          (..., n_action) action in the task's units.
        """
        mean, _ = self.apply(self.scale(obs), method="policy")
        return unscale(self.box, mean)

    def act(self, key: jax.Array, state: State) -> jax.Array:
        """The same of a state."""
        return self(key, state.obs)

    def sample(self, key: jax.Array, obs: jax.Array) -> jax.Array:
        """An action drawn from the policy, as in training."""
        mean, log_std = self.apply(self.scale(obs), method="policy")
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        return unscale(self.box, mean + jnp.broadcast_to(jnp.exp(log_std), mean.shape) * noise)

    def value(self, obs: jax.Array) -> jax.Array:
        """The learned value, in scaled rewards."""
        return self.apply(self.scale(obs), method="value")

    def scale(self, obs: jax.Array) -> jax.Array:
        """The observation as the network sees it."""
        return with_cycles(obs, self.statistics.normalize(obs, clip=self.observation_clip), self.cycles)

    def apply(self, scaled_obs: jax.Array, *, method: str) -> Any:
        """Calls a method of the network with the parameters."""
        return self.network.apply(self.params, scaled_obs, method=method)
