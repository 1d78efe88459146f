"""``anmjax rollout``: a policy's steps, recorded to a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jax
import numpy as np

from anmjax.adapters.recording import Rollout, rollout
from anmjax.agents.seeds import key_of_seed
from anmjax.cli.compiled_programs import keep_programs
from anmjax.cli.errors import CommandError
from anmjax.cli.evaluate import policies_of, task_and_checkpoints
from anmjax.cli.screen import reporter, say

WRITERS = {".npz": Rollout.to_npz, ".csv": Rollout.to_csv, ".parquet": Rollout.to_parquet}
DRAWN = 96  # starts, where none are asked for and the task has none of its own


def run(arguments: argparse.Namespace) -> int:
    """Follows the policy from every start, and writes its steps."""
    keep_programs(arguments.no_cache)
    name, steps, out = arguments.policy, arguments.steps, arguments.out
    task, env, checkpoints = task_and_checkpoints([name], arguments.task)
    policy = policies_of([name], task, env, checkpoints)[name]
    starts = starts_for(env, arguments.starts, drawn=arguments.drawn)
    lanes = starts if isinstance(starts, int) else len(jax.tree.leaves(starts)[0])
    say(f"Following {name} from {lanes:,} starts, {steps:,} steps each, compiling first...")
    recorded = rollout(
        env, policy, starts, steps, key_of_seed(arguments.seed), progress=reporter(steps, "steps")
    )
    try:
        WRITERS[Path(out).suffix](recorded, out)
    except OSError as error:
        raise CommandError(f"cannot write {out}: {error.strerror or error}.") from error
    collapsed = int((recorded.terminated & recorded.valid).sum())
    print(
        f"{out}: {int(recorded.valid.sum()):,} steps of {name} on {task}, {lanes:,} episodes, {collapsed:,} "
        "of which ended in a collapse."
    )
    return 0


def starts_for(env: Any, count: int | None, *, drawn: bool) -> Any:
    """Starts for ``anmjax.rollout``: some of the task's own, or how many to draw.

    Raises:
      CommandError: more are asked for than the task has of its own.
    """
    own = None if drawn else getattr(env, "evaluation_starts", None)
    if own is None:
        return DRAWN if count is None else count
    starts = own()
    known = len(jax.tree.leaves(starts)[0])
    count = known if count is None else count
    if count > known:
        raise CommandError(f"--starts is {count:,}, but the task has {known:,} of its own: add --drawn.")
    spread = np.arange(count) * known // count
    return jax.tree.map(lambda x: x[spread], starts)
