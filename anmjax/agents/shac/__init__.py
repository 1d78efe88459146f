"""Short-horizon actor-critic: learning through the simulator.

The names below are loaded on first use: the command line reads the options without starting JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anmjax.agents.shac.config import SHACConfig as SHACConfig
    from anmjax.agents.shac.network import SHACPolicy as SHACPolicy
    from anmjax.agents.shac.update import SHAC as SHAC

_HOME = {"SHAC": "update", "SHACConfig": "config", "SHACPolicy": "network"}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
