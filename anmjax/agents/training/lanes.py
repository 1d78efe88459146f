"""Lanes: how the lanes of a training are shared out over devices, seen from one of them."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

_Tree = TypeVar("_Tree")


class Lanes(NamedTuple):
    """Sums and means over the lanes of all devices, and this device's share of them.

    Inside ``jax.shard_map`` each device holds an equal run of consecutive lanes; elsewhere all are here.
    """

    axis_name: str | None  # mesh axis that the lanes are shared out over; None: all lanes are here

    @property
    def num_shares(self) -> int:
        """Devices that the lanes are shared out over."""
        return 1 if self.axis_name is None else jax.lax.axis_size(self.axis_name)

    def own(self, tree: _Tree) -> _Tree:
        """This device's share of arrays with a leading axis over all lanes, or runs of lanes."""
        axis_name = self.axis_name
        if axis_name is None:
            return tree

        def share(x: jax.Array) -> jax.Array:
            size = x.shape[0] // self.num_shares
            return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(axis_name) * size, size)

        return jax.tree.map(share, tree)

    def mean(self, tree: _Tree) -> _Tree:
        """Mean over all devices, of real arrays of one dtype; one exchange, however many arrays."""
        if self.axis_name is None:
            return tree
        flat, unravel = ravel_pytree(tree)
        return unravel(jax.lax.pmean(flat, self.axis_name))

    def sum(self, tree: _Tree) -> _Tree:
        """Sum over all devices."""
        return tree if self.axis_name is None else jax.lax.psum(tree, self.axis_name)

    def keys(self, key: jax.Array, num_lanes: int) -> jax.Array:
        """PRNG keys of this device's ``num_lanes`` lanes, (num_lanes,): a lane has the same on any device."""
        first = 0 if self.axis_name is None else jax.lax.axis_index(self.axis_name) * num_lanes
        return jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(num_lanes, dtype=jnp.int32))

    def minibatches(self, key: jax.Array, num_lanes: int, num_minibatches: int) -> jax.Array:
        """Splits this device's lanes into minibatches, (num_minibatches, num_lanes / num_minibatches).

        Of every ``num_minibatches`` consecutive lanes, each minibatch has one, drawn at random: so every
        device has an equal part in each minibatch, and the minibatches are the same on any number of devices.
        """
        keys = self.keys(key, num_lanes // num_minibatches)
        orders = jax.vmap(lambda key: jax.random.permutation(key, num_minibatches))(keys)
        first = num_minibatches * jnp.arange(len(keys), dtype=orders.dtype)
        return (first[:, None] + orders).T
