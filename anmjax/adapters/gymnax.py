"""gymnax: a task as an environment of gymnax 1.0."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from anmjax.adapters.tasks import task_of
from anmjax.envs.records import State


@struct.dataclass
class EnvState(environment.EnvState):
    """State of a lane."""

    time: jax.Array  # () int32, steps since the last reset
    core: State  # its key as numbers, for learners that select between states


@struct.dataclass
class EnvParams(environment.EnvParams):
    """What may change between calls."""

    max_steps_in_episode: int = 3000  # steps after which an episode is truncated


class Environment(environment.Environment):
    """A task for learners that speak gymnax; ``step`` resets by itself.

    ``info`` has the metrics of the step, and, from gymnax, ``final_observation``: the observation before the
    reset, which a learner bootstraps from where ``truncated``. All that is random in an episode follows from
    the key of its reset. Gradients stop at a transition unless ``with_transition_gradients()`` is used.
    """

    _supports_transition_gradients = True

    def __init__(
        self,
        task: Any,
        *,
        rescale_actions: bool = True,
        legacy: bool = False,
        max_steps_in_episode: int = 3000,
        **options: Any,
    ) -> None:
        """Builds the environment.

        Args:
          task: name of a registered task, or an environment of this package.
          rescale_actions: actions are from -1 to 1 and not in MW and MVAr.
          legacy: ``step`` returns five values, with ``done`` in place of the two flags, as before gymnax 1.0.
          max_steps_in_episode: of ``default_params``.
          **options: arguments of a named task's constructor, e.g. ``dtype``.
        """
        super().__init__()
        self.env = task_of(task, options, rescale_actions=rescale_actions, max_steps=None)
        self.legacy, self.max_steps_in_episode = legacy, max_steps_in_episode

    @property
    def default_params(self) -> EnvParams:
        """Parameters of a call that gives none."""
        return EnvParams(max_steps_in_episode=self.max_steps_in_episode)

    @functools.partial(jax.jit, static_argnames=("self",))
    def step(self, key: jax.Array, state: Any, action: Any, params: Any = None) -> tuple[Any, ...]:
        """Advances by one step, and to a start where that ended the episode.

        Returns:
          Observation, state, reward, terminated, truncated, info; with ``legacy`` observation, state, reward,
          done, info.
        """
        obs, state, reward, terminated, truncated, info = super().step(key, state, action, params)
        if self.legacy:
            return obs, state, reward, terminated | truncated, info
        return obs, state, reward, terminated, truncated, info

    def step_env(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, ...]:
        """One step without a reset."""
        core = state.core.replace(key=jax.random.wrap_key_data(state.core.key))
        after = self.env.step(core, action)
        obs, kept = self._apply_transition_gradient_policy(after.obs, _kept(after))
        return obs, kept, after.reward, after.terminated, after.metrics

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, EnvState]:
        """A drawn start, that of ``env.reset(key)``."""
        state = self.env.reset(_typed(key))
        return state.obs, _kept(state)

    def observe(self, key: jax.Array, state: Any, action: Any, params: Any) -> jax.Array:
        """The observation of a state."""
        return state.core.obs

    def get_obs(self, state: Any, params: Any = None, key: Any = None) -> jax.Array:
        """The observation of a state."""
        return state.core.obs

    def is_truncated(self, state: Any, params: Any) -> jax.Array:
        """Whether the limit is reached and the network has not collapsed."""
        return (state.time >= params.max_steps_in_episode) & ~state.core.terminated

    def is_terminated(self, state: Any, params: Any) -> jax.Array:
        """Whether the network has collapsed."""
        return state.core.terminated

    @property
    def name(self) -> str:
        """Name of the task's class."""
        return type(self.env).__name__

    @property
    def num_actions(self) -> int:
        """Number of components of an action."""
        return self.env.action_space.shape[0]

    def action_space(self, params: Any = None) -> spaces.Box:
        """Bounds of the action."""
        return _box(self.env.action_space)

    def observation_space(self, params: Any = None) -> spaces.Box:
        """Bounds of the observation."""
        return _box(self.env.observation_space)


def _box(box: Any) -> spaces.Box:
    return spaces.Box(box.low, box.high, box.shape, box.dtype)


def _typed(key: jax.Array) -> jax.Array:
    """A key as this package has it: libraries still give ``jax.random.PRNGKey``."""
    return key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)


def _kept(state: State) -> EnvState:
    return EnvState(time=state.t, core=replace(state, key=jax.random.key_data(state.key)))
