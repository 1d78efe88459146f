"""What can be refused before JAX starts: options, and files that could not be written."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from anmjax.agents.config import AgentConfig
from anmjax.agents.registry import AGENTS, DEFAULT_AGENT
from anmjax.agents.training.run_folder import CHECKPOINT_FILE
from anmjax.cli.errors import CommandError
from anmjax.cli.outputs import check_files, check_folder


def check_train(arguments: argparse.Namespace) -> AgentConfig | None:
    """The options of the agent, checked; None: those of the training to go on with.

    Raises:
      CommandError: says what is wrong with the command.
    """
    seeds = arguments.seed or []
    if twice := [seed for seed, count in Counter(seeds).items() if count > 1]:
        raise CommandError(f"--seed has {twice[0]} more than once: a seed trains one agent.")
    if arguments.out is not None:
        check_folder("--out", arguments.out)
    if arguments.coordinator is not None:
        _check_address(arguments.coordinator)
    if arguments.resume is not None:
        _check_resume(arguments)
        return None
    if not arguments.task:
        raise CommandError("name a task to train on: anmjax train TASK ('anmjax list' shows all).")
    options = options_of(arguments)
    try:
        config = options(**typed_options(arguments))
    except ValueError as error:
        raise CommandError(as_flags(str(error), options)) from error
    if arguments.out is None:
        check_folder("--out", "runs")
    return config


def check_evaluate(arguments: argparse.Namespace) -> None:
    """Checks what ``evaluate`` is to write, and against what it reads.

    Raises:
      CommandError: says what is wrong with the command.
    """
    if twice := [name for name, count in Counter(arguments.policy).items() if count > 1]:
        raise CommandError(f"the policy {twice[0]} is named more than once.")
    inputs = [path for name in arguments.policy for path in (Path(name), Path(name) / CHECKPOINT_FILE)]
    files = {"--json": arguments.json, "--csv": arguments.csv, "--plot": arguments.plot}
    check_files(files | {"--plot-scores": arguments.plot_scores}, inputs)


def options_of(arguments: argparse.Namespace) -> type[AgentConfig]:
    """The options of the agent that the command line names."""
    return AGENTS[arguments.agent or DEFAULT_AGENT].config()


def typed_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of the agent that are on the command line."""
    names = [field.name for field in dataclasses.fields(options_of(arguments))]
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}


def as_flags(message: str, options: type[AgentConfig]) -> str:
    """A message about options, under their names on the command line."""
    names = "|".join(field.name for field in dataclasses.fields(options))
    message = message.removeprefix(f"{options.__name__}: ")
    return re.sub(rf"\b({names})\b", lambda name: flag(name[0]), message)


def flag(name: str) -> str:
    """The option that sets a field."""
    return "--" + name.replace("_", "-")


def _check_resume(arguments: argparse.Namespace) -> None:
    """A training goes on with its own options, but for its length."""
    typed = typed_options(arguments)
    for name in typed.keys() - {"total_steps"}:
        raise CommandError(
            f"{flag(name)} cannot be changed by --resume: a training goes on with its own options, but for "
            "--total-steps."
        )
    if arguments.reward is not None:
        raise CommandError("--reward cannot be changed by --resume: a training goes on with its own.")
    # os.path, for pathlib raises errors of names that are too long.
    path = Path(arguments.resume)
    if os.path.isdir(path):
        path = path / CHECKPOINT_FILE
    if not os.path.exists(path):
        raise CommandError(f"nothing to go on with: there is no {path}.")
    if arguments.together:
        raise CommandError("--together is for seeds that begin: --resume goes on with one.")


def _check_address(coordinator: str) -> None:
    host, _, port = coordinator.rpartition(":")
    if not host or not (port.isdecimal() and 1 <= int(port[:6]) <= 65535):
        raise CommandError(f"--coordinator is {coordinator}, but must be HOST:PORT.")
