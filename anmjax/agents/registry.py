"""AGENTS: every learner, by its name on the command line and in checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from anmjax.agents.config import AgentConfig

if TYPE_CHECKING:
    from anmjax.agents.agent import Agent


class AgentKind(NamedTuple):
    """An algorithm; its classes are imported when they are asked for, the config without JAX."""

    title: str  # what a sentence calls it
    config: Callable[[], type[AgentConfig]]
    agent: Callable[[], type[Agent[Any]]]


def _ppo_config() -> type[AgentConfig]:
    from anmjax.agents.ppo.config import PPOConfig

    return PPOConfig


def _ppo() -> type[Agent[Any]]:
    from anmjax.agents.ppo.update import PPO

    return PPO


def _ippo_config() -> type[AgentConfig]:
    from anmjax.agents.ippo.config import IPPOConfig

    return IPPOConfig


def _ippo() -> type[Agent[Any]]:
    from anmjax.agents.ippo.update import IPPO

    return IPPO


def _shac_config() -> type[AgentConfig]:
    from anmjax.agents.shac.config import SHACConfig

    return SHACConfig


def _shac() -> type[Agent[Any]]:
    from anmjax.agents.shac.update import SHAC

    return SHAC


AGENTS = {
    "ppo": AgentKind("PPO", _ppo_config, _ppo),
    "ippo": AgentKind("Independent PPO", _ippo_config, _ippo),
    "shac": AgentKind("SHAC", _shac_config, _shac),
}
DEFAULT_AGENT = "ppo"  # also of checkpoints from before they named theirs


def name_of(config: AgentConfig) -> str:
    """The name of the agent whose options these are.

    Raises:
      ValueError: no such agent is in ``AGENTS``.
    """
    for name, kind in AGENTS.items():
        if type(config) is kind.config():
            return name
    raise ValueError(
        f"{type(config).__name__} is of no agent in AGENTS: expected options of {', '.join(AGENTS)}."
    )
