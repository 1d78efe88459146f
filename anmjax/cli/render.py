"""``anmjax render``: a page, or a film, that replays policies from the same start, side by side."""

from __future__ import annotations

import argparse

import jax

from anmjax.agents.evaluation import starts_of
from anmjax.agents.replay import replay
from anmjax.agents.seeds import key_of_seed
from anmjax.cli.compiled_programs import keep_programs
from anmjax.cli.errors import CommandError
from anmjax.cli.evaluate import policies_of, task_and_checkpoints, write
from anmjax.cli.outputs import is_film
from anmjax.cli.screen import reporter, say
from anmjax.render.animation import animate, check_film
from anmjax.render.web_page import page


def run(arguments: argparse.Namespace) -> int:
    """Follows every policy named from the first start of the task, and writes the page or the film."""
    if is_film(arguments.out):
        check_film_of(arguments.out)
    keep_programs(arguments.no_cache)
    task, env, checkpoints = task_and_checkpoints(arguments.policy, arguments.task)
    if not hasattr(env, "network"):
        raise CommandError(f"a page shows a grid, and {task} has none.")
    policies = policies_of(arguments.policy, task, env, checkpoints)
    steps = arguments.horizon or max(1, round(48 / float(env.delta_t)))
    starts_key, policy_key = jax.random.split(key_of_seed(arguments.seed))
    starts, _ = starts_of(env, starts_key, num_starts=1)
    start = jax.tree.map(lambda x: x[0], starts)
    rollouts = {}
    for name, policy in policies.items():
        say(f"Following {name} through {steps:,} steps, compiling first...")
        rollouts[name] = replay(env, policy, start, steps=steps, key=policy_key)
    out, told = arguments.out, f"{steps:,} steps of {', '.join(rollouts)} on {task}"
    if is_film(out):
        say(f"Drawing {steps:,} pictures...")
        try:
            animate(rollouts, out, title=task, progress=reporter(steps, "pictures"))
        except OSError as error:
            raise CommandError(f"cannot write {out}: {error.strerror or error}.") from error
        print(f"{out}: {told}.")
    else:
        write(out, page(rollouts, title=task))
        print(f"{out}: {told}; open it in a browser.")
    return 0


def check_film_of(out: str) -> None:
    """Refuses a film that cannot be made here.

    Raises:
      CommandError: matplotlib or ffmpeg is missing.
    """
    try:
        check_film(out)
    except ImportError as error:
        raise CommandError(f"--out {out[:80]} needs matplotlib: pip install 'anmjax[plot]'.") from error
    except RuntimeError as error:
        raise CommandError(f"--out: {error}.") from error
