"""Training from the host: compiled chunks, progress, checkpoints, resume."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.agents.agent import Agent, Policy
from anmjax.agents.config import AgentConfig
from anmjax.agents.registry import AGENTS, name_of
from anmjax.agents.seeds import key_of_seed
from anmjax.agents.training import sharding
from anmjax.agents.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    check_learner,
    restore_learner,
    save,
)
from anmjax.agents.training.chunk_metrics import check_finite, of_each, row_of
from anmjax.agents.training.metrics_file import MetricsFile
from anmjax.agents.training.pools import Pools
from anmjax.agents.training.processes import Together
from anmjax.agents.training.progress import Progress
from anmjax.agents.training.run_folder import RunFolder
from anmjax.envs.protocol import Environment

CHECKPOINT_INTERVAL = 30.0  # s between checkpoints
WATCH_INTERVAL = 10.0  # s between them where somebody watches
STARTING = "Compiling: half a minute on two idle cores, longer on busy ones."
STOPPED = "Interrupted: saving what was learned so far."


# Shown the policy of a training as it learns, and the environment steps that it has taken.
Watch: TypeAlias = Callable[[Policy, int], None]


@dataclass(frozen=True)
class Training:
    """What a training came to."""

    learner: Any  # all that was learned, see ``Learner``
    agent: Agent[Any]
    checkpoint: Path | None  # the file it was saved to
    stopped_by: int | None  # the signal that stopped it before its end: SIGINT for Ctrl-C, SIGTERM
    seconds: float  # wall clock, compilation included

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its end."""
        return self.stopped_by is not None

    @property
    def policy(self) -> Policy:
        """What was learned, to act on a bare environment of the task."""
        return self.agent.policy(self.learner)


def train(
    env: Environment,
    config: AgentConfig | None = None,
    *,
    seed: int = 0,
    out: Path | str | None = None,
    task: str = "",
    overrides: dict[str, Any] | None = None,
    resume: Checkpoint | None = None,
    devices: int | None = None,
    quiet: bool = False,
    command: str = "",
    watch: Watch | None = None,
) -> Training:
    """Trains an agent on an environment, on one device or many.

    Chunks of updates run as one compiled program each; in between, the host shows progress, appends a row
    to ``metrics.jsonl`` and, after the first chunk, every half minute and at the end, writes
    ``checkpoint.msgpack``. A Ctrl-C or SIGTERM ends the training after the running chunk with such a
    checkpoint. Going on from it gives bit for bit what the training without interruption gives, on the same
    machine and versions and on as many devices; on another number of them it differs by rounding. A training
    that was killed goes on from its last checkpoint; the rows of metrics after it are made anew.

    A training may be made longer, or shorter, by going on with other ``total_steps``. From there on the step
    size is what a training of that length has at that point: where it is lowered (``anneal_learning_rate``),
    it begins again at ``learning_rate * (1 - done / total_steps)`` and reaches 0 at the new end.

    The lanes are shared out over ``devices``, and the gradients averaged. Where JAX has joined several
    processes (``jax.distributed.initialize``), each calls this with the same arguments, the lanes are shared
    out over the devices of all, and the first process shows progress and writes the files.

    Args:
      env: a bare environment.
      config: the options of an agent, whose class says which: ``PPOConfig()``, say. None: those of the
        checkpoint.
      seed: number that everything random in the training follows from.
      out: folder for its files, made if needed; None: nothing is written.
      task: id of the task, for the checkpoint.
      overrides: keyword arguments that the task was made with, for the checkpoint.
      resume: the checkpoint of the training to go on with.
      devices: how many of JAX's devices to train on; None: as many as can share the lanes evenly and have
        64 each, of several processes all.
      quiet: show nothing.
      command: what the user called, for ``run.json``.
      watch: called by the first process with the policy and the environment steps that it has taken, after
        the first chunk, every ten seconds and at the end; the training stands still meanwhile.

    Returns:
      The training.

    Raises:
      CheckpointError: ``resume`` has other options than ``config``, apart from ``total_steps``, or has taken
        more steps.
      DivergedError: the losses are not finite any more; the last checkpoint is from before.
      LockedError: another training is writing to ``out``.
      RunFolderError: ``out`` holds another training.
      ValueError: there is neither ``config`` nor ``resume``, there are fewer ``devices``, or the lanes cannot
        be shared out evenly over them.
    """
    if resume is not None:
        config, seed = _going_on(resume, config), resume.seed
    if config is None:
        raise ValueError("train: config is missing: options of an agent, PPOConfig() say, or resume.")
    (training,) = _train(
        env,
        config,
        {seed: None if out is None else Path(out)},
        made={"task": task, "overrides": overrides or {}},
        resume=resume,
        devices=devices,
        quiet=quiet,
        command=command,
        watch=watch,
    )
    return training


def train_seeds(
    env: Environment,
    config: AgentConfig,
    *,
    outs: Mapping[int, Path | str | None],
    task: str = "",
    overrides: dict[str, Any] | None = None,
    devices: int | None = None,
    quiet: bool = False,
    command: str = "",
) -> list[Training]:
    """Trains several seeds side by side in one program: on a GPU in little more time than one takes.

    Each learns what ``train`` would teach it, to rounding, and ``train`` goes on from its checkpoint.

    Args:
      env: a bare environment.
      config: the options of an agent.
      outs: by seed, the folder for its files; None: nothing is written.
      task: see ``train``.
      overrides: see ``train``.
      devices: see ``train``.
      quiet: show nothing; otherwise the progress shows means over the seeds.
      command: see ``train``.

    Returns:
      The trainings, in the order of ``outs``.

    Raises:
      ValueError: as ``train``; a training whose losses are not finite does not stop the others.
    """
    folders = {seed: None if out is None else Path(out) for seed, out in outs.items()}
    made = {"task": task, "overrides": overrides or {}}
    return _train(
        env,
        config,
        folders,
        made=made,
        resume=None,
        devices=devices,
        quiet=quiet,
        command=command,
        watch=None,
    )


