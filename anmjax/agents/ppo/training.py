"""Training from the host: compiled chunks, progress, checkpoints, resume."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.agents.ppo import sharding
from anmjax.agents.ppo.checkpoint import Checkpoint, CheckpointError, restore_learner, save
from anmjax.agents.ppo.config import PPOConfig
from anmjax.agents.ppo.processes import Together
from anmjax.agents.ppo.progress import Progress
from anmjax.agents.ppo.update import PPO, Learner
from anmjax.agents.seeds import key_of_seed

CHECKPOINT_FILE = "checkpoint.msgpack"
METRICS_FILE = "metrics.jsonl"
CHECKPOINT_INTERVAL = 30.0  # s between checkpoints
STOPPED = "Interrupted: saving what was learned so far."


@dataclass(frozen=True)
class Training:
    """What a training came to."""

    learner: Learner
    ppo: PPO
    checkpoint: Path | None  # the file it was saved to
    interrupted: bool  # stopped by Ctrl-C before its end
    seconds: float  # wall clock, compilation included


def train(
    env: Any,
    config: PPOConfig | None = None,
    *,
    seed: int = 0,
    out: Path | str | None = None,
    task: str = "",
    overrides: dict[str, Any] | None = None,
    resume: Checkpoint | None = None,
    devices: int | None = None,
    quiet: bool = False,
) -> Training:
    """Trains PPO on an environment, on one device or many.

    Chunks of updates run as one compiled program each; in between, the host shows progress, appends a row
    to ``metrics.jsonl`` and, every half minute and at the end, writes ``checkpoint.msgpack``. A
    KeyboardInterrupt ends the training after the last whole chunk with such a checkpoint. Going on from it
    gives bit for bit what the training without interruption gives, on the same machine and versions and on
    as many devices; on another number of them it differs by rounding.

    The lanes are shared out over ``devices``, and the gradients averaged. Where JAX has joined several
    processes (``jax.distributed.initialize``), each calls this with the same arguments, the lanes are shared
    out over the devices of all, and the first process shows progress and writes the files.

    Args:
      env: a bare environment.
      config: the options; None: the defaults, or those of the checkpoint.
      seed: number that everything random in the training follows from.
      out: folder for both files, made if needed; None: nothing is written.
      task: id of the task, for the checkpoint.
      overrides: keyword arguments that the task was made with, for the checkpoint.
      resume: the checkpoint of the training to go on with.
      devices: how many of JAX's devices to train on; None: as many as can share the lanes evenly and have
        64 each, of several processes all.
      quiet: show nothing.

    Returns:
      The training.

    Raises:
      CheckpointError: ``resume`` has other options than ``config``.
      ValueError: there are fewer ``devices``, or the lanes cannot be shared out evenly over them.
    """
    if resume is not None:
        if config is not None and config != resume.config:
            raise CheckpointError(f"the training in {resume.path} has other options; go on with its own.")
        config, seed = resume.config, resume.seed
    (training,) = _train(
        env,
        PPOConfig() if config is None else config,
        {seed: None if out is None else Path(out)},
        made={"task": task, "overrides": overrides},
        resume=resume,
        devices=devices,
        quiet=quiet,
    )
    return training


def train_seeds(
    env: Any,
    config: PPOConfig | None = None,
    *,
    outs: Mapping[int, Path | str | None],
    task: str = "",
    overrides: dict[str, Any] | None = None,
    devices: int | None = None,
    quiet: bool = False,
) -> list[Training]:
    """Trains several seeds side by side in one program: on a GPU in little more time than one takes.

    Each learns what ``train`` would teach it, to rounding, and ``train`` goes on from its checkpoint.

    Args:
      env: a bare environment.
      config: the options; None: the defaults.
      outs: by seed, the folder for its files; None: nothing is written.
      task: see ``train``.
      overrides: see ``train``.
      devices: see ``train``.
      quiet: show nothing; otherwise the progress shows means over the seeds.

    Returns:
      The trainings, in the order of ``outs``.

    Raises:
      ValueError: as ``train``.
    """
    folders = {seed: None if out is None else Path(out) for seed, out in outs.items()}
    made = {"task": task, "overrides": overrides}
    return _train(env, config or PPOConfig(), folders, made=made, resume=None, devices=devices, quiet=quiet)


def _train(
    env: Any,
    config: PPOConfig,
    outs: dict[int, Path | None],
    *,
    made: dict[str, Any],
    resume: Checkpoint | None,
    devices: int | None,
    quiet: bool,
) -> list[Training]:
    """Trains the seeds of ``outs``, side by side, or goes on with the one that ``resume`` holds."""
    started = time.monotonic()
    mesh = sharding.mesh_for(config, devices)
    ppo = PPO.create(env, config)
    files = [None if out is None else out / CHECKPOINT_FILE for out in outs.values()]
    is_first = jax.process_index() == 0
    for file in files:
        if file and is_first:
            file.parent.mkdir(parents=True, exist_ok=True)

    if resume is None:
        learners = sharding.begin(ppo, jnp.stack([key_of_seed(seed) for seed in outs]), mesh)
    else:
        learners = sharding.place([restore_learner(resume, ppo)], mesh)
    done = 0 if resume is None else resume.env_steps // config.steps_per_update
    interrupted = False
    saved = time.monotonic()

    def write() -> list[Learner]:
        each = sharding.fetched(learners)
        for file, seed, learner in zip(files, outs, each, strict=True):
            if file and is_first:
                save(file, learner, config, seed=seed, **made)
        return each

    progress = Progress(
        config.num_updates * config.steps_per_update,
        done_steps=done * config.steps_per_update,
        files=[file and file.with_name(METRICS_FILE) for file in files] if is_first else [],
        quiet=quiet or not is_first,
    )
    with progress, Together() as together:
        try:
            pools = sharding.Pools(ppo, mesh)
            if done < config.num_updates:
                progress.say("Compiling the training step...")
            while done < config.num_updates:
                begun = time.monotonic()
                placed, most = pools.at(done)
                count = min(config.updates_per_chunk, config.num_updates - done, most)
                after, sums = sharding.run_chunk(placed, learners, np.int32(count), mesh)
                learners, done = jax.block_until_ready(after), done + count
                took = time.monotonic() - begun
                each = [{name: float(value[i]) for name, value in sums.items()} for i in range(len(outs))]
                progress.add(*(_row(sums, config, count, done, took, started) for sums in each))
                interrupted, due = together.agree(time.monotonic() - saved > CHECKPOINT_INTERVAL)
                if interrupted:
                    progress.say(STOPPED)
                    break
                if due:
                    write()
                    saved = time.monotonic()
        except KeyboardInterrupt:
            interrupted = True
            progress.say(STOPPED)
        ended = write()
    seconds = time.monotonic() - started
    return [
        Training(learner, ppo, file, interrupted, seconds) for learner, file in zip(ended, files, strict=True)
    ]


def _row(
    totals: dict[str, float], config: PPOConfig, count: int, done: int, seconds: float, started: float
) -> dict[str, float]:
    """A row of metrics of ``count`` updates, from their sums."""
    sums = dict(totals)
    steps = count * config.steps_per_update
    episodes = sums.pop("episodes")
    returns, collapses = sums.pop("episode_return"), sums.pop("collapses")
    reward, violations = sums.pop("reward"), sums.pop("violations")
    return {
        "env_steps": done * config.steps_per_update,
        "updates": done,
        "seconds": time.monotonic() - started,
        "steps_per_second": steps / seconds,
        "episode_return": returns / episodes if episodes else math.nan,
        "reward": reward / steps,
        "violation_share": violations / steps,
        "collapses": collapses,
        **{name: value / count for name, value in sums.items()},
    }
