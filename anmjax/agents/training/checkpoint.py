"""Checkpoints: a training in one file, written all or nothing, that goes on bit for bit."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.agents.agent import Agent, Policy
from anmjax.agents.config import AgentConfig
from anmjax.agents.registry import AGENTS, DEFAULT_AGENT, name_of
from anmjax.agents.training.sealed_file import SealError, read_sealed, write_sealed
from anmjax.envs.protocol import Environment

# Of the lanes, what no later step depends on: a network that collapsed may leave anything there.
_MAY_BE_INFINITE = (".states.metrics", ".states.grid.mismatch")
# Nor on these, which checkpoints from before states had them lack.
_COSTS = ".states.costs"
_OPTIMIZER_COUNT = re.compile(r"\.optimizer\b.*\.count")
_NEVER_NEGATIVE = re.compile(r".*statistics\.(count|var)|\.optimizer\b.*\.nu\b.*")

_POLICY_ALONE = "policy"  # what a file without a learner says that it holds
_IN_LEARNER = ".policy"  # path of the policy in a learner that holds it, see ``Learner``


class CheckpointError(ValueError):
    """A file is no checkpoint, is damaged, or belongs to another task or other options."""


@dataclass(frozen=True)
class Checkpoint:
    """Contents of a checkpoint file, arrays by the path of their leaf."""

    path: Path
    agent: str  # its name in AGENTS
    task: str  # id to make the environment with
    overrides: dict[str, Any]  # keyword arguments to make it with
    config: AgentConfig
    seed: int
    env_steps: int  # environment steps taken so far
    seconds: float  # s, wall clock of the training so far
    policy_leaves: dict[str, np.ndarray]  # enough to act with
    # The rest: optimizer, lanes, statistics, key; none in a file that holds a policy alone.
    learner_leaves: dict[str, np.ndarray]


def save(
    path: Path | str,
    agent: Agent[Any],
    learner: Any,
    *,
    task: str,
    seed: int,
    overrides: dict[str, Any] | None = None,
    seconds: float = 0.0,
) -> None:
    """Writes a checkpoint: to a file beside it first, which then takes its place in one step.

    Whatever interrupts this, ``path`` holds a whole checkpoint: the previous one or the new one.

    Args:
      path: the file; its folder must exist.
      agent: of the training; in ``AGENTS``.
      learner: what to save.
      task: id of the task.
      seed: the number that the training's key came from.
      overrides: keyword arguments that the task was made with; must be JSON.
      seconds: s, wall clock of the training so far.
    """
    config = agent.config
    header = _header(
        config,
        task=task,
        overrides=overrides or {},
        seed=seed,
        env_steps=int(learner.num_updates) * config.steps_per_update,
        seconds=seconds,
    )
    policy = _leaves(agent.policy(learner))
    written = {_IN_LEARNER + name for name in policy} if _holds_policy(learner) else set()
    rest = {name: leaf for name, leaf in _leaves(learner).items() if name not in written}
    content = {"header": json.dumps(header), "policy": policy, "learner": rest}
    write_sealed(Path(path), content)


def save_policy(path: Path | str, checkpoint: Checkpoint) -> None:
    """Writes what acting needs of a checkpoint: a small file, loaded and evaluated as a checkpoint is."""
    names = ("task", "overrides", "seed", "env_steps", "seconds")
    said = {name: getattr(checkpoint, name) for name in names}
    header = _header(checkpoint.config, **said, holds=_POLICY_ALONE)
    content = {"header": json.dumps(header), "policy": checkpoint.policy_leaves, "learner": {}}
    write_sealed(Path(path), content)


def _header(config: AgentConfig, **said: Any) -> dict[str, Any]:
    return {"agent": name_of(config), "config": config.to_dict(), **said}


def load(path: Path | str) -> Checkpoint:
    """Reads a checkpoint.

    A checksum finds damage. That the content fits together is checked besides, as the file may come from
    anyone: names and types, options within their ranges, numbers finite, counters that agree.

    Args:
      path: the file.

    Returns:
      Its contents; ``restore_policy`` and ``restore_learner`` make them usable.

    Raises:
      CheckpointError: there is no such file, or it is not a checkpoint, damaged, or from another version.
    """
    path = Path(path)
    try:
        content = read_sealed(path)
    except SealError as error:
        raise CheckpointError(str(error)) from error
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CheckpointError(f"cannot read the checkpoint {path}: {reason}.") from error
    try:
        header = json.loads(content["header"])
        agent = _of(str, {"agent": DEFAULT_AGENT} | header, "agent")
        if agent not in AGENTS:
            raise ValueError(f"agent is {agent[:80]!r}, expected one of {', '.join(AGENTS)}")
        checkpoint = Checkpoint(
            path=path,
            agent=agent,
            task=_of(str, header, "task"),
            overrides=_of(dict, header, "overrides"),
            config=AGENTS[agent].config()(**_of(dict, header, "config")),
            seed=_of(int, header, "seed"),
            env_steps=_of(int, header, "env_steps"),
            seconds=_of(float, header, "seconds"),
            policy_leaves=_of(dict, content, "policy"),
            learner_leaves=_of(dict, content, "learner"),
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        # A KeyError says no more than the name that is missing.
        fault = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(
            f"the header of the checkpoint {path} is damaged: {fault[:300].rstrip('.')}."
        ) from error
    alone = header.get("holds") == _POLICY_ALONE and not checkpoint.learner_leaves
    if wrong := _fault_of_leaves(checkpoint) or _fault_of_counters(checkpoint, alone):
        raise CheckpointError(f"the checkpoint {path} is damaged: {wrong}.")
    return checkpoint


def restore_policy(checkpoint: Checkpoint, env: Environment) -> Policy:
    """The policy of a checkpoint, to act on a bare environment of its task.

    Raises:
      CheckpointError: the policy is for observations or actions of other sizes.
    """
    _check_sizes(checkpoint, env)
    initial_policy = AGENTS[checkpoint.agent].agent().initial_policy
    template = jax.eval_shape(lambda: initial_policy(jax.random.key(0), env, checkpoint.config))
    # A policy trained in float32 may well act in float64.
    dtype = env.observation_space.dtype
    leaves = {
        name: leaf.astype(dtype) if leaf.dtype.kind == "f" else leaf
        for name, leaf in checkpoint.policy_leaves.items()
    }
    return _restore(template, leaves, checkpoint.path)


def check_learner(checkpoint: Checkpoint) -> None:
    """Checks that a training can go on from a checkpoint.

    Raises:
      CheckpointError: it holds a policy alone.
    """
    if not checkpoint.learner_leaves:
        raise CheckpointError(
            f"{checkpoint.path} holds a policy alone: it acts, but its training cannot go on."
        )


def restore_learner(checkpoint: Checkpoint, agent: Agent[Any]) -> Any:
    """The whole learner of a checkpoint, to go on with its training.

    Raises:
      CheckpointError: the checkpoint is of a training with another task or other options.
    """
    check_learner(checkpoint)
    _check_sizes(checkpoint, agent.env)
    template = jax.eval_shape(agent.init, jax.random.key(0))
    held = checkpoint.policy_leaves if _holds_policy(template) else {}
    policy = {_IN_LEARNER + name: leaf for name, leaf in held.items()}
    return _restore(template, policy | checkpoint.learner_leaves, checkpoint.path)


def _holds_policy(learner: Any) -> bool:
    """Whether a learner has its policy in a field, which is then written once."""
    return hasattr(learner, _IN_LEARNER.removeprefix("."))


def _of(kind: type, values: dict[str, Any], name: str) -> Any:
    """An entry of a header, if it is of its kind; bool is no int here, int is a float."""
    value = values[name]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**53 else math.inf
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name} is no {kind.__name__}.")
    if isinstance(value, (int, float)) and not abs(value) < 2**64:
        raise ValueError(f"{name} is out of all bounds.")
    return value


def _fault_of_leaves(checkpoint: Checkpoint) -> str | None:
    leaves: dict[Any, Any] = checkpoint.policy_leaves | checkpoint.learner_leaves
    for name, leaf in leaves.items():
        if not isinstance(name, str):
            return "an entry has a name that is no text"
        if not isinstance(leaf, np.ndarray) or leaf.dtype.kind not in "biufc":
            return f"its entry {name[:100]} is not an array of numbers"
        if not name.startswith(_MAY_BE_INFINITE) and not np.isfinite(leaf).all():
            return f"not all numbers of its entry {name[:100]} are finite"
        if _NEVER_NEGATIVE.fullmatch(name) and leaf.dtype.kind in "if" and (leaf < 0).any():
            return f"its entry {name[:100]} is negative"
    return None


def _fault_of_counters(checkpoint: Checkpoint, alone: bool) -> str | None:
    config, leaves = checkpoint.config, checkpoint.learner_leaves
    updates, rest = divmod(checkpoint.env_steps, config.steps_per_update)
    if rest or not 0 <= updates <= config.num_updates or checkpoint.seconds < 0:
        return (
            f"its {checkpoint.env_steps} steps in {checkpoint.seconds:g} s are none of a training of "
            f"{config.num_updates} updates, {config.steps_per_update} steps each"
        )
    expected = {} if alone else {".num_updates": updates}
    for name in leaves:
        if _OPTIMIZER_COUNT.fullmatch(name):
            expected[name] = updates * config.gradient_steps_per_update
    for name, count in expected.items():
        if name not in leaves or leaves[name].shape != () or leaves[name] != count:
            return f"its counters disagree: {name} is not {count}, as {checkpoint.env_steps} steps make it"
    return None


def _check_sizes(checkpoint: Checkpoint, env: Environment) -> None:
    """Says of a checkpoint of another task what it was trained on: shapes of kernels say little."""
    leaves = checkpoint.policy_leaves
    theirs = [leaves[name].shape for name in (".statistics.mean", ".box.low") if name in leaves]
    ours = [env.observation_space.shape, env.action_space.shape]
    if theirs != ours and all(len(shape) == 1 for shape in theirs) and len(theirs) == 2:
        (observations,), (actions,) = theirs
        raise CheckpointError(
            f"{checkpoint.path} was trained on {checkpoint.task}, with {observations} observations and "
            f"{actions} actions; here there are {ours[0][0]} and {ours[1][0]}."
        )


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
        if name == _COSTS and name not in leaves:
            return jnp.zeros(like.shape, like.dtype)
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

    restored = jax.tree_util.tree_map_with_path(place, template)
    known = {jax.tree_util.keystr(where) for where, _ in jax.tree_util.tree_leaves_with_path(template)}
    if strangers := sorted(leaves.keys() - known):
        raise CheckpointError(
            f"the checkpoint {path} has an entry {strangers[0][:100]} that does not belong."
        )
    return restored
