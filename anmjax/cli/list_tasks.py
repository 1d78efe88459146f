"""``anmjax list``: the registered tasks."""

from __future__ import annotations

import argparse

import anmjax.tasks  # with all that making a task needs
from anmjax.cli.screen import wrapped


def run(arguments: argparse.Namespace) -> int:
    """Prints a paragraph for each task: id, sizes, what it is."""
    for task in sorted(anmjax.registered_tasks()):
        env = anmjax.make(task)
        about = (type(env).__doc__ or "").strip().splitlines() or [""]
        sizes = f"{env.observation_space.shape[0]} observations, {env.action_space.shape[0]} actions"
        sentence = about[0].removeprefix(f"{task}: ")
        print(
            wrapped(f"{task:<18} {sizes}. {sentence[:1].upper()}{sentence[1:]}", indent=" " * 19), flush=True
        )
    return 0
