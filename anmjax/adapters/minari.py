"""Minari: what policies did, as a data set for offline learners."""

from __future__ import annotations

from typing import Any

import gymnasium
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

from anmjax.adapters.gymnasium import register_tasks
from anmjax.adapters.recording import Rollout

__all__ = ["create_dataset"]


def create_dataset(
    recorded: Rollout,
    dataset_id: str,
    task: str,
    *,
    lowest: Rollout | None = None,
    highest: Rollout | None = None,
    task_options: dict[str, Any] | None = None,
    **details: Any,
) -> minari.MinariDataset:
    """Writes a rollout to Minari's folder of data sets: an episode a lane, actions in MW and MVAr.

    The data set names the task, so that ``dataset.recover_environment()`` makes it. The last recorded step of
    an episode that goes on is a truncation.

    Args:
      recorded: the steps, of the bare task.
      dataset_id: such as "anm6easy/expert-v0".
      task: name of the registered task.
      lowest: of a policy whose mean return, undiscounted, is the score 0: one that acts at random, as a rule;
        from the same starts, and as long.
      highest: of a policy whose mean return is the score 1, as ``minari.get_normalized_score`` counts.
      task_options: arguments of the task's constructor, of text and numbers. The numbers' type is that of the
        rollout.
      **details: further arguments of ``minari.create_dataset_from_buffers``: ``author``, ``description``, ..

    Returns:
      The data set.

    Raises:
      ValueError: only one of ``lowest`` and ``highest`` is given, the rollout is not of this task, or Minari
        has a data set of this name.
    """
    if (lowest is None) != (highest is None):
        given, missing = ("highest", "lowest") if lowest is None else ("lowest", "highest")
        raise ValueError(f"{given} is given, but scores need {missing} too")
    register_tasks()
    dtype = {"dtype": str(recorded.obs.dtype)}
    env = gymnasium.make(f"anmjax/{task}", **{**(task_options or {}), **dtype})
    for name, values, space in (
        ("observations", recorded.obs, env.observation_space),
        ("actions", recorded.action, env.action_space),
    ):
        if values.shape[2:] != space.shape:
            raise ValueError(f"the rollout has {name} of shape {values.shape[2:]}, but {task} {space.shape}")
    scores = {}
    if lowest is not None and highest is not None:
        scores = {"ref_min_score": lowest.returns().mean(), "ref_max_score": highest.returns().mean()}
    return minari.create_dataset_from_buffers(
        dataset_id,
        [_episode(recorded, lane) for lane in range(len(recorded.reward)) if recorded.valid[lane, 0]],
        env=env,
        **{name: float(score) for name, score in scores.items()},
        **{"eval_env": env, **details},
    )


def _episode(recorded: Rollout, lane: int) -> EpisodeBuffer:
    steps = int(recorded.valid[lane].sum())
    terminated, truncated = (x[lane, :steps].copy() for x in (recorded.terminated, recorded.truncated))
    truncated[-1] |= not terminated[-1]
    return EpisodeBuffer(
        observations=np.concatenate([recorded.obs[lane, :steps], recorded.next_obs[lane, steps - 1 : steps]]),
        actions=recorded.action[lane, :steps],
        rewards=recorded.reward[lane, :steps],
        terminations=terminated,
        truncations=truncated,
    )
