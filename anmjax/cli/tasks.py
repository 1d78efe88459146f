"""Making the environment that a command names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anmjax.tasks  # with all that making a task needs
from anmjax.agents.training.checkpoint import Checkpoint
from anmjax.cli.errors import CommandError, nearest


def make_task(task: str, **overrides: Any) -> Any:
    """The environment of a registered task.

    Raises:
      CommandError: there is no such task, and suggests the nearest; or it does not take the overrides.
    """
    known = anmjax.registered_tasks()
    if task not in known:
        suggestion = nearest(task, known)
        raise CommandError(f"unknown task {task[:80]}{suggestion} 'anmjax list' shows all tasks.")
    try:
        return anmjax.make(task, **overrides)
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
