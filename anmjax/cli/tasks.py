"""Making the environment that a command names."""

from __future__ import annotations

from typing import Any

import anmjax
from anmjax.cli.errors import CommandError, nearest


def make_task(task: str, overrides: dict[str, Any] | None = None) -> Any:
    """The environment of a registered task.

    Raises:
      CommandError: there is no such task; suggests the nearest.
    """
    known = anmjax.registered_tasks()
    if task not in known:
        suggestion = nearest(task, known)
        raise CommandError(f"unknown task {task}{suggestion} 'anmjax list' shows all tasks.")
    return anmjax.make(task, **(overrides or {}))
