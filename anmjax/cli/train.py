"""``anmjax train``: one agent a seed, then how it compares with doing nothing."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from anmjax.agents.baselines import do_nothing_policy
from anmjax.agents.ppo import Checkpoint, CheckpointError, PPOConfig, train
from anmjax.agents.ppo.training import CHECKPOINT_FILE
from anmjax.cli.errors import CommandError
from anmjax.cli.evaluate import find_checkpoint, score
from anmjax.cli.report import table
from anmjax.cli.tasks import make_task


def run(arguments: argparse.Namespace) -> int:
    """Trains, evaluates, prints where everything is."""
    typed = {
        field.name: getattr(arguments, field.name)
        for field in dataclasses.fields(PPOConfig)
        if hasattr(arguments, field.name)
    }
    if arguments.resume:
        checkpoint = _resumed(arguments, typed)
        out = Path(arguments.out) if arguments.out else checkpoint.path.parent
        env = make_task(checkpoint.task, checkpoint.overrides)
        return _train_one(env, checkpoint.task, None, checkpoint.seed, out, checkpoint, arguments.quiet)

    if not arguments.task:
        raise CommandError("name a task to train on: anmjax train TASK ('anmjax list' shows all).")
    config = _config(typed)
    env = make_task(arguments.task)
    seeds = arguments.seed or [0]
    moment = time.strftime("%Y%m%d-%H%M%S")
    for seed in seeds:
        out = Path("runs") / f"{arguments.task}-seed{seed}-{moment}"
        if arguments.out:
            out = Path(arguments.out) / f"seed{seed}" if len(seeds) > 1 else Path(arguments.out)
        if (out / CHECKPOINT_FILE).exists():
            raise CommandError(f"{out} holds a training: go on with --resume {out}, or choose another --out.")
        code = _train_one(env, arguments.task, config, seed, out, None, arguments.quiet)
        if code:
            return code
    return 0


def _train_one(
    env: Any,
    task: str,
    config: PPOConfig | None,
    seed: int,
    out: Path,
    resume: Checkpoint | None,
    quiet: bool,
) -> int:
    try:
        training = train(
            env,
            config,
            seed=seed,
            out=out,
            task=task,
            overrides=resume.overrides if resume else None,
            resume=resume,
            quiet=quiet,
        )
    except CheckpointError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"cannot write to {out}: {error.strerror}.") from error
    minutes, seconds = divmod(round(training.seconds), 60)
    if training.interrupted:
        print(f"Stopped after {minutes} min {seconds} s. Checkpoint: {training.checkpoint}")
        print(f"Go on:    anmjax train --resume {out}")
        print(f"Evaluate: anmjax evaluate {out}")
        return 130
    print(f"Trained in {minutes} min {seconds} s. Checkpoint: {training.checkpoint}")
    policies: dict[str, Any] = {f"ppo, seed {seed}": training.learner.policy}
    if hasattr(env, "network"):
        policies["do-nothing"] = do_nothing_policy(env)
    outcomes = score(env, policies)
    print(table(task, outcomes))
    record = {name: outcome.to_dict() for name, outcome in outcomes.items()}
    (out / "evaluation.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"Evaluate again: anmjax evaluate {out}")
    return 0


def _config(typed: dict[str, Any]) -> PPOConfig:
    """The options, or a CommandError in the words of the command line."""
    try:
        return PPOConfig(**typed)
    except ValueError as error:
        message = str(error).removeprefix("PPOConfig: ")
        for field in dataclasses.fields(PPOConfig):
            message = message.replace(field.name, "--" + field.name.replace("_", "-"))
        raise CommandError(message) from error


def _resumed(arguments: argparse.Namespace, typed: dict[str, Any]) -> Checkpoint:
    """The checkpoint to go on from, if nothing on the command line contradicts it."""
    if typed:
        flag = "--" + next(iter(typed)).replace("_", "-")
        raise CommandError(f"{flag} cannot be changed by --resume: a training goes on with its own options.")
    path = Path(arguments.resume)
    if not path.exists():
        raise CommandError(f"nothing to go on with: there is no {path}.")
    checkpoint = find_checkpoint(arguments.resume)
    if arguments.task and arguments.task != checkpoint.task:
        raise CommandError(f"{path} is a training on {checkpoint.task}, not on {arguments.task}.")
    if arguments.seed and arguments.seed != [checkpoint.seed]:
        raise CommandError(f"{path} is a training with seed {checkpoint.seed}: leave out --seed.")
    return checkpoint
