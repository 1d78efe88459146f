"""``anmjax list``: the registered tasks."""

from __future__ import annotations

import argparse

import anmjax


def run(arguments: argparse.Namespace) -> int:
    """Prints a line for each task: id, sizes, what it is."""
    for task in sorted(anmjax.registered_tasks()):
        env = anmjax.make(task)
        about = (type(env).__doc__ or "").strip().splitlines() or [""]
        sizes = f"{env.observation_space.shape[0]} observations, {env.action_space.shape[0]} actions"
        print(f"{task:<18} {sizes:<30} {about[0]}")
    return 0
