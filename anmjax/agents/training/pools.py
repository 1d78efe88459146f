"""Pools: agents that draw from another pool of starts after a number of updates."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jax.sharding import Mesh

from anmjax.agents.agent import Agent
from anmjax.agents.training.sharding import everywhere


@runtime_checkable
class Renewing(Protocol):
    """What an agent may offer besides: it becomes another one, with arrays of the same shapes."""

    @property
    def renewal_period(self) -> int:
        """Updates after which it does, and after so many again; 0: never."""

    def renewed(self, num_updates: int) -> Any:
        """The agent that update number ``num_updates``, from 0, is of; follows from the number alone."""


class Pools:
    """The agent on the mesh, with the pool of starts that is in force."""

    def __init__(self, agent: Agent[Any], mesh: Mesh) -> None:
        """``agent`` as it was created."""
        self._agent, self._mesh, self._begun = agent, mesh, -1

    def at(self, num_updates: int) -> tuple[Agent[Any], int]:
        """The agent after so many updates, and how many more there are with the same pool."""
        agent = self._agent
        period = (agent.renewal_period if isinstance(agent, Renewing) else 0) or agent.config.num_updates
        if num_updates // period != self._begun:
            self._begun = num_updates // period
            # The first pool is that which the agent was created with.
            renewed = agent.renewed(num_updates) if self._begun and isinstance(agent, Renewing) else agent
            self._placed: Agent[Any] = everywhere(renewed, self._mesh)
        return self._placed, period - num_updates % period
