"""Making the environment that a command names."""

from __future__ import annotations

from typing import Any

import anmjax.tasks  # with all that making a task needs
from anmjax.agents.training.checkpoint import Checkpoint
from anmjax.cli.errors import CommandError, nearest


def make_task(task: str) -> Any:
    """The environment of a registered task.

    Raises:
      CommandError: there is no such task; suggests the nearest.
    """
    known = anmjax.registered_tasks()
    if task not in known:
        suggestion = nearest(task, known)
        raise CommandError(f"unknown task {task[:80]}{suggestion} 'anmjax list' shows all tasks.")
    return anmjax.make(task)


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
