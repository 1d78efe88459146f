"""Proximal policy optimization.

The names below are loaded on first use: the command line reads the options without starting JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anmjax.agents.ppo.checkpoint import Checkpoint as Checkpoint
    from anmjax.agents.ppo.checkpoint import CheckpointError as CheckpointError
    from anmjax.agents.ppo.checkpoint import load as load
    from anmjax.agents.ppo.checkpoint import restore_learner as restore_learner
    from anmjax.agents.ppo.checkpoint import restore_policy as restore_policy
    from anmjax.agents.ppo.checkpoint import save as save
    from anmjax.agents.ppo.config import PPOConfig as PPOConfig
    from anmjax.agents.ppo.network import ActorCritic as ActorCritic
    from anmjax.agents.ppo.network import Policy as Policy
    from anmjax.agents.ppo.training import Training as Training
    from anmjax.agents.ppo.training import train as train
    from anmjax.agents.ppo.training import train_seeds as train_seeds
    from anmjax.agents.ppo.update import PPO as PPO
    from anmjax.agents.ppo.update import Learner as Learner

_HOME = {
    "ActorCritic": "network",
    "Checkpoint": "checkpoint",
    "CheckpointError": "checkpoint",
    "Learner": "update",
    "PPO": "update",
    "PPOConfig": "config",
    "Policy": "network",
    "Training": "training",
    "load": "checkpoint",
    "restore_learner": "checkpoint",
    "restore_policy": "checkpoint",
    "save": "checkpoint",
    "train": "training",
    "train_seeds": "training",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
