"""Agent: what a learning algorithm offers, and all that trainings, checkpoints and evaluations know of it."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Protocol, Self, TypeVar

import jax

from anmjax.agents.config import AgentConfig
from anmjax.agents.metrics import Metrics
from anmjax.envs.protocol import Environment


class Policy(Protocol):
    """A pytree that acts: with other numbers in it, it needs no new compilation."""

    def __call__(self, key: jax.Array, obs: jax.Array) -> jax.Array:
        """Chooses an action.

        Args:
          key: PRNG key of a random policy.
          obs: (n_obs,) observation, in the task's units.

        Returns:
          (n_action,) the action, in the task's units.
        """


class Learner(Protocol):
    """A pytree of all that changes in a training: saved and restored whole, it goes on bit for bit.

    What it holds under the name ``policy``, if anything, is what ``Agent.policy`` gives of it, and is saved
    once. A field ``optimizer`` counts as optax does. States of lanes are under ``states``.
    """

    @property
    def num_updates(self) -> jax.Array:
        """() int32, updates so far."""


LearnerT = TypeVar("LearnerT", bound=Learner)


class Agent(Protocol[LearnerT]):
    """A learning algorithm on one environment: a frozen dataclass that is a pytree, with pure methods.

    Inside ``jax.shard_map`` with ``axis_name`` set, ``init`` and ``update`` work on this device's share of
    the lanes (``anmjax.agents.training.lanes.Lanes``); elsewhere all lanes are here. Methods are jitted,
    scanned, and vmapped over learners that train side by side.

    One that becomes another as a training goes on offers more, see ``anmjax.agents.training.pools.Renewing``.
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def env(self) -> Any:
        """The environment that it trains on, wrapped as it needs it."""

    @property
    def config(self) -> AgentConfig:
        """The options; static."""

    @property
    def axis_name(self) -> str | None:
        """Mesh axis that the lanes are shared out over; static. None: all lanes are here."""

    @classmethod
    def create(cls, env: Environment, config: Any) -> Self:
        """The agent on a bare environment, with options of its own class.

        Raises:
          CannotLearnError: it cannot learn on this environment; says why.
        """

    @staticmethod
    def initial_policy(key: jax.Array, env: Environment, config: Any) -> Policy:
        """A policy that has learned nothing, of the structure and shapes of all policies that it learns."""

    @staticmethod
    def layout(shared: Any, own: Any) -> Any:
        """Which parts of a learner are the same on every device, and which are a device's own.

        Returns:
          A learner, or the first levels of one, with ``own`` in the place of what has a leading axis over
          the lanes, and ``shared`` in the place of all else.
        """

    def init(self, key: jax.Array) -> LearnerT:
        """The learner before its first update; all of a training follows from the key."""

    def update(self, learner: LearnerT) -> tuple[LearnerT, Metrics]:
        """Takes ``config.steps_per_update`` environment steps and learns from them.

        Returns:
          The learner after, with one more in ``num_updates``, and what to tell of the update.
        """

    def policy(self, learner: LearnerT) -> Policy:
        """What the learner would do, without the noise that it trains with."""
