"""Tasks by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from anmjax.envs.env import ANMEnv
from anmjax.tasks.anm6 import ANM6
from anmjax.tasks.anm6_easy import ANM6Easy
from anmjax.tasks.cigre_mv import CIGREMV
from anmjax.tasks.ieee33 import IEEE33
from anmjax.tasks.ieee33_easy import IEEE33Easy
from anmjax.tasks.ieee33_switch import IEEE33Switch
from anmjax.tasks.ieee69 import IEEE69
from anmjax.tasks.lv_feeder import LVFeeder
from anmjax.tasks.mv_oberrhein import MVOberrhein

_FACTORIES: dict[str, Callable[..., ANMEnv]] = {
    "ANM6Easy-v0": ANM6Easy,
    "IEEE33Easy-v0": IEEE33Easy,
    "ANM6-v0": ANM6,
    "IEEE33-v0": IEEE33,
    "IEEE69-v0": IEEE69,
    "CIGREMV-v0": CIGREMV,
    "LVFeeder-v0": LVFeeder,
    "MVOberrhein-v0": MVOberrhein,
    "IEEE33Switch-v0": IEEE33Switch,
}


class UnknownTaskError(ValueError):
    """No task has the name asked for."""


def make(task_id: str, **overrides: Any) -> ANMEnv:
    """Builds a task.

    Args:
      task_id: registered name, e.g. "ANM6Easy-v0".
      **overrides: arguments of the task's constructor, e.g. ``gamma``, ``lamb``, ``num_iters``, ``dtype``.

    Raises:
      UnknownTaskError: no such task; the nearest name is suggested.
    """
    if task_id not in _FACTORIES:
        lower = {name.lower(): name for name in _FACTORIES}
        near = difflib.get_close_matches(str(task_id).lower(), lower, 1, cutoff=0.5)
        hint = f"did you mean {lower[near[0]]!r}?" if near else f"known tasks: {', '.join(_FACTORIES)}"
        raise UnknownTaskError(f"unknown task {task_id!r}; {hint}")
    return _FACTORIES[task_id](**overrides)


def register(task_id: str, factory: Callable[..., ANMEnv]) -> None:
    """Adds a task, for ``make`` and the command line.

    Args:
      task_id: its name.
      factory: class or function that builds it, given overrides as keyword arguments.

    Raises:
      ValueError: the name is taken by another factory.
    """
    if _FACTORIES.get(task_id, factory) is not factory:
        raise ValueError(f"task {task_id!r} is already registered, choose another name")
    _FACTORIES[task_id] = factory


def registered_tasks() -> tuple[str, ...]:
    """Names of all tasks, sorted."""
    return tuple(sorted(_FACTORIES))
