"""``anmjax train``: one agent a seed, then how it compares with doing nothing."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from anmjax.agents.baselines import do_nothing_policy
from anmjax.agents.ppo import Checkpoint, CheckpointError, PPOConfig, Training, train, train_seeds
from anmjax.agents.ppo.sharding import mesh_for
from anmjax.agents.ppo.training import CHECKPOINT_FILE
from anmjax.cli.devices import join_processes, use_devices
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
    use_devices(arguments.devices)
    join_processes(arguments.coordinator, arguments.num_processes, arguments.process_id)
    # Of several processes, each has made its own.
    devices = arguments.devices if jax.process_count() == 1 else None
    common: dict[str, Any] = {"devices": devices, "quiet": arguments.quiet}
    if arguments.resume:
        checkpoint = _resumed(arguments, typed)
        _check_devices(checkpoint.config, devices)
        out = Path(arguments.out) if arguments.out else checkpoint.path.parent
        made: dict[str, Any] = {"task": checkpoint.task, "overrides": checkpoint.overrides}
        env = make_task(checkpoint.task, checkpoint.overrides)
        with _sentences(out):
            training = train(env, out=out, resume=checkpoint, **made, **common)
        return _report(env, checkpoint.task, {checkpoint.seed: (out, training)})

    if not arguments.task:
        raise CommandError("name a task to train on: anmjax train TASK ('anmjax list' shows all).")
    config = _config(typed)
    _check_devices(config, devices)
    env = make_task(arguments.task)
    outs = _folders(arguments)
    if arguments.together:
        with _sentences(*outs.values()):
            trainings = train_seeds(env, config, outs=outs, task=arguments.task, **common)
        done = dict(zip(outs, zip(outs.values(), trainings, strict=True), strict=True))
        return _report(env, arguments.task, done)
    for seed, out in outs.items():
        with _sentences(out):
            training = train(env, config, seed=seed, out=out, task=arguments.task, **common)
        if code := _report(env, arguments.task, {seed: (out, training)}):
            return code
    return 0


def _folders(arguments: argparse.Namespace) -> dict[int, Path]:
    """Where the files of each seed go, by seed; none of the folders may hold a training."""
    seeds, moment = arguments.seed or [0], time.strftime("%Y%m%d-%H%M%S")
    folders = {}
    for seed in seeds:
        out = Path("runs") / f"{arguments.task}-seed{seed}-{moment}"
        if arguments.out:
            out = Path(arguments.out) / f"seed{seed}" if len(seeds) > 1 else Path(arguments.out)
        if jax.process_index() == 0 and (out / CHECKPOINT_FILE).exists():
            raise CommandError(f"{out} holds a training: go on with --resume {out}, or choose another --out.")
        folders[seed] = out
    return folders


def _check_devices(config: PPOConfig, devices: int | None) -> None:
    try:
        mesh_for(config, devices)
    except ValueError as error:
        raise CommandError(_as_flags(f"{error}.")) from error


@contextlib.contextmanager
def _sentences(*outs: Path) -> Iterator[None]:
    """Failures that are no fault of the program's, in the words of the command line."""
    try:
        yield
    except CheckpointError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"cannot write to {', '.join(map(str, outs))}: {error.strerror}.") from error


def _report(env: Any, task: str, done: dict[int, tuple[Path, Training]]) -> int:
    """Says how trainings ended, by seed, and how their policies compare; the first process does."""
    trainings = [training for _, training in done.values()]
    interrupted = any(training.interrupted for training in trainings)
    if jax.process_index() > 0:
        return 130 if interrupted else 0
    minutes, seconds = divmod(round(max(training.seconds for training in trainings)), 60)
    for out, training in done.values():
        if interrupted:
            print(f"Stopped after {minutes} min {seconds} s. Checkpoint: {training.checkpoint}")
            print(f"Go on:    anmjax train --resume {out}")
            print(f"Evaluate: anmjax evaluate {out}")
        else:
            print(f"Trained in {minutes} min {seconds} s. Checkpoint: {training.checkpoint}")
    if interrupted:
        return 130
    policies: dict[str, Any] = {
        f"ppo, seed {seed}": training.learner.policy for seed, (_, training) in done.items()
    }
    if hasattr(env, "network"):
        policies["do-nothing"] = do_nothing_policy(env)
    outcomes = score(env, policies)
    print(table(task, outcomes))
    for seed, (out, _) in done.items():
        own = {
            name: outcomes[name].to_dict() for name in (f"ppo, seed {seed}", "do-nothing") if name in outcomes
        }
        (out / "evaluation.json").write_text(json.dumps(own, indent=2) + "\n", encoding="utf-8")
    print("Evaluate again: anmjax evaluate " + " ".join(str(out) for out, _ in done.values()))
    return 0


def _config(typed: dict[str, Any]) -> PPOConfig:
    """The options, or a CommandError in the words of the command line."""
    try:
        return PPOConfig(**typed)
    except ValueError as error:
        raise CommandError(_as_flags(str(error).removeprefix("PPOConfig: "))) from error


def _as_flags(message: str) -> str:
    """A message with the options under their names on the command line."""
    for field in dataclasses.fields(PPOConfig):
        message = message.replace(field.name, "--" + field.name.replace("_", "-"))
    return message


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
