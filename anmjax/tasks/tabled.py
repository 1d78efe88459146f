"""TabledTask: what tasks have in common whose loads and potentials stand in a table."""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.env import ANMEnv
from anmjax.envs.records import InitialState, State
from anmjax.lanes.gather import take, with_rows
from anmjax.lanes.kernels import evaluated
from anmjax.projection.flexible import served_at_once


class TabledTask(ANMEnv):
    """A task that follows ``tables``, with a factor of its own for every load and generator."""

    tables: jax.Array  # (n_steps, n_load + n_generator) MW, loads, then generators, each by id
    # (n_load + n_generator,) factors of the columns; None: all 1. ``anmjax.randomise`` draws them.
    scale: jax.Array | None

    @abc.abstractmethod
    def hour(self, state: State) -> jax.Array:
        """() h after midnight, the time of day of a state of one lane."""

    def rows(self, row: jax.Array) -> jax.Array:
        """What the table says at some rows, (.., n_load + n_generator) MW.

        Args:
          row: (..) rows of ``tables``.
        """
        found = evaluated(lambda tables, row: tables[row])(self.tables, row)
        return found if self.scale is None else found * jnp.broadcast_to(self.scale, found.shape)

    def profiles_of(self, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Loads and potentials as planners take them, of what the table says in some steps.

        Args:
          rows: (num_steps, n_load + n_generator) MW.

        Returns:
          (n_load, num_steps) and (n_generator, num_steps) p.u., see ``DailyTask.coming_profiles``.
        """
        coming, n_load = rows.T / self.network.base_mva, len(self.network.loads)
        return coming[:n_load], coming[n_load:]

    def drawn_at_once(
        self, state: State, loads_and_potentials: tuple[jax.Array, jax.Array], stay: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        """What ``profiles_of`` says, with flexible loads and chargers served as soon as they can be.

        Args:
          state: of one lane, before these steps.
          loads_and_potentials: (n_load, num_steps), (n_generator, num_steps) p.u., as of ``profiles_of``.
          stay: (n_charger, num_steps) h that cars stay from the beginning of each step; None: no charger.
        """
        net, (p_load, p_potential) = self.network, loads_and_potentials
        if not net.flexible:
            return p_load, p_potential
        which = net.flexible_loads
        owed: Any = state.grid.owed
        stays = jnp.zeros((0, p_load.shape[1]), p_load.dtype) if stay is None else stay
        drawn = served_at_once(net, owed, -take(p_load, which), stays, delta_t=self.delta_t)
        return with_rows(p_load, which, drawn), p_potential

    def started(
        self, row: jax.Array, aux: jax.Array, soc: jax.Array, q: jax.Array | None = None
    ) -> InitialState:
        """A start with generators at their potential and storage units idle.

        Args:
          row: (n_load + n_generator,) MW, what loads draw and generators could give.
          aux: (K,) auxiliary variables.
          soc: (n_storage,) MWh, state of charge.
          q: (n_generator,) MVAr, the generators' reactive power; None: none.
        """
        net = self.network
        loads, generators = np.array(net.loads, int), np.array(net.generators, int)
        p_load, p_max = row[: len(loads)], row[len(loads) :]
        zero = jnp.zeros(net.n_device, net.dtype)
        return InitialState(
            p_dev=zero.at[loads].set(p_load).at[generators].set(p_max),
            q_dev=zero.at[loads].set(p_load * net.qp_ratio[loads]).at[generators].set(0 if q is None else q),
            soc=soc,
            p_max=p_max,
            aux=aux,
        )

    def charges(self, soc_mwh: float | None) -> jax.Array:
        """(n_storage,) MWh, the same charge of every storage unit; None: each half full."""
        net, storage = self.network, np.array(self.network.storage, int)
        if soc_mwh is not None:
            return jnp.full(len(storage), soc_mwh, net.dtype)
        return jnp.asarray(0.5 * (net.soc_min + net.soc_max)[storage] * net.base_mva)
