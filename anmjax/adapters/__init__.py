"""Tasks for other libraries, checks and records of them.

``anmjax.adapters.gymnasium``, ``gym_anm``, ``sb3``, ``gymnax``, ``brax``, ``envelope``, ``jaxmarl`` and
``minari`` each import their library, and are loaded on first use: none of these libraries is needed for the
others.
"""

from __future__ import annotations

import importlib
from typing import Any

from anmjax.adapters.contract import ContractError, check_env
from anmjax.adapters.recording import Rollout, rollout

__all__ = ["ContractError", "Rollout", "check_env", "rollout"]

_LIBRARIES = ("brax", "envelope", "gym_anm", "gymnasium", "gymnax", "jaxmarl", "minari", "sb3")


def __getattr__(name: str) -> Any:
    if name not in _LIBRARIES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LIBRARIES})
