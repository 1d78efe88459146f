"""GridTask: a task on a grid and profiles of one's own."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.env import ANMEnv
from anmjax.envs.pytree import PyTree
from anmjax.envs.records import InitialState, State
from anmjax.grid import tables
from anmjax.grid.network import Network
from anmjax.grid.phase_shifts import without_level_shifts
from anmjax.tasks.calendar import features_of, parts_of
from anmjax.tasks.splits import hard_starts, with_outage
from anmjax.tasks.tabled import TabledTask
from anmjax.tasks.time_series import Profiles

_Self = TypeVar("_Self", bound="GridTask")
MAX_EVALUATION_STARTS = 96
OBSERVATION = (("dev_p", "all"), ("dev_q", "all"), ("des_soc", "all"), ("gen_p_max", "all"))


class MissingLimitsWarning(UserWarning):
    """Warns of buses and branches of a task that nothing can violate, since they have no limits."""


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
      idle and a charge drawn uniformly within their limits. Randomness: none after it.
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
        _warn_of_missing_limits(net)
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
        n_charger = len(net.chargers)
        stay = np.zeros((series.num_steps, n_charger)) if series.stay is None else np.asarray(series.stay)
        longest = [[0, float(hours)] for hours in stay.max(0, initial=0.0)]
        periods = [[0, period] for _, period, _ in self._features]
        bounds = [*longest, *periods, [0, series.num_steps - 1]]
        owed = [("flex_owed", "all")] if net.flexible else []
        observed = [*OBSERVATION, *owed, ("aux", list(range(n_charger + len(self._features))))]
        super().__init__(
            _with_limits_of(without_level_shifts(net), series),
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
        """Draws a day of the part, and the state of charge."""
        key_day, key_soc = jax.random.split(key)
        net, storage = self.network, np.array(self.network.storage, int)
        low, high = net.soc_min[storage], net.soc_max[storage]
        soc = jax.random.uniform(key_soc, low.shape, low.dtype, low, high) * net.base_mva
        day = jax.random.randint(key_day, (), 0, self.starts.shape[0])
        return self.start_at(self.starts[day].astype(jnp.int32), soc)

    def start_at(self, row: jax.Array, soc: jax.Array) -> InitialState:
        """The start at a row of the table, with generators at their potential and storage units idle.

        Args:
          row: () row of ``tables``.
          soc: (n_storage,) MWh, state of charge.
        """
        return self.started(self.rows(row), self._aux(row), soc)

    def next_vars(self, key: jax.Array, state: jax.Array) -> jax.Array:
        """The next row of the table; ``key`` is not used."""
        row = self._rows_after(state[-1], jnp.int32(1))
        return jnp.concatenate([self.rows(row), self._aux(row)])

    def step(self, state: State, action: jax.Array) -> State:
        """As of ``ANMEnv``; ``truncated`` at the end of the episode."""
        after = super().step(state, action)
        over = (after.t >= self._num_steps) & ~after.terminated
        return dataclasses.replace(after, truncated=after.truncated | over)

    def coming_profiles(self, state: State, num_steps: int) -> tuple[jax.Array, jax.Array]:
        """What the coming steps will bring, see ``DailyTask.coming_profiles``."""
        rows = self._rows_after(state.aux[-1], 1 + jnp.arange(num_steps, dtype=jnp.int32))
        return self.drawn_at_once(state, self.profiles_of(self.rows(rows)), self.stay[rows].T)

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

    def _aux(self, row: jax.Array) -> jax.Array:
        """Hours that cars stay at the chargers, time features, and the row of the table."""
        at = row.astype(self.network.dtype)
        hours = at * self.delta_t
        values = [(offset + hours / unit) % period for offset, period, unit in self._features]
        return jnp.concatenate([self.stay[row], jnp.stack([*values, at])])


_OPTIONS = tuple(
    name
    for name, parameter in inspect.signature(GridTask.__init__).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
)


def _with_limits_of(net: Network, series: Profiles) -> Network:
    """The network with limits of devices that have none: the extremes of the profiles, a reach of slacks."""
    p_min, p_max = (np.array(x, float) for x in (net.p_min, net.p_max))
    q_min, q_max = (np.array(x, float) for x in (net.q_min, net.q_max))
    plus, minus = np.array(net.p_plus, float), np.array(net.p_minus, float)
    ratio, values = np.asarray(net.qp_ratio, float), np.asarray(series.values) / float(net.base_mva)
    for k, column in zip((*net.loads, *net.generators), values.T, strict=True):
        if np.isinf(p_min[k]):
            p_min[k] = column.min(initial=0)
        if np.isinf(p_max[k]):
            p_max[k] = max(column.max(initial=0), p_min[k])
        plus[k], minus[k] = min(plus[k], p_max[k]), max(minus[k], p_min[k])
        if net.device_kind[k] in tables.DEMANDS:
            ends = ratio[k] * p_min[k] + 0.0, ratio[k] * p_max[k] + 0.0
            q_min[k], q_max[k] = min(ends), max(ends)
    q_plus, q_minus = np.minimum(net.q_plus, q_max), np.maximum(net.q_minus, q_min)
    of_loads = np.array(net.loads, int)
    q_plus[of_loads], q_minus[of_loads] = q_max[of_loads], q_min[of_loads]
    # A slack's: twice what all that is there could draw, give, charge or lose.
    slack = np.flatnonzero(np.array(net.device_kind) == tables.SLACK)
    sizes = np.hypot(np.maximum(-p_min, p_max), np.maximum(-q_min, q_max))
    of_case = net.p_fixed, net.q_fixed, net.p_current, net.q_current, net.g_shunt, net.b_shunt, net.g, net.b
    reach = 2 * (np.delete(sizes, slack).sum() + sum(np.abs(x).sum() for x in of_case if x is not None))
    for limit, most in (p_min, -reach), (q_min, -reach), (p_max, reach), (q_max, reach):
        limit[slack] = np.where(np.isinf(limit[slack]), most, limit[slack])
    loose: Any = net
    powers = {"p_min": p_min, "p_max": p_max, "q_min": q_min, "q_max": q_max}
    limited: Network = loose.replace(**powers, p_plus=plus, p_minus=minus, q_plus=q_plus, q_minus=q_minus)
    return limited


def _warn_of_missing_limits(net: Network) -> None:
    """Says once what has no limits; pandapower's own stand for none are 0 and 2 p.u."""
    others = np.delete(np.arange(net.n_bus), net.slacks)
    names = net.bus_labels
    rows = net.branch_names or tuple(f"branch {i}" for i in range(net.n_branch))
    v_max, v_min = np.asarray(net.v_max)[..., others], np.asarray(net.v_min)[..., others]
    free = others[((v_max >= 2) | (v_min <= 0)).reshape(-1, len(others)).any(0)]
    unlimited = np.flatnonzero(np.isinf(net.rating).reshape(-1, net.n_branch).any(0))
    parts = []
    for found, called, what in ((free, names, "voltage limits"), (unlimited, rows, "rating")):
        if len(found):
            first = ", ".join(repr(called[int(k)]) for k in found[:4])
            more = f" and {len(found) - 4} more" if len(found) > 4 else ""
            parts.append(f"no {what} at {first}{more}")
    if parts:
        how = "Network.with_limits(v_min=0.95, v_max=1.05, rating=..)"
        message = f"the network has {', and '.join(parts)}: nothing is violated there; {how} gives them"
        # The caller of the task's constructor.
        warnings.warn(MissingLimitsWarning(message), stacklevel=3)
