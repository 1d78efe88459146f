"""Minari: the data set holds the rollout and names its task and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("minari")

import minari

from anmjax.adapters.minari import create_dataset
from anmjax.adapters.recording import Rollout

# Minari warns of what is left out of these, and warnings are errors here.
DETAILS = {
    "author": "us",
    "author_email": "us@grid.example",
    "code_permalink": "https://grid.example",
    "algorithm_name": "random",
    "description": "made up",
    "requirements": [],
}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))


@pytest.fixture
def recorded() -> Rollout:
    """Numbers of the task's size: one lane goes on, one is truncated, one collapses; nothing is simulated."""
    rng, shape = np.random.default_rng(0), (3, 5)
    ends = np.array([5, 3, 2])[:, None]  # steps of each lane
    step = np.arange(5)
    path = rng.normal(size=(3, 6, 18))
    return Rollout(
        obs=path[:, :-1],
        action=rng.uniform(-1, 1, (*shape, 6)),
        reward=rng.uniform(-2, 0, shape),
        next_obs=path[:, 1:],
        terminated=(step == ends - 1) & (np.arange(3) == 2)[:, None],
        truncated=(step == ends - 1) & (np.arange(3) == 1)[:, None],
        costs=np.zeros((*shape, 2)),
        metrics={},
        valid=step < ends,
        obs_names=(),
        action_names=(),
        cost_names=(),
    )


def test_an_episode_is_a_lane_until_its_end(recorded: Rollout) -> None:
    create_dataset(recorded, "anm6easy/random-v0", "ANM6Easy-v0", **DETAILS)
    dataset: Any = minari.load_dataset("anm6easy/random-v0")
    assert dataset.total_episodes == len(recorded.reward)
    assert dataset.total_steps == recorded.valid.sum()
    for lane, episode in enumerate(dataset.iterate_episodes()):
        steps = int(recorded.valid[lane].sum())
        np.testing.assert_array_equal(episode.observations[:-1], recorded.obs[lane, :steps])
        np.testing.assert_array_equal(episode.observations[-1], recorded.next_obs[lane, steps - 1])
        np.testing.assert_array_equal(episode.actions, recorded.action[lane, :steps])
        np.testing.assert_array_equal(episode.rewards, recorded.reward[lane, :steps])
        collapsed = bool(recorded.terminated[lane, steps - 1])
        ends = [*[False] * (steps - 1), collapsed], [*[False] * (steps - 1), not collapsed]
        assert (episode.terminations.tolist(), episode.truncations.tolist()) == ends
    made = dataset.recover_environment()
    assert made.spec.id == "anmjax/ANM6Easy-v0"
    assert made.observation_space == dataset.observation_space
    assert dataset.observation_space.dtype == recorded.obs.dtype


def test_scores_are_mean_returns_of_the_two_policies(recorded: Rollout) -> None:
    better = recorded.replace(reward=recorded.reward / 2)
    scored = {"lowest": recorded, "highest": better}
    dataset = create_dataset(recorded, "anm6easy/scored-v0", "ANM6Easy-v0", **scored, **DETAILS)
    returns = np.array(
        [
            np.where(valid, reward, 0).sum()
            for valid, reward in zip(recorded.valid, recorded.reward, strict=True)
        ]
    )
    np.testing.assert_allclose(recorded.returns(), returns)
    scores = minari.get_normalized_score(dataset, np.array([returns.mean(), returns.mean() / 2]))
    np.testing.assert_allclose(scores, [0, 1], atol=1e-12)
    first = recorded.reward[0, recorded.valid[0]]
    np.testing.assert_allclose(recorded.returns(0.9)[0], first @ 0.9 ** np.arange(len(first)))


def test_what_is_no_rollout_of_the_task_is_refused(recorded: Rollout, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="highest is given, but scores need lowest too"):
        create_dataset(recorded, "a-v0", "ANM6Easy-v0", highest=recorded)
    with pytest.raises(ValueError, match=r"observations of shape \(18,\), but IEEE33Easy-v0 \(88,\)"):
        create_dataset(recorded, "a-v0", "IEEE33Easy-v0")
    assert not list(tmp_path.iterdir())
