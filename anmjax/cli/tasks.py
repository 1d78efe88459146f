"""Making the environment that a command names."""

from __future__ import annotations

import importlib
import os
import re
import sys
from dataclasses import replace
from typing import Any

import anmjax.tasks  # with all that making a task needs
from anmjax.agents.training.checkpoint import Checkpoint
from anmjax.cli.errors import CommandError, nearest


def make_task(task: str, **overrides: Any) -> Any:
    """The environment of a registered task, or of one of the user's own, ``module:name``.

    Raises:
      CommandError: there is no such task, and suggests the nearest; or it does not take the overrides.
    """
    if ":" not in task:
        known = anmjax.registered_tasks()
        if task not in known:
            suggestion = nearest(task, known)
            raise CommandError(f"unknown task {task[:80]}{suggestion} 'anmjax list' shows all tasks.")
    try:
        return _own_task(task, overrides) if ":" in task else anmjax.make(task, **overrides)
    except (TypeError, ValueError) as error:
        if not overrides:
            raise
        options = ", ".join(f"--{name}" for name in overrides)
        raise CommandError(f"{task} does not take this {options}: {str(error)[:200]}.") from error


def task_of(checkpoint: Checkpoint) -> Any:
    """The environment that a checkpoint was trained on.

    Raises:
      CommandError: no such task is registered here, or it cannot be made as it was then.
    """
    path, task, overrides = checkpoint.path, checkpoint.task, checkpoint.overrides
    if ":" in task:
        return make_task(task, **overrides)
    if task not in anmjax.registered_tasks():
        what = f"on {task[:80]!r}, which is not registered here" if task else "on no task that has a name"
        raise CommandError(f"{path} was trained {what}: add --task TASK, or go on from Python.")
    try:
        return anmjax.make(task, **overrides)
    except Exception as error:  # a file may ask for anything, and a task's constructor raises what it likes
        if not overrides:
            raise
        raise CommandError(
            f"{path} was trained on {task} with {str(overrides)[:80]}, which cannot be made: "
            f"{str(error)[:200]}."
        ) from error


def scoring_task_of(checkpoint: Checkpoint) -> Any:
    """The environment that a checkpoint is compared with others on: the task's own reward counts for all.

    Raises:
      CommandError: as for ``task_of``.
    """
    overrides = {name: value for name, value in checkpoint.overrides.items() if name != "reward"}
    return task_of(replace(checkpoint, overrides=overrides))


def _own_task(task: str, overrides: dict[str, Any]) -> Any:
    """The task of a module of the user's: an environment, or a function or class that makes one.

    The module is looked for where Python looks, and in the folder that the command is given in.
    """
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", task):
        raise CommandError(f"{task[:80]} is no task: write module:name, as for my_grid:task in my_grid.py.")
    module_name, _, name = task.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that the user's own lacks is another matter, and its traceback says where.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise CommandError(f"there is no module {module_name} in {os.getcwd()}, nor installed.") from error
    if not hasattr(module, name):
        names = [own for own in vars(module) if not own.startswith("_")]
        raise CommandError(f"{module_name} has no {name}{nearest(name, names)}")
    found = getattr(module, name)
    if hasattr(found, "reset") and hasattr(found, "step") and not isinstance(found, type):
        return found.replace(**overrides) if overrides else found
    made = found(**overrides) if callable(found) else None
    if not (hasattr(made, "reset") and hasattr(made, "step")):
        what = f"makes a {type(made).__name__}" if callable(found) else f"is a {type(found).__name__}"
        raise CommandError(f"{task} {what}, but must be a task, or a function or class that makes one.")
    return made
