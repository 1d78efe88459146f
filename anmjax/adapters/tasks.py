"""The task that an adapter is given: by name or built, with actions as learners want them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.spaces import Box
from anmjax.tasks.registry import make
from anmjax.wrappers.time_limit import TimeLimit
from anmjax.wrappers.wrapper import Wrapper


class RescaledActions(Wrapper):
    """Actions from -1 to 1 for the least to the largest of each component.

    Raises:
      ValueError: a component of the action has no bound.
    """

    def __post_init__(self) -> None:
        space = self.env.action_space
        free = np.flatnonzero(~(np.isfinite(space.low) & np.isfinite(space.high)))
        if free.size:
            raise ValueError(
                f"rescale_actions: component {free[0]} of the action has bounds "
                f"{float(space.low[free[0]])} and {float(space.high[free[0]])}, but both must be finite"
            )

    @property
    def action_space(self) -> Box:
        """From -1 to 1."""
        space = self.env.action_space
        return Box(-jnp.ones_like(space.low), jnp.ones_like(space.high))

    def step(self, state: Any, action: jax.Array) -> Any:
        """Takes an action between -1 and 1; what is beyond is beyond the bounds."""
        return self.env.step(state, self.in_units(action))

    def in_units(self, action: jax.Array) -> jax.Array:
        """The action of the task itself, (n_action,) in MW and MVAr."""
        space = self.env.action_space
        share = (jnp.asarray(action, space.dtype) + 1) / 2
        return space.low + share * (space.high - space.low)


def task_of(task: Any, options: dict[str, Any], *, rescale_actions: bool, max_steps: int | None) -> Any:
    """The environment of one lane.

    Args:
      task: name of a registered task, or an environment.
      options: arguments of the task's constructor, if it is named.
      rescale_actions: actions are from -1 to 1.
      max_steps: steps after which an episode is truncated; None: no limit.

    Raises:
      ValueError: options for an environment that is built already.
    """
    if isinstance(task, str):
        env: Any = make(task, **options)
    elif options:
        raise ValueError(f"{sorted(options)[0]} is an option of named tasks, but the task is built already")
    else:
        env = task
    env = RescaledActions(env) if rescale_actions else env
    return env if max_steps is None else TimeLimit(env, max_steps=max_steps)
