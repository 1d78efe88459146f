"""Gymnasium: every registered task as ``gymnasium.make("anmjax/ANM6Easy-v0")``, alone and in vectors.

Importing this module registers them; Gymnasium does it by itself for
``gymnasium.make("anmjax.adapters.gymnasium:anmjax/ANM6Easy-v0")``.
"""

from __future__ import annotations

import gymnasium

from anmjax.adapters.errors import EnvInitializationError
from anmjax.adapters.gymnasium_env import Env
from anmjax.adapters.gymnasium_vector import VectorEnv
from anmjax.tasks.registry import registered_tasks

__all__ = ["Env", "EnvInitializationError", "VectorEnv", "register_tasks"]


def register_tasks() -> None:
    """Registers every task of ``anmjax.registered_tasks()`` with Gymnasium, as "anmjax/" and its name.

    Call it again after ``anmjax.register``. A task is registered once only.
    """
    for name in registered_tasks():
        if f"anmjax/{name}" not in gymnasium.registry:
            gymnasium.register(
                f"anmjax/{name}",
                entry_point=f"{__name__}:Env",
                vector_entry_point=f"{__name__}:VectorEnv",
                kwargs={"task": name},
            )


register_tasks()