def _going_on(resume: Checkpoint, config: AgentConfig | None) -> AgentConfig:
    """The options to go on with: those of the checkpoint, or the same for another length."""
    check_learner(resume)
    if config is None:
        return resume.config
    ours, theirs = ({**each.to_dict(), "total_steps": None} for each in (config, resume.config))
    if type(config) is not type(resume.config) or ours != theirs:
        raise CheckpointError(f"the training in {resume.path} has other options; go on with its own.")
    if config.num_updates * config.steps_per_update < resume.env_steps:
        raise CheckpointError(
            f"the training in {resume.path} has taken {resume.env_steps:,} steps already: total_steps is "
            f"{config.total_steps:,}, but must be more."
        )
    return config


def _train(
    env: Environment,
    config: AgentConfig,
    outs: dict[int, Path | None],
    *,
    made: dict[str, Any],
    resume: Checkpoint | None,
    devices: int | None,
    quiet: bool,
    command: str,
    watch: Watch | None,
) -> list[Training]:
    """Trains the seeds of ``outs``, side by side, or goes on with the one that ``resume`` holds."""
    started = time.monotonic()
    kind = AGENTS[name_of(config)]
    # The clock of a training goes on where it stood.
    begun_at = started - (resume.seconds if resume else 0.0)
    mesh = sharding.mesh_for(config, devices)
    is_first = jax.process_index() == 0
    folders = {seed: None if out is None else RunFolder(out) for seed, out in outs.items()}
    written = folders if is_first else dict.fromkeys(folders)
    done = 0 if resume is None else resume.env_steps // config.steps_per_update
    stopped_by: int | None = None

    with contextlib.ExitStack() as stack:
        for folder in filter(None, written.values()):
            stack.enter_context(folder.claimed())
            folder.check_for(None if resume is None else resume.path)
        progress = stack.enter_context(
            Progress(
                config.num_updates * config.steps_per_update,
                done_steps=done * config.steps_per_update,
                quiet=quiet or not is_first,
            )
        )
        if done < config.num_updates:
            progress.say(STARTING)
        agent = kind.agent().create(env, config)
        if resume is None:
            learners = sharding.begin(agent, jnp.stack([key_of_seed(seed) for seed in outs]), mesh)
        else:
            learners = sharding.place(agent, [restore_learner(resume, agent)], mesh)
        origin = {
            "command": command,
            "devices": _described(mesh),
            "from_step": done * config.steps_per_update,
        }
        metrics = [
            stack.enter_context(_opened(folder, config, seed, made, origin)) if folder else None
            for seed, folder in written.items()
        ]

        def write() -> list[Any]:
            each = sharding.fetched(learners)
            for (seed, folder), learner in zip(written.items(), each, strict=True):
                if folder:
                    seconds = time.monotonic() - begun_at
                    save(folder.checkpoint, agent, learner, seed=seed, seconds=seconds, **made)
            if watch and is_first:
                watch(agent.policy(each[0]), done * config.steps_per_update)
            return each

        together = stack.enter_context(Together())
        saved, interval = -math.inf, WATCH_INTERVAL if watch else CHECKPOINT_INTERVAL
        try:
            pools = Pools(agent, mesh)
            if done < config.num_updates:
                # No update yet, only the compiler: what is timed below are steps.
                placed, _ = pools.at(done)
                jax.block_until_ready(sharding.run_chunk(placed, learners, np.int32(0), mesh))
            while done < config.num_updates:
                begun = time.monotonic()
                placed, most = pools.at(done)
                count = min(config.updates_per_chunk, config.num_updates - done, most)
                after, sums = sharding.run_chunk(placed, learners, np.int32(count), mesh)
                learners, done = jax.block_until_ready(after), done + count
                took = time.monotonic() - begun
                each = of_each(sums, len(outs))
                rows = [row_of(sums, config, count, done, took, time.monotonic() - begun_at) for sums in each]
                check_finite(each, config, done)
                together.learned_something = True
                for file, row in zip(metrics, rows, strict=True):
                    if file:
                        file.add(row)
                progress.add(*rows)
                stop, due = together.agree(time.monotonic() - saved > interval)
                if stop:
                    break
                if due:
                    write()
                    saved = time.monotonic()
        except KeyboardInterrupt:
            stopped_by = signal.SIGINT
        # Which signal it was, or that one came as the last chunk ran.
        stopped_by = together.signal or stopped_by
        if stopped_by is not None:
            progress.say(STOPPED)
        ended = write()
    files = [None if folder is None else folder.checkpoint for folder in folders.values()]
    seconds = time.monotonic() - started
    return [
        Training(learner, agent, file, stopped_by, seconds)
        for learner, file in zip(ended, files, strict=True)
    ]


def _opened(
    folder: RunFolder, config: AgentConfig, seed: int, made: dict[str, Any], origin: dict[str, Any]
) -> MetricsFile:
    """Describes a training in its folder and opens its metrics, cut back to where it goes on."""
    agent = name_of(config)
    folder.describe({**made, "agent": agent, "seed": seed, "options": config.to_dict()}, origin)
    return MetricsFile(folder.metrics, origin["from_step"])


def _described(mesh: Any) -> str:
    """The devices of a mesh: '2 x cpu'."""
    kinds = [device.device_kind for device in mesh.devices.flat]
    return ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
