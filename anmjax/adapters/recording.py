"""rollout: what a policy does, recorded step by step, as a table with names and units."""

from __future__ import annotations

import csv
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.envs.quantities import QUANTITIES
from anmjax.envs.records import InitialState, State
from anmjax.projection.control_layout import ControlLayout

if TYPE_CHECKING:
    import pandas as pd

REPORTS = 20  # times that the progress of a long recording is reported


@struct.dataclass
class Rollout:
    """Episodes of a policy, NumPy arrays with leading axes (n, horizon): lane and step."""

    obs: np.ndarray  # (n, horizon, n_obs) before the step
    action: np.ndarray  # (n, horizon, n_action)
    reward: np.ndarray  # (n, horizon) of the step
    next_obs: np.ndarray  # (n, horizon, n_obs) after the step, from before any reset
    terminated: np.ndarray  # (n, horizon) bool, the network collapsed in the step
    truncated: np.ndarray  # (n, horizon) bool, a time limit ended the episode with the step
    costs: np.ndarray  # (n, horizon, n_cost) of the step
    metrics: dict[str, np.ndarray]  # (n, horizon, ..) each, of the step
    valid: np.ndarray  # (n, horizon) bool, the episode was not over before the step

    obs_names: tuple[str, ...] = struct.field(pytree_node=False)
    action_names: tuple[str, ...] = struct.field(pytree_node=False)
    cost_names: tuple[str, ...] = struct.field(pytree_node=False)

    def returns(self, gamma: float = 1.0) -> np.ndarray:
        """(n,) sums of the rewards of each episode, by default undiscounted.

        Args:
          gamma: discount factor of a step.
        """
        discounts = gamma ** np.arange(self.reward.shape[1])
        return np.where(self.valid, self.reward, 0).astype(float) @ discounts

    def columns(self) -> dict[str, np.ndarray]:
        """One row for each step taken, lane after lane; steps after the end of an episode are left out.

        Columns are ``lane``, ``step``, ``obs_..``, ``action_..``, ``reward``, ``next_obs_..``,
        ``terminated``, ``truncated``, ``cost_..`` and the scalar metrics by their names; a unit ends the
        name of its column.
        """
        lane, step = np.nonzero(self.valid)
        found: dict[str, np.ndarray] = {"lane": lane, "step": step}

        def add(prefix: str, names: tuple[str, ...], values: np.ndarray) -> None:
            for i, name in enumerate(names):
                found[f"{prefix}_{name}"] = values[lane, step, i]

        add("obs", self.obs_names, self.obs)
        add("action", self.action_names, self.action)
        found["reward"] = self.reward[lane, step]
        add("next_obs", self.obs_names, self.next_obs)
        found["terminated"] = self.terminated[lane, step]
        found["truncated"] = self.truncated[lane, step]
        add("cost", self.cost_names, self.costs)
        for name, value in self.metrics.items():
            if value.ndim == 2:
                found[name] = value[lane, step]
        return found

    def to_dataframe(self) -> pd.DataFrame:
        """The columns as a pandas data frame.

        Raises:
          ImportError: pandas is not installed.
        """
        import pandas as pd

        return pd.DataFrame(self.columns())

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes the columns as comma-separated values, a row each step; numbers come back as they were.

        Args:
          path: of the file.
        """
        columns = self.columns()
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Writes the columns as a Parquet file, in their own types.

        Args:
          path: of the file.

        Raises:
          ImportError: pyarrow is not installed.
        """
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(self.columns()), path)

    def to_npz(self, path: str | os.PathLike[str]) -> None:
        """Writes the steps taken for offline learners: arrays by name, a row each.

        They are ``observations``, ``actions``, ``rewards``, ``next_observations``, ``terminals``,
        ``timeouts``, ``costs``, and the names of components. The last recorded step of an episode that goes
        on is a timeout.

        Args:
          path: of the file; ``numpy.load`` reads it.
        """
        lane, step = np.nonzero(self.valid)
        timeout = self.truncated.copy()
        timeout[:, -1] |= self.valid[:, -1] & ~self.terminated[:, -1]
        arrays = {
            "observations": self.obs,
            "actions": self.action,
            "rewards": self.reward,
            "next_observations": self.next_obs,
            "terminals": self.terminated,
            "timeouts": timeout,
            "costs": self.costs,
        }
        rows = {name: value[lane, step] for name, value in arrays.items()}
        names = {"observation_names": self.obs_names, "action_names": self.action_names}
        contents: dict[str, Any] = {**rows, **{name: np.array(value) for name, value in names.items()}}
        np.savez_compressed(path, **contents)


