"""``anmjax render``: a page that replays policies from the same start, side by side."""

from __future__ import annotations

import argparse

import jax

from anmjax.agents.baselines import BASELINES
from anmjax.agents.evaluation import starts_of
from anmjax.agents.replay import replay
from anmjax.agents.seeds import key_of_seed
from anmjax.cli.compiled_programs import keep_programs
from anmjax.cli.errors import CommandError
from anmjax.cli.evaluate import baseline_of, find_checkpoint, policy_of, task_of_all, write
from anmjax.cli.screen import say
from anmjax.render.web_page import page


def run(arguments: argparse.Namespace) -> int:
    """Follows every policy named from the first start of the task, and writes the page."""
    keep_programs(arguments.no_cache)
    checkpoints = {name: find_checkpoint(name) for name in arguments.policy if name not in BASELINES}
    task, env = task_of_all(arguments.task, list(checkpoints.values()))
    if not hasattr(env, "network"):
        raise CommandError(f"a page shows a grid, and {task} has none.")
    policies = {
        name: policy_of(checkpoints[name], env) if name in checkpoints else baseline_of(name, task, env)
        for name in arguments.policy
    }
    steps = arguments.horizon or max(1, round(48 / float(env.delta_t)))
    starts_key, policy_key = jax.random.split(key_of_seed(arguments.seed))
    starts, _ = starts_of(env, starts_key, num_starts=1)
    start = jax.tree.map(lambda x: x[0], starts)
    rollouts = {}
    for name, policy in policies.items():
        say(f"Following {name} through {steps:,} steps, compiling first...")
        rollouts[name] = replay(env, policy, start, steps=steps, key=policy_key)
    write(arguments.out, page(rollouts, title=task))
    print(f"{arguments.out}: {steps:,} steps of {', '.join(rollouts)} on {task}; open it in a browser.")
    return 0
