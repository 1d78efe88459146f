"""Training from the host: compiled chunks, progress, checkpoints, resume."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from anmjax.agents.ppo.checkpoint import Checkpoint, CheckpointError, restore_learner, save
from anmjax.agents.ppo.config import PPOConfig
from anmjax.agents.ppo.progress import Progress
from anmjax.agents.ppo.update import PPO, Learner

CHECKPOINT_FILE = "checkpoint.msgpack"
METRICS_FILE = "metrics.jsonl"
CHECKPOINT_INTERVAL = 30.0  # s between checkpoints


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
    quiet: bool = False,
) -> Training:
    """Trains PPO on an environment.

    Chunks of updates run as one compiled program each; in between, the host shows progress, appends a row
    to ``metrics.jsonl`` and, every half minute and at the end, writes ``checkpoint.msgpack``. A
    KeyboardInterrupt ends the training after the last whole chunk with such a checkpoint. Going on from it
    gives bit for bit what the training without interruption gives, on the same machine and versions.

    Args:
      env: a bare environment.
      config: the options; None: the defaults, or those of the checkpoint.
      seed: number that everything random in the training follows from.
      out: folder for both files, made if needed; None: nothing is written.
      task: id of the task, for the checkpoint.
      overrides: keyword arguments that the task was made with, for the checkpoint.
      resume: the checkpoint of the training to go on with.
      quiet: show nothing.

    Returns:
      The training.

    Raises:
      CheckpointError: ``resume`` has other options than ``config``.
    """
    started = time.monotonic()
    if resume is not None:
        if config is not None and config != resume.config:
            raise CheckpointError(f"the training in {resume.path} has other options; go on with its own.")
        config, seed = resume.config, resume.seed
    config = PPOConfig() if config is None else config
    ppo = PPO.create(env, config)
    out = None if out is None else Path(out)
    if out:
        out.mkdir(parents=True, exist_ok=True)
    file = out / CHECKPOINT_FILE if out else None

    learner = jax.jit(PPO.init)(ppo, jax.random.key(seed)) if resume is None else restore_learner(resume, ppo)
    done = int(learner.num_updates)
    total_steps = config.num_updates * config.steps_per_update
    interrupted = False
    saved = time.monotonic()
    with Progress(
        total_steps,
        done_steps=done * config.steps_per_update,
        file=out / METRICS_FILE if out else None,
        quiet=quiet,
    ) as progress:
        try:
            if done < config.num_updates:
                progress.say("Compiling the training step...")
            while done < config.num_updates:
                begun = time.monotonic()
                count = min(config.updates_per_chunk, config.num_updates - done)
                after, sums = jax.block_until_ready(_run_chunk(ppo, learner, jnp.int32(count)))
                learner, done = after, done + count
                progress.add(_row(sums, config, count, done, time.monotonic() - begun, started))
                if file and time.monotonic() - saved > CHECKPOINT_INTERVAL:
                    save(file, learner, config, task=task, seed=seed, overrides=overrides)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            interrupted = True
            progress.say("Interrupted: saving what was learned so far.")
        if file:
            save(file, learner, config, task=task, seed=seed, overrides=overrides)
    return Training(learner, ppo, file, interrupted, time.monotonic() - started)


@jax.jit
def _run_chunk(ppo: PPO, learner: Learner, count: jax.Array) -> tuple[Learner, dict[str, jax.Array]]:
    """``count`` updates, and the sums of their metrics; a count that varies needs no new compilation.

    The learner is not donated: after an interrupt, the one before is still whole.
    """
    metrics = jax.eval_shape(ppo.update, learner)[1]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)

    def body(_: jax.Array, carry: Any) -> Any:
        learner, sums = carry
        learner, metrics = ppo.update(learner)
        return learner, jax.tree.map(jnp.add, sums, metrics)

    return jax.lax.fori_loop(0, count, body, (learner, zeros))


def _row(
    totals: dict[str, jax.Array], config: PPOConfig, count: int, done: int, seconds: float, started: float
) -> dict[str, float]:
    """A row of metrics of ``count`` updates, from their sums."""
    sums = {name: float(value) for name, value in totals.items()}
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
