"""brax: a task as an environment of brax, for its learners."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from brax.envs import base

from anmjax.adapters.tasks import task_of
from anmjax.envs.records import State


class Env(base.Env):
    """A task for the learners of brax, which wrap it themselves in vmap, time limit and auto reset.

    ``pipeline_state`` is the state of the lane, with its key as numbers; ``metrics`` are those of the step.
    Brax's auto reset goes back to the start that the lane began with.
    """

    def __init__(self, task: Any, *, rescale_actions: bool = True, **options: Any) -> None:
        """Builds the environment.

        Args:
          task: name of a registered task, or an environment of this package.
          rescale_actions: actions are from -1 to 1, as brax's policies give them, and not in MW and MVAr.
          **options: arguments of a named task's constructor, e.g. ``dtype``.
        """
        self.env = task_of(task, options, rescale_actions=rescale_actions, max_steps=None)

    def reset(self, rng: jax.Array) -> base.State:
        """A drawn start, that of ``env.reset(rng)``."""
        typed = jnp.issubdtype(rng.dtype, jax.dtypes.prng_key)
        return _shown(self.env.reset(rng if typed else jax.random.wrap_key_data(rng)), {})

    def step(self, state: base.State, action: jax.Array) -> base.State:
        """Advances by one step."""
        core: Any = state.pipeline_state
        after = self.env.step(core.replace(key=jax.random.wrap_key_data(core.key)), action)
        return _shown(after, state.info)

    @property
    def observation_size(self) -> int:
        """Number of observed variables."""
        return self.env.observation_space.shape[0]

    @property
    def action_size(self) -> int:
        """Number of components of an action."""
        return self.env.action_space.shape[0]

    @property
    def backend(self) -> str:
        """What steps the grid."""
        return "anmjax"


def _shown(state: State, info: dict[str, Any]) -> base.State:
    dtype = state.reward.dtype
    return base.State(
        pipeline_state=replace(state, key=jax.random.key_data(state.key)),
        obs=state.obs,
        reward=state.reward,
        done=state.terminated.astype(dtype),
        metrics={name: jnp.asarray(value, dtype) for name, value in state.metrics.items()},
        info=info,
    )
