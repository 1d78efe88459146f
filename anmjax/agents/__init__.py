"""Learners, planners and baselines, and the protocol that compares them.

The names below are loaded on first use: the command line reads the options without starting JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anmjax.agents.agent import Agent as Agent
    from anmjax.agents.agent import Learner as Learner
    from anmjax.agents.agent import Policy as Policy
    from anmjax.agents.config import AgentConfig as AgentConfig
    from anmjax.agents.config import option as option
    from anmjax.agents.metrics import Metrics as Metrics
    from anmjax.agents.planning import Plan as Plan
    from anmjax.agents.planning import plan as plan
    from anmjax.agents.policies import load_policy as load_policy
    from anmjax.agents.registry import AGENTS as AGENTS
    from anmjax.agents.registry import AgentKind as AgentKind

_HOME = {
    "AGENTS": "registry",
    "Agent": "agent",
    "AgentConfig": "config",
    "AgentKind": "registry",
    "Learner": "agent",
    "Metrics": "metrics",
    "Plan": "planning",
    "Policy": "agent",
    "load_policy": "policies",
    "option": "config",
    "plan": "planning",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
