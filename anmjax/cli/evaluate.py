"""``anmjax evaluate``: scores of checkpoints and baselines on the starts that a task states."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

from anmjax.agents.baselines import BASELINES
from anmjax.agents.config import AgentConfig
from anmjax.agents.evaluation import Evaluation, evaluate, starts_of
from anmjax.agents.mpc import MPC
from anmjax.agents.policies import shipped
from anmjax.agents.registry import AGENTS
from anmjax.agents.replay import replay
from anmjax.agents.seeds import key_of_seed
from anmjax.agents.training.checkpoint import Checkpoint, CheckpointError, load, restore_policy
from anmjax.agents.training.run_folder import CHECKPOINT_FILE
from anmjax.cli.compiled_programs import keep_programs
from anmjax.cli.devices import use_devices
from anmjax.cli.errors import CommandError, nearest
from anmjax.cli.outputs import check_plot
from anmjax.cli.report import differences, rows, table
from anmjax.cli.screen import reporter, say
from anmjax.cli.tasks import make_task, scoring_task_of
from anmjax.render.comparison import plot_policies
from anmjax.render.day import plot_day


def run(arguments: argparse.Namespace) -> int:
    """Evaluates every policy named, prints tables, writes JSON and CSV if asked to."""
    check_plot(arguments.plot)
    check_plot(arguments.plot_scores, "--plot-scores")
    keep_programs(arguments.no_cache)
    use_devices(arguments.devices)
    task, env, checkpoints = task_and_checkpoints(arguments.policy, arguments.task)
    policies = policies_of(arguments.policy, task, env, checkpoints)
    if arguments.plot and not hasattr(env, "network"):
        raise CommandError(f"--plot draws a day on a grid, and {task} has none.")
    gamma = discount_of(env, [checkpoint.config for checkpoint in checkpoints.values()])
    chosen = {"num_starts": arguments.num_starts, "drawn": arguments.drawn, "soc_mwh": arguments.soc}
    outcomes = score(env, policies, seed=arguments.seed, horizon=arguments.horizon, gamma=gamma, **chosen)
    print(table(task, outcomes))
    if len(outcomes) > 1:
        print("\n" + differences(outcomes))
    if arguments.json:
        first, *others = outcomes
        record = {
            "task": task,
            "policies": {name: outcome.to_dict() for name, outcome in outcomes.items()},
            f"less {first}": {name: asdict(outcomes[name].less(outcomes[first])) for name in others},
        }
        write(arguments.json, json.dumps(record, indent=2) + "\n")
    if arguments.csv:
        write(arguments.csv, rows(outcomes))
    if arguments.plot_scores:
        save(plot_policies(outcomes, title=task), arguments.plot_scores)
    if arguments.plot:
        _plot(arguments.plot, task, env, policies, seed=arguments.seed, **chosen)
    return 0


def task_and_checkpoints(names: Sequence[str], task: str | None) -> tuple[str, Any, dict[str, Checkpoint]]:
    """The one task, by name and made, that policies act on, and the checkpoints of those that have one."""
    checkpoints = {name: find_checkpoint(name) for name in names if name not in BASELINES}
    return *task_of_all(task, list(checkpoints.values())), checkpoints


def policies_of(
    names: Sequence[str], task: str, env: Any, checkpoints: dict[str, Checkpoint]
) -> dict[str, Any]:
    """Policies by the names that a command was given."""
    return {
        name: policy_of(checkpoints[name], env) if name in checkpoints else baseline_of(name, task, env)
        for name in names
    }


def write(file: str, text: str) -> None:
    """Writes a result.

    Raises:
      CommandError: the file cannot be written.
    """
    try:
        Path(file).write_text(text, encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}.") from error


def _plot(file: str, task: str, env: Any, policies: dict[str, Any], *, seed: int, **chosen: Any) -> None:
    starts_key, policy_key = jax.random.split(key_of_seed(seed))
    starts, _ = starts_of(env, starts_key, **chosen)
    first = jax.tree.map(lambda x: x[0], starts)
    say(f"Drawing two days of each, compiling first: {file}")
    steps = max(1, round(24 / float(env.delta_t)))
    days = {
        name: replay(env, policy, first, steps=steps, skip=steps, key=policy_key)
        for name, policy in policies.items()
    }
    save(plot_day(days, title=task), file)


def save(figure: Any, file: str) -> None:
    """Writes a picture.

    Raises:
      CommandError: the file cannot be written.
    """
    try:
        figure.savefig(file, dpi=130)
    except (OSError, ValueError) as error:  # ValueError: an ending that is no image's
        raise CommandError(f"cannot write {file}: {error}.") from error


def score(
    env: Any,
    policies: dict[str, Any],
    *,
    seed: int = 0,
    horizon: int = 3000,
    num_starts: int = 96,
    drawn: bool = False,
    soc_mwh: Sequence[float] | None = None,
    gamma: float | None = None,
    quiet: bool = False,
) -> dict[str, Evaluation]:
    """Evaluates policies on the same starts, by name; ``gamma`` as for ``evaluate``."""
    starts_key, policy_key = jax.random.split(key_of_seed(seed))
    try:
        starts, described = starts_of(env, starts_key, num_starts=num_starts, drawn=drawn, soc_mwh=soc_mwh)
    except ValueError as error:
        raise CommandError(f"{error}.") from error
    scores = {}
    for name, policy in policies.items():
        if not quiet:
            plans = "; planning at every step takes minutes" if isinstance(policy, MPC) else ""
            work = f"{len(starts.reward)} starts, {horizon:,} steps each{plans}"
            say(f"Evaluating {name}: compiling (some 10 s), {work}...")
        begun = time.perf_counter()
        scores[name] = evaluate(
            env,
            policy,
            starts,
            horizon=horizon,
            gamma=gamma,
            key=policy_key,
            described=described,
            progress=None if quiet else reporter(horizon, "steps"),
        )
        took = time.perf_counter() - begun
        if not quiet:
            say(f"{name}: {scores[name].discounted_return:.3f}, {took:.0f} s")
    return scores


def discount_of(env: Any, configs: Sequence[AgentConfig]) -> float | None:
    """The discount factor to score by, None: the environment's; one that has none takes a learner's.

    Raises:
      CommandError: there is none.
    """
    if hasattr(env, "gamma"):
        return None
    learned_with = [getattr(config, "gamma", None) for config in configs]
    if not learned_with or learned_with[0] is None:
        raise CommandError("the task has no discount factor: name a trained policy, which has one, first.")
    return float(learned_with[0])


def find_checkpoint(name: str) -> Checkpoint:
    """The checkpoint in a file, in the folder of a training, or of a policy of the package: shac@TASK.

    Raises:
      CommandError: there is none; suggests the baseline that the name is most like.
    """
    # os.path, for pathlib raises errors of names that are too long.
    path = Path(name) / CHECKPOINT_FILE if os.path.isdir(name) else Path(name)
    if not os.path.exists(path):
        agent, at, task = name.partition("@")
        if at and agent in AGENTS:
            try:
                return shipped(task, agent)
            except ValueError as error:
                raise CommandError(f"{error}.") from error
        if at and os.sep not in agent:
            raise CommandError(
                f"{name[:80]} is of no learner{nearest(agent, AGENTS)} There are: {', '.join(AGENTS)}."
            )
        raise CommandError(f"no checkpoint at {path}, nor a baseline of that name{nearest(name, BASELINES)}")
    try:
        return load(path)
    except CheckpointError as error:
        raise CommandError(str(error)) from error


def baseline_of(name: str, task: str, env: Any) -> Any:
    """The baseline of that name, or a CommandError that says why the task has none."""
    try:
        return BASELINES[name](env)
    except ValueError as error:
        raise CommandError(f"{task} has no baseline {name}: {error}.") from error
    except AttributeError as error:
        if hasattr(env, "network"):
            raise
        raise CommandError(f"{task} has no baseline {name}: it has no grid.") from error


def policy_of(checkpoint: Checkpoint, env: Any) -> Any:
    """The policy of a checkpoint on an environment, or a CommandError that says why not."""
    try:
        return restore_policy(checkpoint, env)
    except CheckpointError as error:
        raise CommandError(str(error)) from error


def task_of_all(asked: str | None, checkpoints: list[Checkpoint]) -> tuple[str, Any]:
    """The one task that all policies are to act on, and its environment.

    Args:
      asked: name of a task; None: that of the checkpoints.
      checkpoints: of the policies that have one.

    Raises:
      CommandError: there is no such task, or the checkpoints are of none or of several.
    """
    if asked:
        return asked, make_task(asked)
    made = {checkpoint.task: checkpoint for checkpoint in checkpoints}
    if not made:
        raise CommandError("baselines need a task: add --task TASK.")
    if len(made) > 1:
        raise CommandError(f"the checkpoints are of different tasks ({', '.join(made)}): add --task TASK.")
    ((task, checkpoint),) = made.items()
    return task, scoring_task_of(checkpoint)
