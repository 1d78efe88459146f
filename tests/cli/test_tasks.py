"""The task of a checkpoint, which may be of any file that anyone made."""

from __future__ import annotations

from pathlib import Path

import pytest

from anmjax.agents.ppo import Checkpoint, PPOConfig
from anmjax.cli.errors import CommandError
from anmjax.cli.tasks import task_of


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
