"""DailyTask: a task whose loads and weather repeat every day by a table."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.records import InitialState, State
from anmjax.grid.network import Network
from anmjax.tasks.profiles import DailyProfiles, load_profiles
from anmjax.tasks.tabled import TabledTask


class DailyTask(TabledTask):
    """Deterministic days: the last auxiliary variable is the time of day, as a row of ``tables``.

    Starts are drawn at a uniform time of day, with loads and potentials from the tables, generators at
    their potential, storage units idle, and whatever ``init_q_and_soc`` draws for the rest.
    """

    def __init__(self, case: str, profiles: DailyProfiles | str, **options: Any) -> None:
        """Builds the task.

        Args:
          case: name or path of the network case.
          profiles: daily tables, or the name or path of their file.
          **options: arguments of ``ANMEnv``; ``observation`` is "state" by default.
        """
        network = Network.from_json(case)
        if not isinstance(profiles, DailyProfiles):
            profiles = load_profiles(profiles, network)
        steps = profiles.p_load.shape[1]
        defaults = {"observation": "state", "delta_t": profiles.step_hours, "aux_bounds": [[0, steps - 1]]}
        super().__init__(network, **{"K": 1, **defaults, **options})
        self.tables = jnp.asarray(np.concatenate([profiles.p_load, profiles.p_max]).T, self.network.dtype)
        self.scale = None

    @property
    def steps_per_day(self) -> int:
        """Number of steps after which the tables repeat."""
        return self.tables.shape[0]

    def hour(self, state: State) -> jax.Array:
        """See ``TabledTask``."""
        return state.aux[-1] * self.delta_t % 24

    @property
    def observation_cycles(self) -> tuple[tuple[int, float], ...]:
        """(index, period) of the cyclic entries of the observation: the time of day, where it is observed.

        Learners see such an entry as sines and cosines. Any environment may have this property.
        """
        if callable(self._observed):
            return ()
        names = [(entry.quantity, row) for entry in self._observed for row in entry.rows]
        return tuple(
            (i, float(self.steps_per_day)) for i, name in enumerate(names) if name == ("aux", self.K - 1)
        )

    def init_state(self, key: jax.Array) -> InitialState:
        """Draws a time of day, generators' Q and the state of charge."""
        key_time, key_rest = jax.random.split(key)
        time = jax.random.randint(key_time, (), 0, self.steps_per_day)
        q, soc = self.init_q_and_soc(key_rest)
        return self.start_at(time, soc, q)

    def init_q_and_soc(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Draws the generators' reactive power, (n_generator,) MVAr, and the charge, (n_storage,) MWh.

        Here no reactive power, and a charge uniform within the units' limits.
        """
        net = self.network
        storage = np.array(net.storage, int)
        low, high = net.soc_min[storage], net.soc_max[storage]
        soc = jax.random.uniform(key, low.shape, low.dtype, low, high)
        return jnp.zeros(len(net.generators), net.dtype), soc * net.base_mva

    def start_at(self, time: jax.Array, soc: jax.Array, q: jax.Array | None = None) -> InitialState:
        """The start at a given time of day.

        Args:
          time: () row of ``tables``, 0 at midnight.
          soc: (n_storage,) MWh, state of charge.
          q: (n_generator,) MVAr, the generators' reactive power; None: none.
        """
        return self.started(self.rows(time), jnp.asarray(time, self.network.dtype)[None], soc, q)

    def next_vars(self, key: jax.Array, state: jax.Array) -> jax.Array:
        """The next row of the tables; ``key`` is not used.

        Raises:
          ValueError: the network has chargers, of whose cars daily tables say nothing.
        """
        if self.network.chargers:
            raise ValueError("daily tables have no cars in them: a grid with chargers asks for a GridTask")
        time = (jnp.round(state[-1]).astype(jnp.int32) + 1) % self.steps_per_day
        return jnp.concatenate([self.rows(time), time.astype(state.dtype)[None]])

    def coming_profiles(self, state: State, num_steps: int) -> tuple[jax.Array, jax.Array]:
        """What the coming steps will bring, for planners; any task that knows may offer this method.

        Args:
          state: current state of a lane.
          num_steps: how many steps.

        Returns:
          (n_load, num_steps) p.u., active power of the loads, those that may wait served at once;
          (n_generator, num_steps) p.u., active power that the non-slack generators could give, as tabled,
          above PMAX or not; both by device id.
        """
        time = jnp.round(state.aux[-1]).astype(jnp.int32)
        coming = (time + 1 + jnp.arange(num_steps, dtype=jnp.int32)) % self.steps_per_day
        return self.drawn_at_once(state, self.profiles_of(self.rows(coming)), None)

    def evaluation_starts(self, soc_mwh: float | None = None) -> InitialState:
        """Starts at every time of day with storage half full.

        These are the starts that policies are compared on.

        Args:
          soc_mwh: MWh, charge of every storage unit; None: half full.

        Returns:
          Starts with a leading axis of ``steps_per_day``.
        """
        times, soc = jnp.arange(self.steps_per_day), self.charges(soc_mwh)
        return jax.vmap(self.start_at, in_axes=(0, None))(times, soc)
