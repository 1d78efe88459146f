"""GridTask: a task on a grid and profiles of one's own."""

from __future__ import annotations

import dataclasses
import inspect
import math
import warnings
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.env import ANMEnv
from anmjax.envs.pytree import PyTree
from anmjax.envs.records import InitialState, State
from anmjax.grid.network import Network
from anmjax.grid.phase_shifts import without_level_shifts
from anmjax.tasks.calendar import features_of, parts_of
from anmjax.tasks.limits import MissingLimitsWarning, warn_of_missing_limits, with_limits_of
from anmjax.tasks.processes.noise import BOUND, Noise
from anmjax.tasks.splits import hard_starts, with_outage
from anmjax.tasks.tabled import TabledTask
from anmjax.tasks.time_series import Profiles

_Self = TypeVar("_Self", bound="GridTask")
MAX_EVALUATION_STARTS = 96
OBSERVATION = (("dev_p", "all"), ("dev_q", "all"), ("des_soc", "all"), ("gen_p_max", "all"))


class _Recipe:
    """What a task was built from. Equal to any other: no program depends on it."""

    def __init__(self, net: Network, profiles: Profiles, options: dict[str, Any]) -> None:
        self.net, self.profiles, self.options = net, profiles, options

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Recipe)

    def __hash__(self) -> int:
        return hash(_Recipe)


