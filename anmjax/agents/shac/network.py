"""The policy of the short-horizon actor-critic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from anmjax.agents.layers import MLP
from anmjax.agents.scaling import stretch, unscale, with_cycles
from anmjax.envs.records import State
from anmjax.envs.spaces import Box
from anmjax.wrappers.running_statistics import RunningStatistics

# Of the Gaussian policy, before squashing: beyond, its samples are all alike, or all at the bounds.
LEAST_LOG_STD, MOST_LOG_STD = -5.0, 2.0


class Actor(nn.Module):
    """Mean of the action before squashing, and its log standard deviation, the same in every state."""

    num_actions: int
    hidden_sizes: Sequence[int]
    layer_norm: bool
    initial_log_std: float | None  # None: the policy is deterministic and has no deviation
    dtype: jnp.dtype | type | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """Maps scaled observations ``(..., n_x)`` to ``(..., num_actions)`` and ``(num_actions,)``."""
        sizes = (*self.hidden_sizes, self.num_actions)
        mean = MLP(sizes, 0.1, self.dtype, activation=nn.silu, layer_norm=self.layer_norm)(x)
        if self.initial_log_std is None:
            return mean, None
        initial = nn.initializers.constant(self.initial_log_std)
        log_std = self.param("log_std", initial, (self.num_actions,), self.dtype)
        return mean, jnp.clip(log_std, LEAST_LOG_STD, MOST_LOG_STD)


@struct.dataclass
class SHACPolicy:
    """What acting needs of a trained agent: network, scaling of observations and actions."""

    params: Any  # of Actor, as flax nests them
    statistics: RunningStatistics  # of the observations
    box: Box  # of the actions
    network: Actor = struct.field(pytree_node=False)
    cycles: tuple[tuple[int, float], ...] = struct.field(pytree_node=False, default=())  # see ``cycles_of``
    observation_clip: float = struct.field(pytree_node=False, default=10.0)
    pass_through: bool = struct.field(pytree_node=False, default=False)

    def __call__(self, key: jax.Array, obs: jax.Array) -> jax.Array:
        """The deterministic action.

        Args:
          key: unused, as other policies draw at random.
          obs: (..., n_obs) observation.

        Returns:
          (..., n_action) action in the task's units.
        """
        mean, _ = self._mean(self.params, self.scale(obs))
        return unscale(self.box, jnp.tanh(mean))

    def act(self, key: jax.Array, state: State) -> jax.Array:
        """The same of a state."""
        return self(key, state.obs)

    def scale(self, obs: jax.Array) -> jax.Array:
        """The observation as the network sees it, (..., n_x)."""
        scaled = self.statistics.normalize(obs, clip=self.observation_clip)
        return with_cycles(obs, scaled, self.cycles)

    def latent(self, params: Any, x: jax.Array, noise: jax.Array) -> jax.Array:
        """The action before it is brought into [-1, 1]: what a gradient step moves.

        Args:
          params: of the network.
          x: (..., n_x) scaled observation.
          noise: (..., n_action) what is added to the action; of a Gaussian policy, before squashing, in its
            deviations.
        """
        mean, log_std = self._mean(params, x)
        if log_std is None:
            return jnp.tanh(mean) + noise
        return mean + jnp.broadcast_to(jnp.exp(log_std), mean.shape) * noise

    def action(self, latent: jax.Array) -> jax.Array:
        """The action, in the task's units, of what ``latent`` gives."""
        if self.network.initial_log_std is not None:
            return unscale(self.box, jnp.tanh(latent))
        if self.pass_through:
            beyond = latent - jnp.clip(latent, -1, 1)
            return stretch(self.box, latent - jax.lax.stop_gradient(beyond))
        return unscale(self.box, latent)

    def entropy(self, params: Any, x: jax.Array, noise: jax.Array) -> jax.Array:
        """An estimate of the entropy of a Gaussian policy's actions in [-1, 1], (...); 0 without a deviation.

        Less the log density at the sample: log det of tanh is 2 (log 2 - u - softplus(-2 u)).
        """
        mean, log_std = self._mean(params, x)
        if log_std is None:
            return jnp.zeros(x.shape[:-1], x.dtype)
        u = mean + jnp.broadcast_to(jnp.exp(log_std), mean.shape) * noise
        squashing = 2 * (jnp.log(2.0).astype(u.dtype) - u - jax.nn.softplus(-2 * u))
        return (jnp.broadcast_to(log_std, u.shape) + squashing).sum(-1)

    def _mean(self, params: Any, x: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        return self.network.apply(params, x)  # type: ignore[return-value]
