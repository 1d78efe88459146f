"""TimeLimit: ends an episode after a number of steps, without calling it a failure."""

from __future__ import annotations

import operator
from dataclasses import replace

import jax

from anmjax.envs.records import State
from anmjax.wrappers.wrapper import Wrapper


class TimeLimit(Wrapper):
    """Sets ``truncated`` once ``state.t >= max_steps`` and the network has not collapsed.

    The grid lives on after a truncation: a learner bootstraps from the value of the last observation there,
    and from 0 after a termination.

    Args:
      env: the environment to wrap.
      max_steps: int >= 1, steps an episode may last. A leaf: another limit needs no new compilation.

    Raises:
      ValueError: ``max_steps`` is not a whole number of at least 1.
    """

    max_steps: int | jax.Array

    def __post_init__(self) -> None:
        # A limit may be a tracer: only plain numbers are checked.
        if isinstance(self.max_steps, (float, str)) or (
            isinstance(self.max_steps, int) and operator.index(self.max_steps) < 1
        ):
            raise ValueError(
                f"TimeLimit: max_steps is {self.max_steps!r}, but must be a whole number of at least 1."
            )

    def step(self, state: State, action: jax.Array) -> State:
        """Advances by one time step and truncates at the limit."""
        after = self.env.step(self._inner(state), action)
        late = (after.t >= self.max_steps) & ~after.terminated
        return replace(after, truncated=after.truncated | late)