def rollout(
    env: Any,
    policy: Any,
    starts: Any,
    horizon: int,
    key: jax.Array | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> Rollout:
    """Records what a policy does, an episode a lane; without an auto reset, which would hide the ends.

    Args:
      env: environment of one lane.
      policy: what ``anmjax.load_policy`` gives, with ``act(key, state)``, or a function of a key and an
        observation; pure, of one lane.
      starts: an ``InitialState`` or state vectors, with a leading axis of lanes; or how many to draw.
      horizon: steps at most, at least 1.
      key: PRNG key of starts and policy; None: a fixed one.
      progress: called now and then with the steps that every lane has taken so far; None: all of it is one
        call of a compiled program. The numbers do not depend on it.

    Raises:
      ValueError: ``horizon`` or the number of starts is less than 1, or the environment resets by itself.
    """
    num_lanes = starts if isinstance(starts, int) else len(jax.tree.leaves(starts)[0])
    if horizon < 1 or num_lanes < 1:
        raise ValueError(f"horizon is {horizon}, starts are {num_lanes}, but both must be at least 1")
    key_start, key_policy = jax.random.split(jax.random.key(0) if key is None else key)
    keys = jax.random.split(key_start, num_lanes)
    if isinstance(starts, int):
        first = jax.jit(jax.vmap(env.reset))(keys)
    else:
        begun = starts if isinstance(starts, InitialState) else jnp.asarray(starts)
        first = jax.jit(jax.vmap(env.reset_to))(keys, begun)
    if "final_obs" in first.metrics:
        raise ValueError("the environment resets by itself (AutoReset): give the one inside it")
    run = jax.jit(functools.partial(_run, env, policy))  # a policy may be a function, which is no pytree
    before, actions, after = _in_chunks(run, first, jax.random.split(key_policy, horizon), progress)
    over = after.terminated | after.truncated
    ended = np.logical_or.accumulate(np.concatenate([np.asarray(first.terminated)[None], over[:-1]]))
    lane_first = functools.partial(np.swapaxes, axis1=0, axis2=1)
    return Rollout(
        obs=lane_first(before),
        action=lane_first(actions),
        reward=lane_first(after.reward),
        next_obs=lane_first(after.obs),
        terminated=lane_first(after.terminated),
        truncated=lane_first(after.truncated),
        costs=lane_first(after.costs),
        metrics={name: lane_first(value) for name, value in after.metrics.items()},
        valid=~lane_first(ended),
        obs_names=_observation_names(env),
        action_names=_action_names(env),
        cost_names=tuple(getattr(env, "cost_names", ())),
    )


def _in_chunks(
    run: Callable[..., Any], states: State, keys: jax.Array, progress: Callable[[int], None] | None
) -> Any:
    """What ``_run`` records over all keys, in chunks of one length, and so one program; on the host."""
    horizon = len(keys)
    size = horizon if progress is None else -(-horizon // REPORTS)
    chunks = []
    for begun in range(0, horizon, size):
        # What is beyond the last step is stepped too, and thrown away.
        within = jnp.minimum(jnp.arange(begun, begun + size), horizon - 1)
        states, recorded = run(states, keys[within])
        left = min(size, horizon - begun)
        chunks.append(jax.tree.map(lambda x, left=left: x[:left], jax.device_get(recorded)))
        if progress is not None:
            progress(begun + left)
    return jax.tree.map(lambda *parts: np.concatenate(parts), *chunks)


def _run(env: Any, policy: Any, first: State, keys: jax.Array) -> tuple[State, Any]:
    """States after the last step; observations before, actions, and states after each, axes (step, lane)."""

    def advance(states: State, key: jax.Array) -> tuple[State, Any]:
        lane_keys = jax.random.split(key, states.reward.shape[0])
        if hasattr(policy, "act"):
            actions = jax.vmap(policy.act)(lane_keys, states)
        else:
            actions = jax.vmap(policy)(lane_keys, states.obs)
        after = jax.vmap(env.step)(states, actions)
        return after, (states.obs, actions, after.replace(key=None))

    return jax.lax.scan(advance, first, keys)


def _observation_names(env: Any) -> tuple[str, ...]:
    """Names of the observed quantities, as "dev_p_2_MW"; numbers where the task observes by a function."""
    entries = getattr(env, "_observed", None)
    if entries is None or callable(entries):
        return tuple(map(str, range(env.observation_space.shape[0])))
    names = []
    for quantity, rows, unit in entries:
        elements = QUANTITIES[quantity].elements(env.network, env.K)
        for row in rows:
            of = elements[row]
            label = "_".join(map(str, of)) if isinstance(of, tuple) else str(of)
            names.append("_".join([quantity, label, *([unit] if unit else [])]))
    return tuple(names)


def _action_names(env: Any) -> tuple[str, ...]:
    """Names of an action's components, as "p_mw_2"."""
    network, n_action = getattr(env, "network", None), env.action_space.shape[0]
    names = () if network is None else ControlLayout.of(network).names
    return names if len(names) == n_action else tuple(map(str, range(n_action)))
