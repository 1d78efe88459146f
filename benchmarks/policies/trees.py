"""Decision trees as a policy, read from the numbers that a search for trees has found.

TreeC (Ruddick et al., arXiv:2304.08310) makes a tree for every action. n features that are split on, n
thresholds and n + 1 leaves, all from 0 to 1, fill a tree level by level. Its authors' trees for ANM6Easy-v0
are in their repository, EVERGi/treec-paper-results, a file each: ``anm6easy_paper_trees/*/tree_model.txt``.
They are not ours to hand on. ``ANM6Easy-v0_tree_39`` is the best one, shown in figure 4 of the paper.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.envs.protocol import Environment
from anmjax.envs.spaces import Box


@struct.dataclass
class DecisionTrees:
    """One tree an action: observations decide, the leaf that is come to is the action."""

    features: jax.Array  # (n_action, n_split) int, of the observation
    thresholds: jax.Array  # (n_action, n_split), of features within their bounds
    leaves: jax.Array  # (n_action, n_split + 1), within the bounds of the action
    seen: Box  # bounds of observations
    done: Box  # bounds of actions

    def __call__(self, key: jax.Array, obs: jax.Array) -> jax.Array:
        """The action, (n_action,), of an observation, (n_obs,)."""
        features = _within(obs, self.seen.low, self.seen.high)
        value = jax.vmap(_leaf, (0, 0, 0, None))(self.features, self.thresholds, self.leaves, features)
        low, high = self.done.low, self.done.high
        either = 2 * (value - 0.5) * jnp.where(value > 0.5, high, -low)
        return jnp.where(low * high >= 0, low + value * (high - low), either)


def read(path: Path, env: Environment) -> DecisionTrees:
    """The trees of a file.

    Args:
      path: numbers from 0 to 1, separated by commas: of every action in turn n features, n thresholds and
        n + 1 leaves.
      env: the environment they were made for.

    Raises:
      ValueError: the numbers do not make as many such trees as the environment has actions.
    """
    numbers = np.clip(np.array(path.read_text().split(","), float), 0, 0.9999)
    num_actions, num_features = len(env.action_space.low), len(env.observation_space.low)
    size, rest = divmod(len(numbers), num_actions)
    if rest or size % 3 != 1:
        found = f"{len(numbers)} numbers make no {num_actions} trees of 3 n + 1 numbers each"
        raise ValueError(f"{path}: {found}")
    num_splits, rows = size // 3, numbers.reshape(num_actions, size)
    features, thresholds, leaves = np.split(rows, [num_splits, 2 * num_splits], 1)
    return DecisionTrees(
        features=jnp.asarray((features * num_features).astype(int)),
        thresholds=jnp.asarray(thresholds, env.observation_space.low.dtype),
        leaves=jnp.asarray(leaves, env.action_space.low.dtype),
        seen=env.observation_space,
        done=env.action_space,
    )


def _within(x: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """From 0 to 1 between bounds; where they lie on either side of 0, that is at 0.5."""
    either = 0.5 + 0.5 * jnp.where(x > 0, x / jnp.where(high > 0, high, 1), -x / jnp.where(low < 0, low, -1))
    width = high - low
    between = jnp.where(width > 0, (x - low) / jnp.where(width > 0, width, 1), 0)
    return jnp.where(low * high >= 0, between, either)


def _leaf(features: jax.Array, thresholds: jax.Array, leaves: jax.Array, x: jax.Array) -> jax.Array:
    """The leaf of one tree: the nodes below node k are 2 k + 1 and 2 k + 2, splits first, then leaves."""
    num_splits, node = len(features), jnp.zeros((), int)
    for _ in range(int(num_splits).bit_length()):
        at = jnp.minimum(node, num_splits - 1)
        after = 2 * node + jnp.where(x[features[at]] < thresholds[at], 1, 2)
        node = jnp.where(node < num_splits, after, node)
    return leaves[node - num_splits]
