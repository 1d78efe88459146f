"""The task of a checkpoint, which may be of any file that anyone made."""

from __future__ import annotations

from pathlib import Path

import pytest

from anmjax.agents.ppo import Checkpoint, PPOConfig
from anmjax.cli.errors import CommandError
from anmjax.cli.tasks import make_task, scoring_task_of, task_of


def checkpoint(task, **overrides):
    return Checkpoint(
        path=Path("run/checkpoint.msgpack"),
        agent="ppo",
        task=task,
        overrides=overrides,
        config=PPOConfig(),
        seed=0,
        env_steps=0,
        seconds=0.0,
        policy_leaves={},
        learner_leaves={},
    )


def test_a_task_is_made_as_it_was_for_the_training():
    assert float(task_of(checkpoint("ANM6Easy-v0", gamma=0.9)).gamma) == 0.9


def test_policies_are_compared_by_the_reward_of_the_task_whatever_they_were_trained_with():
    trained = checkpoint("ANM6Easy-v0", gamma=0.9, reward="energy")
    assert task_of(trained).reward == "energy"
    scored = scoring_task_of(trained)
    assert (scored.reward, float(scored.gamma)) == ("penalized", 0.9)


def test_a_reward_that_a_task_does_not_know_is_refused_in_one_sentence():
    assert make_task("ANM6Easy-v0", reward="energy").reward == "energy"
    sentence = "ANM6Easy-v0 does not take this --reward: reward is 'enrgy', but must be one of"
    with pytest.raises(CommandError) as refusal:
        make_task("ANM6Easy-v0", reward="enrgy")
    assert str(refusal.value).startswith(sentence)


@pytest.mark.parametrize(
    ("saved", "sentence"),
    [
        (checkpoint("ANM6Easy-v0", unknown=1), "on ANM6Easy-v0 with {'unknown': 1}, which cannot be made: "),
        (checkpoint("ANM6Easy-v0", gamma="x"), "on ANM6Easy-v0 with {'gamma': 'x'}, which cannot be made: "),
        (
            checkpoint("ANM6Easy-v0", gamma=[[]]),
            "on ANM6Easy-v0 with {'gamma': [[]]}, which cannot be made: ",
        ),
        (checkpoint("Gone-v0"), "on 'Gone-v0', which is not registered here: add --task TASK"),
        (checkpoint(""), "on no task that has a name: add --task TASK, or go on from Python."),
    ],
)
def test_a_task_that_cannot_be_made_gets_one_sentence(saved, sentence):
    with pytest.raises(CommandError) as refusal:
        task_of(saved)
    assert str(refusal.value).startswith(f"run/checkpoint.msgpack was trained {sentence}")
