"""Independent proximal policy optimization: a learner for each device or bus.

The names below are loaded on first use: the command line reads the options without starting JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anmjax.agents.ippo.config import IPPOConfig as IPPOConfig
    from anmjax.agents.ippo.network import IndependentActorCritic as IndependentActorCritic
    from anmjax.agents.ippo.update import IPPO as IPPO

_HOME = {"IPPO": "update", "IPPOConfig": "config", "IndependentActorCritic": "network"}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
