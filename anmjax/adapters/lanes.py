"""Lanes: many lanes of a task, stepped in one compiled call, with their states kept on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.adapters.errors import EnvInitializationError
from anmjax.adapters.programs import program, step_lanes
from anmjax.adapters.seeding import episode_key, key_of
from anmjax.envs.records import State

# Episodes begin so many at a time: a reset costs several steps, and few lanes end together.
_BLOCK = 64


class Seen(NamedTuple):
    """What a learner sees of all lanes: NumPy arrays that may be written to, or JAX arrays."""

    obs: Any  # (num_envs, n_obs)
    reward: Any  # (num_envs,) float64, or the task's dtype in JAX
    terminated: Any  # (num_envs,) bool
    truncated: Any  # (num_envs,) bool
    metrics: dict[str, Any]  # (num_envs, ..) each

    @property
    def ended(self) -> Any:
        """(num_envs,) bool, the episode is over."""
        return self.terminated | self.truncated


class Lanes:
    """The lanes of one environment; every lane has a stream of episodes that follows from its last seed."""

    def __init__(self, env: Any, num_envs: int, rng: np.random.Generator) -> None:
        """Sets up lanes, which begin with ``begin``.

        Args:
          env: environment of one lane.
          num_envs: how many, at least 1.
          rng: seeds the lanes until they are given other seeds.

        Raises:
          ValueError: ``num_envs`` is less than 1.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}, but must be at least 1")
        self.env, self.num_envs = env, num_envs
        self._seeds = jax.vmap(jax.random.key)(rng.integers(2**32, size=num_envs, dtype=np.uint32))
        # Number of the episode that begins next, (num_envs,). Replaced, never written to: JAX may still be
        # reading the array when the call that was given it returns.
        self._next = np.zeros(num_envs, np.uint32)
        shapes = jax.eval_shape(jax.vmap(env.reset), self._seeds)
        blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), replace(shapes, key=None))
        self.states: State = replace(blank, key=self._seeds)
        self._step, self._begin = program(env, step_lanes), program(env, _begin)

    def seed(self, lane: int, seed: int) -> None:
        """Seeds a lane: its next episode is that of ``env.reset(jax.random.key(seed))``."""
        self._seeds = self._seeds.at[lane].set(key_of(seed))
        self._next = np.where(np.arange(self.num_envs) == lane, np.uint32(0), self._next)

    def seed_all(self, seeds: Sequence[int]) -> None:
        """Seeds every lane."""
        self._seeds = jnp.stack([key_of(seed) for seed in seeds])
        self._next = np.zeros_like(self._next)

    def begin(self, which: np.ndarray, start: Any = None) -> None:
        """Begins the next episode of some lanes.

        Args:
          which: (num_envs,) bool.
          start: state vector, (n_state,) or (num_envs, n_state), or an ``InitialState``, alike; None: drawn.

        Raises:
          EnvInitializationError: the power flow of a start has no solution.
        """
        size = min(_BLOCK, self.num_envs)
        lanes = np.flatnonzero(which)
        if start is not None:
            shape = self._vector_shape
            start = np.broadcast_to(np.asarray(start), (self.num_envs, *shape))
        for first in range(0, len(lanes), size):
            block = np.full(size, self.num_envs)  # beyond the last lane: no lane
            some = lanes[first : first + size]
            block[: len(some)] = some
            chosen = None if start is None else start[np.minimum(block, self.num_envs - 1)]
            self.states = self._begin(self.states, self._seeds, self._next, block, chosen)
        self._next = self._next + which.astype(np.uint32)
        failed = lanes[np.asarray(self.states.terminated)[lanes]]
        if failed.size:
            raise EnvInitializationError(f"lane {failed[0]}: the power flow of its start has no solution")

    def step(self, actions: Any) -> None:
        """Takes an action in every lane, (num_envs, n_action)."""
        on_device = isinstance(actions, jax.Array)
        self.states = self._step(self.states, actions if on_device else np.asarray(actions))

    def seen(self, *, on_device: bool = False) -> Seen:
        """What the lanes show after their last step or start.

        Args:
          on_device: as JAX arrays, which stay where they are.
        """
        at = self.states
        shown = at.obs, at.reward, at.terminated, at.truncated, at.metrics
        if on_device:
            return Seen(*shown)
        parts = jax.device_get(shown)
        obs, reward, terminated, truncated, metrics = jax.tree.map(np.array, parts)
        return Seen(obs, reward.astype(np.float64), terminated, truncated, metrics)

    @property
    def _vector_shape(self) -> tuple[int, ...]:
        return jax.eval_shape(lambda at: self.env.state_vector(at.grid, at.aux), _one(self.states)).shape


def _one(states: State) -> State:
    return jax.eval_shape(lambda: jax.tree.map(lambda x: x[0], states))


def _begin(env: Any, states: State, seeds: Any, episodes: Any, lanes: Any, start: Any) -> State:
    """The states with new episodes in some lanes, (block,); a number that is no lane's is passed over."""
    keys = jax.vmap(episode_key)(seeds[lanes], episodes[lanes])
    fresh = jax.vmap(env.reset)(keys) if start is None else jax.vmap(env.reset_to)(keys, start)
    return jax.tree.map(lambda old, new: old.at[lanes].set(new, mode="drop"), states, fresh)
