"""Environment and GridEnvironment: what learners, evaluations and planners ask of an environment."""

from __future__ import annotations

from typing import Protocol

import jax

from anmjax.envs.records import InitialState, State
from anmjax.envs.spaces import Box
from anmjax.grid.network import Network


class Environment(Protocol):
    """A task of one lane, as a pytree with two pure methods; ``jax.vmap`` makes many lanes of it.

    ``ANMEnv`` and every wrapper are environments. One of your own needs no grid: ``state.grid`` may be any
    record, and ``state.metrics`` needs none of a grid's entries. It needs no costs either: ``state.costs`` is
    (0,) unless set, and only an environment that has some offers their ``cost_names``, a tuple of str.
    """

    @property
    def action_space(self) -> Box:
        """Bounds of the action, (n_action,)."""

    @property
    def observation_space(self) -> Box:
        """Bounds of the observation, (n_obs,); their dtype is that of the environment's numbers."""

    def reset(self, key: jax.Array) -> State:
        """Draws the start of an episode.

        Args:
          key: PRNG key; all that is random in the episode follows from it.

        Returns:
          The state, of the same structure, shapes and dtypes as ``step`` gives.
        """

    def step(self, state: State, action: jax.Array) -> State:
        """Advances by one time step.

        Args:
          state: from ``reset`` or ``step``.
          action: (n_action,), in the task's units.

        Returns:
          The state after, with the reward of the step; ``terminated`` where nothing comes after it.
        """


class GridEnvironment(Environment, Protocol):
    """An environment with a grid, whose metrics are those of ``ANMEnv``."""

    @property
    def network(self) -> Network:
        """The grid."""

    @property
    def gamma(self) -> float:
        """Discount factor of the task."""

    @property
    def delta_t(self) -> float:
        """Hours that a step lasts."""

    @property
    def cost_names(self) -> tuple[str, ...]:
        """What the entries of ``state.costs`` are."""

    @property
    def costs_clipping(self) -> tuple[float, float]:
        """Largest energy loss and largest penalty (p.u.h) of a step in the reward."""

    def reset_to(self, key: jax.Array, initial: InitialState) -> State:
        """Begins an episode at a given operating point.

        Args:
          key: PRNG key; all that is random in the episode follows from it.
          initial: MW, MVAr, MWh.

        Returns:
          The state; terminated where the power flow has no solution.
        """
