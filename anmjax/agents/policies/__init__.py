"""Trained policies that come with the package; ``policies.json`` says how each was made, and its score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anmjax.agents.agent import Policy
from anmjax.agents.training.checkpoint import Checkpoint, load, restore_policy
from anmjax.tasks import make

FOLDER = Path(__file__).parent
RECORD = FOLDER / "policies.json"


def load_policy(task: str, agent: str = "shac", *, env: Any = None) -> Policy:
    """A trained policy that comes with the package.

    Args:
      task: id of its task.
      agent: name of the learner that made it: "shac" or "ppo".
      env: the environment to act on, of the same observations and actions; None: the task as ``make`` makes
        it. Its numbers' type is that of the policy.

    Returns:
      The policy: ``policy.act(key, state)`` gives the action, (n_action,) MW and MVAr, in a state of one
      lane; ``policy(key, obs)`` in an observation. Deterministic: the key plays no part.

    Raises:
      ValueError: no such policy comes with the package; names those that do.
    """
    checkpoint = shipped(task, agent)
    return restore_policy(checkpoint, make(task, **checkpoint.overrides) if env is None else env)


def shipped(task: str, agent: str) -> Checkpoint:
    """The file of a policy that comes with the package.

    Raises:
      ValueError: there is none.
    """
    known = made()
    name = f"{agent}@{task}"
    if name not in known:
        raise ValueError(f"no policy {name} comes with anmjax: there are {', '.join(known) or 'none'}")
    return load(FOLDER / f"{name}.msgpack")


def made() -> dict[str, dict[str, Any]]:
    """By name, 'shac@ANM6Easy-v0', how each policy was made: command, seed, versions, score."""
    record: dict[str, dict[str, Any]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record
