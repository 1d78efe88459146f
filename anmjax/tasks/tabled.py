"""TabledTask: what tasks have in common whose loads and potentials stand in a table."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from anmjax.envs.env import ANMEnv


class TabledTask(ANMEnv):
    """A task that follows ``tables``, with a factor of its own for every load and generator."""

    tables: jax.Array  # (n_steps, n_load + n_generator) MW, loads, then generators, each by id
    # (n_load + n_generator,) factors of the columns; None: all 1. ``anmjax.randomise`` draws them.
    scale: jax.Array | None

    def rows(self, row: jax.Array) -> jax.Array:
        """What the table says at some rows, (.., n_load + n_generator) MW.

        Args:
          row: (..) rows of ``tables``.
        """
        found = self.tables[row]
        return found if self.scale is None else found * jnp.broadcast_to(self.scale, found.shape)
