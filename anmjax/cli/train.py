"""``anmjax train``: one agent a seed, then how it compares with doing nothing."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from anmjax.agents.baselines import do_nothing_policy
from anmjax.agents.config import AgentConfig
from anmjax.agents.errors import CannotLearnError
from anmjax.agents.registry import AGENTS, name_of
from anmjax.agents.training.checkpoint import Checkpoint, CheckpointError
from anmjax.agents.training.chunk_metrics import DivergedError
from anmjax.agents.training.lock import LockedError
from anmjax.agents.training.loop import Training, Watch, train, train_seeds
from anmjax.agents.training.metrics_file import read_rows
from anmjax.agents.training.run_folder import RunFolder, RunFolderError
from anmjax.agents.training.sharding import mesh_for
from anmjax.agents.training.whole_file import write_whole
from anmjax.cli.compiled_programs import keep_programs
from anmjax.cli.devices import join_processes, use_devices
from anmjax.cli.door import as_flags, typed_options
from anmjax.cli.errors import CommandError
from anmjax.cli.evaluate import discount_of, find_checkpoint, score
from anmjax.cli.report import markdown, table
from anmjax.cli.screen import say, wrapped
from anmjax.cli.stopping import exit_code
from anmjax.cli.tasks import make_task, scoring_task_of, task_of
from anmjax.cli.watching import Watched
from anmjax.render.learning_curve import plot_learning_curve

CURVE_FILE = "learning_curve.png"
SCORES_FILE = "evaluation.json"
TABLE_FILE = "evaluation.md"


def run(arguments: argparse.Namespace, config: AgentConfig | None) -> int:
    """Trains, evaluates, prints where everything is; ``config`` is None for a training to go on with."""
    keep_programs(arguments.no_cache)
    use_devices(arguments.devices)
    join_processes(arguments.coordinator, arguments.num_processes, arguments.process_id)
    # Of several processes, each has made its own.
    devices = arguments.devices if jax.process_count() == 1 else None
    quiet = arguments.quiet or jax.process_index() > 0
    common: dict[str, Any] = {"devices": devices, "quiet": quiet, "command": arguments.command}
    if arguments.watch and arguments.together:
        raise CommandError("--watch follows one training, and --together makes several at a time.")
    if config is None:
        checkpoint = _resumed(arguments)
        config = _lengthened(checkpoint, typed_options(arguments).get("total_steps"))
        _check_devices(config, devices)
        folder = RunFolder(Path(arguments.out) if arguments.out else checkpoint.path.parent)
        made: dict[str, Any] = {"task": checkpoint.task, "overrides": checkpoint.overrides}
        env = task_of(checkpoint)
        _announce(checkpoint.task, {checkpoint.seed: folder}, config, checkpoint.env_steps, quiet)
        with _sentences(folder):
            common["watch"] = _watching(env, checkpoint.task, arguments.watch)
            training = train(env, config, out=folder.path, resume=checkpoint, **made, **common)
        scored = scoring_task_of(checkpoint)
        return _report(scored, checkpoint.task, {checkpoint.seed: (folder, training)}, quiet)

    _check_devices(config, devices)
    task, reward = arguments.task, arguments.reward
    overrides = {} if reward is None else {"reward": reward}
    scored = make_task(task)
    env = make_task(task, **overrides) if overrides else scored
    made = {"task": task, "overrides": overrides}
    folders = _folders(arguments)
    if arguments.together:
        _announce(task, folders, config, 0, quiet)
        with _sentences(*folders.values()):
            outs: dict[int, Path | str | None] = {seed: folder.path for seed, folder in folders.items()}
            trainings = train_seeds(env, config, outs=outs, **made, **common)
        done = dict(zip(folders, zip(folders.values(), trainings, strict=True), strict=True))
        return _report(scored, task, done, quiet)
    common["watch"] = _watching(env, task, arguments.watch)
    for seed, folder in folders.items():
        _announce(task, {seed: folder}, config, 0, quiet)
        with _sentences(folder):
            training = train(env, config, seed=seed, out=folder.path, **made, **common)
        if code := _report(scored, task, {seed: (folder, training)}, quiet):
            return code
    return 0


def _watching(env: Any, task: str, wanted: bool) -> Watch | None:
    """What shows a training's policies, if somebody wants to watch; the first of several processes does."""
    if not wanted:
        return None
    return Watched(env, task) if jax.process_index() == 0 else lambda policy, env_steps: None


def _folders(arguments: argparse.Namespace) -> dict[int, RunFolder]:
    """Where the files of each seed go, by seed; none of the folders may hold a training."""
    seeds, moment = arguments.seed or [0], time.strftime("%Y%m%d-%H%M%S")
    folders = {}
    for seed in seeds:
        out = Path("runs") / f"{arguments.task.replace(':', '.')}-seed{seed}-{moment}"
        if arguments.out:
            out = Path(arguments.out) / f"seed{seed}" if len(seeds) > 1 else Path(arguments.out)
        folders[seed] = RunFolder(out)
        if jax.process_index() == 0:
            with _sentences(folders[seed]):
                folders[seed].check_for(None)
    return folders


def _announce(
    task: str, folders: dict[int, RunFolder], config: AgentConfig, done_steps: int, quiet: bool
) -> None:
    """Says what is about to be trained, and where its files go."""
    if quiet:
        return
    seeds = f"seed{'s' if len(folders) > 1 else ''} {', '.join(map(str, folders))}"
    steps = f"{config.num_updates * config.steps_per_update:,} steps"
    if done_steps:
        steps = f"from step {done_steps:,} to {steps}"
    say(f"Training {AGENTS[name_of(config)].title} on {task}, {seeds}, {steps}.")
    say(f"Files: {', '.join(str(folder.path) for folder in folders.values())}")