class GridTask(TabledTask):
    """A grid that follows profiles: episodes of some hours that start on the days of a part of them.

    - Devices without a profile are storage units; those that are not controllable follow theirs.
    - Observation: P and Q of the devices (MW, MVAr), charge (MWh), potential of the generators (MW), energy
      owed to flexible loads and chargers (MWh) and the hours that cars stay, and the hour of the day; the day
      of the week and of the year too where the profiles are that long.
    - A start is the first step of a day of the part, with the generators at their potential, storage units
      idle and a charge drawn uniformly within their limits. Randomness: none after it, but for ``noise``.
    - An episode is ``truncated`` after ``episode_hours``. What goes on after it stays in the part: after the
      last step of a stretch comes its first.
    - Angles of each voltage level are counted from the level's own: phase shifts of transformers that turn a
      whole level are taken out, which changes no power and no magnitude.
    - Loads and generators without a limit of their own have the largest value of their profile as one.
    """

    def __init__(
        self,
        net: Network,
        profiles: Profiles,
        *,
        episode_hours: float = 24.0,
        delta_t: float | None = None,
        test: Sequence[str] | float = (),
        split: str = "train",
        outage: int | str | None = None,
        start_every_hours: float = 24.0,
        start_hour: float = 0.0,
        noise: float = 0.0,
        noise_hours: float = 3.0,
        gamma: float = 0.995,
        lamb: float = 100.0,
        costs_clipping: tuple[float | None, float | None] | None = (1, 100),
        **options: Any,
    ) -> None:
        """Builds the task.

        Args:
          net: network, with the devices to control.
          profiles: of its loads and generators.
          episode_hours: h, length of an episode.
          delta_t: h, length of a step; None: that of the profiles, which are else averaged or interpolated.
          test: what is held out from training: periods such as "2016-11" (a month), "2016-11-07" (a day) or
            "2016-11-07/2016-11-20" (both days included); or the share of the steps at the end.
          split: the part to start in: "train" or "test"; of the latter "stress", the tenth of its days with
            the highest peaks of net load (demand less what renewables could give), or "low_sun", the tenth
            with the least that renewables could give; or "outage", its days (all, where none is held out)
            with a branch out of service.
          outage: the branch of the split "outage", by row or name; None: the most loaded one in the step of
            the highest net load, of those without which every bus is still supplied.
          start_every_hours: h, from one start to the next.
          start_hour: h after midnight of the first of them. Cars that stay overnight ask for 12: what is owed
            as an episode ends costs nothing.
          noise: standard deviation of the factor of each column of the profiles, max(0, 1 + noise z): no two
            days are the same. z is an autoregression of variance 1, cut at 4 and drawn for each column, at
            the start and in every step; where an evaluation starts it is 0. 0: the profiles as they are.
          noise_hours: h, memory of the noise.
          gamma: as in ``ANMEnv``, and so are all further arguments.
          lamb: see ``gamma``.
          costs_clipping: see ``gamma``.
          **options: further arguments of ``ANMEnv``.

        Raises:
          ValueError: naming the argument, its value and what is allowed.

        Warns:
          MissingLimitsWarning: the network lacks voltage limits or ratings.
        """
        given = locals()
        mine = {name: given[name] for name in _OPTIONS}
        profiles.check(net)
        self._recipe = _Recipe(net, profiles, {**mine, **options})
        warn_of_missing_limits(net)
        series = profiles if delta_t is None else profiles.at_step(delta_t)
        steps = episode_hours / series.step_hours
        if not (steps >= 1 and abs(steps - round(steps)) < 1e-6):
            raise ValueError(
                f"episode_hours is {episode_hours}, but must be a whole number of steps of "
                f"{series.step_hours:g} h"
            )
        self._num_steps = round(steps)
        part = parts_of(series, test, split, self._num_steps, start_every_hours, start_hour)
        self._stretches = part.stretches
        starts = hard_starts(series, net, part.starts, split, self._num_steps)
        net = with_outage(net, series, outage) if split == "outage" else net
        self._features = features_of(series)
        if not 0 <= noise < math.inf:
            raise ValueError(f"noise is {noise!r}, but must be a number >= 0")
        if not 0 < noise_hours < math.inf:
            raise ValueError(f"noise_hours is {noise_hours!r}, but must be a number > 0")
        self._noise, self._spread = Noise((noise_hours,)), float(noise)
        self._noisy = series.values.shape[1] if noise else 0
        n_charger = len(net.chargers)
        stay = np.zeros((series.num_steps, n_charger)) if series.stay is None else np.asarray(series.stay)
        longest = [[0, float(hours)] for hours in stay.max(0, initial=0.0)]
        periods = [[0, period] for _, period, _ in self._features]
        bounds = [*longest, *periods, *[[-BOUND, BOUND]] * self._noisy, [0, series.num_steps - 1]]
        owed = [("flex_owed", "all")] if net.flexible else []
        observed = [*OBSERVATION, *owed, ("aux", list(range(n_charger + len(self._features))))]
        super().__init__(
            with_limits_of(without_level_shifts(net), series, 1 + BOUND * self._spread),
            K=len(bounds),
            aux_bounds=bounds,
            delta_t=series.step_hours,
            gamma=gamma,
            lamb=lamb,
            costs_clipping=costs_clipping,
            **{"observation": observed, **options},
        )
        self.tables = jnp.asarray(series.values, self.network.dtype)
        self.stay = jnp.asarray(stay, self.network.dtype)  # (n_steps, n_charger) h, see ``Profiles``
        self.scale = None
        # Whole numbers as floats: what differentiates a task wants no other leaves.
        self.starts = jnp.asarray(starts, self.network.dtype)  # (n_starts,) rows of the table
        every_row = self._rows_after(jnp.arange(series.num_steps), jnp.int32(1))
        self.following = every_row.astype(self.network.dtype)  # (n_steps,) the row after each

    def replace(self: _Self, **changes: Any) -> _Self:
        """The task with other arguments, or with other attributes, such as ``network``.

        Args:
          **changes: arguments of the constructor: ``split="test"``, ``lamb=10``; or attributes.

        Raises:
          ValueError: there is no such argument or attribute, or it may not be that.
        """
        recipe = self._recipe
        names = {*_OPTIONS, *inspect.signature(ANMEnv.__init__).parameters} - {"self", "network", "K"}
        if not changes or not changes.keys() <= names | {"profiles", "net"}:
            copy = super().replace(**changes)
            if "network" in changes:
                copy._recipe = _Recipe(changes["network"], recipe.profiles, recipe.options)
            return copy
        net, profiles = changes.pop("net", recipe.net), changes.pop("profiles", recipe.profiles)
        with warnings.catch_warnings():
            if net is recipe.net:
                warnings.simplefilter("ignore", MissingLimitsWarning)  # it was said once
            new = type(self)(net, profiles, **{**recipe.options, **changes})
        if self.scale is None or net is not recipe.net:
            return new
        # A grid that was drawn stays the one that it is.
        drawn = self.network.astype(new.network.dtype)
        return PyTree.replace(new, network=drawn, scale=self.scale.astype(drawn.dtype))

    @property
    def episode_steps(self) -> int:
        """Steps of an episode."""
        return self._num_steps

    def hour(self, state: State) -> jax.Array:
        """See ``TabledTask``."""
        return state.aux[len(self.network.chargers)]

    @property
    def observation_cycles(self) -> tuple[tuple[int, float], ...]:
        """(index, period) of the cyclic entries of the observation: hour of day, day of week and year."""
        if callable(self._observed):
            return ()
        first = len(self.network.chargers)
        periods = {("aux", first + k): period for k, (_, period, _) in enumerate(self._features)}
        names = [(entry.quantity, row) for entry in self._observed for row in entry.rows]
        return tuple((i, float(periods[name])) for i, name in enumerate(names) if name in periods)

    def init_state(self, key: jax.Array) -> InitialState:
        """Draws a day of the part, the state of charge, and the noise."""
        key_day, key_soc = jax.random.split(key)
        net, storage = self.network, np.array(self.network.storage, int)
        low, high = net.soc_min[storage], net.soc_max[storage]
        soc = jax.random.uniform(key_soc, low.shape, low.dtype, low, high) * net.base_mva
        day = jax.random.randint(key_day, (), 0, self.starts.shape[0])
        row = self.starts[day].astype(jnp.int32)
        if not self._noisy:
            return self.start_at(row, soc)
        z = self._noise.init(jax.random.fold_in(key, 2), self._noisy, self.network.dtype)[0]
        return self.start_at(row, soc, z)

    def start_at(self, row: jax.Array, soc: jax.Array, z: jax.Array | None = None) -> InitialState:
        """The start at a row of the table, with generators at their potential and storage units idle.

        Args:
          row: () row of ``tables``.
          soc: (n_storage,) MWh, state of charge.
          z: (n_column,) the noise; None: 0.
        """
        if self._noisy and z is None:
            z = jnp.zeros(self._noisy, self.network.dtype)
        return self.started(self._noisy_rows(row, z), self._aux(row, z), soc)

    def next_vars(self, key: jax.Array, state: jax.Array) -> jax.Array:
        """The next row of the table, times what noise makes of it; without noise ``key`` is not used."""
        row, z = self.following[jnp.round(state[-1]).astype(jnp.int32)].astype(jnp.int32), None
        if self._noisy:
            z = self._noise.step(key, state[None, -1 - self._noisy : -1], self.delta_t)[0]
        return jnp.concatenate([self._noisy_rows(row, z), self._aux(row, z)])

    def _noisy_rows(self, row: jax.Array, z: jax.Array | None) -> jax.Array:
        """MW of loads and generators at rows of the table, (.., n_column), with noise z, (.., n_column)."""
        rows = self.rows(row)
        return rows if z is None else rows * jnp.maximum(0, 1 + self._spread * z.clip(-BOUND, BOUND))

    def step(self, state: State, action: jax.Array) -> State:
        """As of ``ANMEnv``; ``truncated`` at the end of the episode."""
        after = super().step(state, action)
        over = (after.t >= self._num_steps) & ~after.terminated
        return dataclasses.replace(after, truncated=after.truncated | over)

    def coming_profiles(self, state: State, num_steps: int) -> tuple[jax.Array, jax.Array]:
        """What the coming steps will bring, noise included, see ``DailyTask.coming_profiles``."""
        steps = jnp.arange(num_steps, dtype=jnp.int32)
        rows, z = self._rows_after(state.aux[-1], 1 + steps), None
        if self._noisy:

            def step(z: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
                z = self._noise.step(jax.random.fold_in(state.key, t), z[None], self.delta_t)[0]
                return z, z

            z = jax.lax.scan(step, state.aux[-1 - self._noisy : -1], state.t + steps)[1]
        return self.drawn_at_once(state, self.profiles_of(self._noisy_rows(rows, z)), self.stay[rows].T)

    def evaluation_starts(self, soc_mwh: float | None = None) -> InitialState:
        """Starts of up to 96 days of the part, spread evenly, with storage half full.

        Args:
          soc_mwh: MWh, charge of every storage unit; None: half full.

        Returns:
          Starts with a leading axis.
        """
        count = self.starts.shape[0]
        chosen = np.unique(np.linspace(0, count - 1, min(count, MAX_EVALUATION_STARTS)).round().astype(int))
        rows = self.starts[chosen].astype(jnp.int32)
        return jax.vmap(self.start_at, in_axes=(0, None))(rows, self.charges(soc_mwh))

    def _rows_after(self, row: jax.Array, steps: jax.Array) -> jax.Array:
        """Rows so many steps after one, within its stretch of the part."""
        row = jnp.round(row).astype(jnp.int32)
        after = (row + steps) % self.tables.shape[0]
        for first, end in self._stretches:
            inside = (row >= first) & (row < end)
            after = jnp.where(inside, first + (row - first + steps) % (end - first), after)
        return after

    def _aux(self, row: jax.Array, z: jax.Array | None) -> jax.Array:
        """Hours that cars stay at the chargers, time features, the noise, and the row of the table."""
        at = row.astype(self.network.dtype)
        hours = at * self.delta_t
        values = [(offset + hours / unit) % period for offset, period, unit in self._features]
        noise = [] if z is None else [z]
        return jnp.concatenate([self.stay[row], jnp.stack(values), *noise, at[None]])


_OPTIONS = tuple(
    name
    for name, parameter in inspect.signature(GridTask.__init__).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
)
