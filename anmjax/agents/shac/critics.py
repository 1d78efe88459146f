"""The critics of the short-horizon actor-critic: networks, scale, and what they learn from a window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from anmjax.agents.layers import MLP
from anmjax.agents.shac.config import SHACConfig
from anmjax.agents.training.lanes import Lanes
from anmjax.lanes.varying import as_varying
from anmjax.wrappers.running_statistics import RunningStatistics

# Returns after which their mean and deviation begin to forget: about a hundred windows of the defaults.
RETURN_HORIZON = 3e5


class Critics(nn.Module):
    """Values of a state, one of each critic, in standard deviations of the return from its mean."""

    num_critics: int
    hidden_sizes: Sequence[int]
    layer_norm: bool
    dtype: jnp.dtype | type | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps scaled observations ``(..., n_x)`` to ``(num_critics, ...)``."""
        sizes = (*self.hidden_sizes, 1)
        each = [
            MLP(sizes, 0.1, self.dtype, activation=nn.silu, layer_norm=self.layer_norm)(x)[..., 0]
            for _ in range(self.num_critics)
        ]
        return jnp.stack(each)


def rescaled(params: Any, last_layer: str, old: RunningStatistics, new: RunningStatistics) -> Any:
    """Parameters of critics whose values, in the units of the task, stay the same under other statistics.

    Reference: van Hasselt et al., "Learning values across many orders of magnitude", 2016, proposition 1.
    """
    ratio = old.std() / new.std()
    shift = (old.mean - new.mean) / new.std()

    def layer(entries: dict[str, Any]) -> dict[str, Any]:
        return {
            "kernel": entries["kernel"] * ratio,
            "bias": entries["bias"] * ratio + shift,
        }

    critics = params["params"]
    return {
        "params": {
            name: {part: layer(entries) if part == last_layer else entries for part, entries in mlp.items()}
            for name, mlp in critics.items()
        }
    }


@struct.dataclass
class Values:
    """All of the critics that changes in a training, and their values in the units of the task."""

    params: Any  # of Critics
    slow: Any  # their slow copy, which values the last states of a window
    statistics: RunningStatistics  # () of the targets; values are scaled by it
    optimizer: optax.OptState
    network: Critics = struct.field(pytree_node=False)
    config: SHACConfig = struct.field(pytree_node=False)

    @classmethod
    def create(cls, key: jax.Array, x: jax.Array, config: SHACConfig) -> Values:
        """Critics that have learned nothing; ``x`` (1, n_x) is an observation as they see it."""
        network = Critics(config.num_critics, config.hidden_sizes, config.layer_norm, x.dtype)
        params = network.init(key, x)
        return cls(
            params=params,
            slow=params,
            statistics=RunningStatistics.create((), x.dtype),
            optimizer=_transform(config).init(params),
            network=network,
            config=config,
        )

    def __call__(self, x: jax.Array, over: Callable[..., jax.Array] = jnp.mean) -> jax.Array:
        """Values by the slow copy, ``(..., n_x)`` to ``(...)``, the mean or the least of the critics."""
        each: Any = self.network.apply(self.slow, x)
        return self.statistics.mean + self.statistics.std() * over(each, 0)

    def updated(
        self, x: jax.Array, target: jax.Array, counts: jax.Array, key: jax.Array, lanes: Lanes
    ) -> tuple[Values, jax.Array]:
        """Epochs of gradient steps, each on all the steps of a random share of the lanes.

        Args:
          x: (T, N, n_x) scaled observations.
          target: (T, N) what their values should be.
          counts: (T, N) bool, those to learn from.
          key: PRNG key of the minibatches.
          lanes: where all lanes are, of which these are a share.

        Returns:
          The values after, and the mean squared error, in squared deviations of the targets.
        """
        config, network, transform = self.config, self.network, _transform(self.config)
        target = jnp.where(counts, target, self.statistics.mean)
        statistics = self.statistics.update(target, max_count=RETURN_HORIZON, axis_name=lanes.axis_name)
        # The first statistics are of nothing.
        old = jax.tree.map(
            lambda a, b: jnp.where(self.statistics.count > 0, a, b), self.statistics, statistics
        )
        last_layer = f"Dense_{len(config.hidden_sizes)}"
        params, slow = (rescaled(each, last_layer, old, statistics) for each in (self.params, self.slow))
        scaled = (target - statistics.mean) / statistics.std()
        num_lanes, num_minibatches = target.shape[1], config.num_minibatches

        def descend(carry: tuple[Any, optax.OptState], chosen: jax.Array) -> Any:
            params, optimizer = carry
            inputs, wanted, known = (
                leaf[:, chosen].reshape(-1, *leaf.shape[2:]) for leaf in (x, scaled, counts)
            )

            def loss(params: Any) -> jax.Array:
                values: Any = network.apply(params, inputs)
                return jnp.where(known, jnp.square(values - wanted[None]).sum(0), 0).mean()

            value, gradient = lanes.mean(jax.value_and_grad(loss)(as_varying(params, inputs)))
            updates, optimizer = transform.update(gradient, optimizer, params)
            return (optax.apply_updates(params, updates), optimizer), value / config.num_critics

        keys = jax.random.split(key, config.num_epochs)
        chosen = jax.vmap(lambda key: lanes.minibatches(key, num_lanes, num_minibatches))(keys)
        chosen = chosen.reshape(-1, num_lanes // num_minibatches)
        (params, optimizer), losses = jax.lax.scan(descend, (params, self.optimizer), chosen)
        rate = config.target_rate
        slow = jax.tree.map(lambda a, b: (1 - rate) * a + rate * b, slow, params)
        after = replace(self, params=params, slow=slow, statistics=statistics, optimizer=optimizer)
        return after, losses.mean()


def _transform(config: SHACConfig) -> optax.GradientTransformation:
    return optax.adam(config.critic_learning_rate)