def _check_devices(config: AgentConfig, devices: int | None) -> None:
    try:
        mesh_for(config, devices)
    except ValueError as error:
        raise CommandError(as_flags(f"{error}.", type(config))) from error


@contextlib.contextmanager
def _sentences(*folders: RunFolder) -> Iterator[None]:
    """Failures that are no fault of the program's, in the words of the command line."""
    try:
        yield
    except DivergedError as error:
        raise CommandError(as_flags(str(error), error.options)) from error
    except (CannotLearnError, CheckpointError, LockedError, RunFolderError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        names = ", ".join(str(folder.path) for folder in folders)
        raise CommandError(f"cannot write to {names}: {error.strerror}.") from error


def _report(env: Any, task: str, done: dict[int, tuple[RunFolder, Training]], quiet: bool) -> int:
    """Says how trainings ended, by seed, and how their policies compare; the first process does."""
    trainings = [training for _, training in done.values()]
    stopped_by = next((training.stopped_by for training in trainings if training.stopped_by), None)
    if jax.process_index() > 0:
        return 0 if stopped_by is None else exit_code(stopped_by)
    minutes, seconds = divmod(round(max(training.seconds for training in trainings)), 60)
    title = f"{AGENTS[name_of(trainings[0].agent.config)].title} on {task}"
    for seed, (folder, training) in done.items():
        if stopped_by is not None:
            print(f"Stopped after {minutes} min {seconds} s. Checkpoint: {training.checkpoint}")
            print(f"Go on:    anmjax train --resume {folder.path}")
            print(f"Evaluate: anmjax evaluate {folder.path}")
        else:
            print(f"Trained in {minutes} min {seconds} s. Checkpoint: {training.checkpoint}")
        with _sentences(folder), folder.claimed():
            _draw(folder, f"{title}, seed {seed}")
    if stopped_by is not None:
        return exit_code(stopped_by)
    evaluating = "anmjax evaluate " + " ".join(str(folder.path) for folder, _ in done.values())
    try:
        _evaluate(env, task, done, quiet)
    except KeyboardInterrupt:
        print(f"The training is complete. Evaluate: {evaluating}")
        raise
    print(f"Evaluate again: {evaluating}")
    return 0


def _evaluate(env: Any, task: str, done: dict[int, tuple[RunFolder, Training]], quiet: bool) -> None:
    config = next(iter(done.values()))[1].agent.config
    names = {seed: f"{name_of(config)}, seed {seed}" for seed in done}
    policies: dict[str, Any] = {names[seed]: training.policy for seed, (_, training) in done.items()}
    if hasattr(env, "network"):
        policies["do-nothing"] = do_nothing_policy(env)
    outcomes = score(env, policies, gamma=discount_of(env, [config]), quiet=quiet)
    limit = config.max_episode_steps
    length = f"of at most {limit} steps" if limit else "of any length"
    note = (
        f"The return shown while training is another: not discounted, over episodes {length}, from starts "
        "of its own, with noise on the actions."
    )
    print("\n".join(["", table(task, outcomes), "", wrapped(note)]))
    for seed, (folder, _) in done.items():
        own = {name: outcomes[name] for name in (names[seed], "do-nothing") if name in outcomes}
        record = {name: outcome.to_dict() for name, outcome in own.items()}
        with _sentences(folder), folder.claimed():
            write_whole(folder.path / SCORES_FILE, (json.dumps(record, indent=2) + "\n").encode())
            write_whole(folder.path / TABLE_FILE, markdown(task, own, note).encode())


def _draw(folder: RunFolder, title: str) -> None:
    """The learning curve, where matplotlib is installed."""
    rows = read_rows(folder.metrics)
    if rows and importlib.util.find_spec("matplotlib") is not None:
        plot_learning_curve(rows, title=title).savefig(folder.path / CURVE_FILE, dpi=110)


def _resumed(arguments: argparse.Namespace) -> Checkpoint:
    """The checkpoint to go on from, if nothing on the command line contradicts it."""
    path, checkpoint = Path(arguments.resume), find_checkpoint(arguments.resume)
    if arguments.task and arguments.task != checkpoint.task:
        raise CommandError(f"{path} is a training on {checkpoint.task}, not on {arguments.task}.")
    if arguments.agent and arguments.agent != checkpoint.agent:
        raise CommandError(f"{path} is a training of {checkpoint.agent}, not of {arguments.agent}.")
    if arguments.seed and arguments.seed != [checkpoint.seed]:
        raise CommandError(f"{path} is a training with seed {checkpoint.seed}: leave out --seed.")
    return checkpoint


def _lengthened(checkpoint: Checkpoint, total_steps: int | None) -> AgentConfig:
    """The options of a training to go on with, for as many steps in all."""
    if total_steps is None:
        return checkpoint.config
    done = checkpoint.env_steps
    try:
        config = dataclasses.replace(checkpoint.config, total_steps=total_steps)
    except ValueError as error:
        raise CommandError(as_flags(str(error), type(checkpoint.config))) from error
    if config.num_updates * config.steps_per_update <= done:
        raise CommandError(
            f"--total-steps is {total_steps:,}, but must be more than the {done:,} that it has done already."
        )
    return config
