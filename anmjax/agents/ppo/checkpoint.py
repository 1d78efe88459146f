"""Checkpoints: a training in one file, written all or nothing, that goes on bit for bit."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from anmjax.agents.ppo.config import PPOConfig
from anmjax.agents.ppo.network import Policy
from anmjax.agents.ppo.update import PPO, Learner, initial_policy

FORMAT = "anmjax-ppo-checkpoint"
VERSION = 1


class CheckpointError(ValueError):
    """A file is no checkpoint, is damaged, or belongs to another task or other options."""


@dataclass(frozen=True)
class Checkpoint:
    """Contents of a checkpoint file, arrays by the path of their leaf."""

    path: Path
    task: str  # id to make the environment with
    overrides: dict[str, Any]  # keyword arguments to make it with
    config: PPOConfig
    seed: int
    env_steps: int  # environment steps taken so far
    policy_leaves: dict[str, np.ndarray]  # enough to act with
    learner_leaves: dict[str, np.ndarray]  # the rest: optimizer, lanes, statistics, key


def save(
    path: Path | str,
    learner: Learner,
    config: PPOConfig,
    *,
    task: str,
    seed: int,
    overrides: dict[str, Any] | None = None,
) -> None:
    """Writes a checkpoint: to a file beside it first, which then takes its place in one step.

    Whatever interrupts this, ``path`` holds a whole checkpoint: the previous one or the new one.

    Args:
      path: the file; its folder must exist.
      learner: what to save.
      config: the options of the training.
      task: id of the task.
      seed: the number that the training's key came from.
      overrides: keyword arguments that the task was made with; must be JSON.
    """
    path = Path(path)
    header = {
        "task": task,
        "overrides": overrides or {},
        "config": config.to_dict(),
        "seed": seed,
        "env_steps": int(learner.num_updates) * config.steps_per_update,
    }
    leaves = _leaves(learner)
    policy = {name: leaf for name, leaf in leaves.items() if name.startswith(".policy")}
    content = {
        "format": FORMAT,
        "version": VERSION,
        "header": json.dumps(header),
        "policy": {name.removeprefix(".policy"): leaf for name, leaf in policy.items()},
        "learner": {name: leaf for name, leaf in leaves.items() if name not in policy},
    }
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(serialization.msgpack_serialize(content))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def load(path: Path | str) -> Checkpoint:
    """Reads a checkpoint.

    Args:
      path: the file.

    Returns:
      Its contents; ``restore_policy`` and ``restore_learner`` make them usable.

    Raises:
      CheckpointError: there is no such file, or it is not a checkpoint, damaged, or from another version.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror}.") from error
    try:
        content = serialization.msgpack_restore(data)
        if content["format"] != FORMAT:
            raise ValueError
        version = content["version"]
    except Exception as error:  # msgpack raises errors of a dozen unrelated kinds on foreign bytes
        raise CheckpointError(f"{path} is not an anmjax checkpoint, or is damaged.") from error
    if version != VERSION:
        raise CheckpointError(
            f"{path} has checkpoint version {version}; this anmjax reads version {VERSION}."
        )
    try:
        header = json.loads(content["header"])
        return Checkpoint(
            path=path,
            task=header["task"],
            overrides=header["overrides"],
            config=PPOConfig(**header["config"]),
            seed=header["seed"],
            env_steps=header["env_steps"],
            policy_leaves=dict(content["policy"]),
            learner_leaves=dict(content["learner"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the header of the checkpoint {path} is damaged: {error}") from error


def restore_policy(checkpoint: Checkpoint, env: Any) -> Policy:
    """The policy of a checkpoint, to act on a bare environment of its task.

    Raises:
      CheckpointError: the policy is for observations or actions of other sizes.
    """
    template = jax.eval_shape(lambda: initial_policy(jax.random.key(0), env, checkpoint.config))
    # A policy trained in float32 may well act in float64.
    dtype = env.observation_space.dtype
    leaves = {name: leaf.astype(dtype) for name, leaf in checkpoint.policy_leaves.items()}
    return _restore(template, leaves, checkpoint.path)


def restore_learner(checkpoint: Checkpoint, ppo: PPO) -> Learner:
    """The whole learner of a checkpoint, to go on with its training.

    Raises:
      CheckpointError: the checkpoint is of a training with another task or other options.
    """
    template = jax.eval_shape(ppo.init, jax.random.key(0))
    policy = {".policy" + name: leaf for name, leaf in checkpoint.policy_leaves.items()}
    return _restore(template, policy | checkpoint.learner_leaves, checkpoint.path)


def is_key(leaf: Any) -> bool:
    """Whether an array holds PRNG keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _leaves(tree: Any) -> dict[str, np.ndarray]:
    """Leaves by path, PRNG keys as the numbers in them."""
    return {
        jax.tree_util.keystr(path): np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _restore(template: Any, leaves: dict[str, np.ndarray], path: Path) -> Any:
    """A tree like the template, with the leaves in place, each checked for shape and dtype."""

    def place(where: Any, like: Any) -> jax.Array:
        name = jax.tree_util.keystr(where)
        if name not in leaves:
            raise CheckpointError(f"the checkpoint {path} has no entry {name}: other options or task.")
        leaf = leaves[name]
        expected = jax.eval_shape(jax.random.key_data, like) if is_key(like) else like
        if leaf.shape != expected.shape or leaf.dtype != expected.dtype:
            raise CheckpointError(
                f"the checkpoint {path} has {leaf.dtype}{list(leaf.shape)} for {name}, but this task and "
                f"these options need {expected.dtype}{list(expected.shape)}."
            )
        if is_key(like):
            return jax.random.wrap_key_data(jnp.asarray(leaf))
        return jnp.asarray(leaf)

    return jax.tree_util.tree_map_with_path(place, template)
