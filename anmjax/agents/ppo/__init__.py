"""Proximal policy optimization, and what trains an agent, saves it and acts with it.

The names below are loaded on first use: the command line reads the options without starting JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anmjax.agents.ppo.config import PPOConfig as PPOConfig
    from anmjax.agents.ppo.network import ActorCritic as ActorCritic
    from anmjax.agents.ppo.network import Policy as Policy
    from anmjax.agents.ppo.update import PPO as PPO
    from anmjax.agents.ppo.update import Learner as Learner
    from anmjax.agents.training.checkpoint import Checkpoint as Checkpoint
    from anmjax.agents.training.checkpoint import CheckpointError as CheckpointError
    from anmjax.agents.training.checkpoint import load as load
    from anmjax.agents.training.checkpoint import restore_learner as restore_learner
    from anmjax.agents.training.checkpoint import restore_policy as restore_policy
    from anmjax.agents.training.checkpoint import save as save
    from anmjax.agents.training.loop import Training as Training
    from anmjax.agents.training.loop import train as train
    from anmjax.agents.training.loop import train_seeds as train_seeds

_HOME = {
    "ActorCritic": "ppo.network",
    "Checkpoint": "training.checkpoint",
    "CheckpointError": "training.checkpoint",
    "Learner": "ppo.update",
    "PPO": "ppo.update",
    "PPOConfig": "ppo.config",
    "Policy": "ppo.network",
    "Training": "training.loop",
    "load": "training.checkpoint",
    "restore_learner": "training.checkpoint",
    "restore_policy": "training.checkpoint",
    "save": "training.checkpoint",
    "train": "training.loop",
    "train_seeds": "training.loop",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"anmjax.agents.{_HOME[name]}"), name)
