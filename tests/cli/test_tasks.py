"""The task of a checkpoint, which may be of any file that anyone made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from anmjax.agents.ppo import Checkpoint, PPOConfig
from anmjax.cli import main
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


OWN = """
import anmjax

number = 3
make_it = lambda **options: anmjax.make("ANM6Easy-v0", **options)
task = make_it(gamma=0.9)
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "own_grid_of_a_test.py").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    yield "own_grid_of_a_test"
    sys.modules.pop("own_grid_of_a_test", None)


def test_a_task_of_a_module_is_made_by_its_name_and_so_is_that_of_a_checkpoint(own_module):
    made = make_task(f"{own_module}:task", lamb=7.0)
    assert (float(made.gamma), made.lamb) == (0.9, 7.0)
    assert float(task_of(checkpoint(f"{own_module}:make_it", gamma=0.8)).gamma) == 0.8


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ("own_grid_of_a_test:taks", "own_grid_of_a_test has no taks; did you mean task?"),
        (
            "own_grid_of_a_test:number",
            "own_grid_of_a_test:number is a int, but must be a task, or a function",
        ),
        ("not_there:task", "there is no module not_there in "),
        ("own_grid_of_a_test:", "own_grid_of_a_test: is no task: write module:name"),
        ("127.0.0.1:80", "127.0.0.1:80 is no task: write module:name"),
    ],
)
def test_a_module_without_the_task_gets_one_sentence(own_module, task, sentence):
    with pytest.raises(CommandError) as refusal:
        make_task(task)
    assert str(refusal.value).startswith(sentence)


def test_describe_shows_the_card_the_devices_and_the_order_of_an_action(capsys):
    assert main(["describe", "ANM6Easy-v0"]) == 0
    shown = capsys.readouterr().out
    for part in ("gym-anm", "6 buses, 5 branches, 7 devices", "storage 6", "p_mw_2, p_mw_4", "do-nothing"):
        assert part in shown


def test_a_new_module_is_a_task_and_is_never_written_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    assert main(["new", "feeder_of_a_test.py"]) == 0
    task = make_task("feeder_of_a_test:task")
    assert task.network.device_names == ("slack 0", "town", "solar park", "battery")
    assert task.starts.shape == (304,)  # of 305 days, the last has no whole day after it
    assert main(["new", "feeder_of_a_test.py"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["new", "feeder"]) == 2
    sys.modules.pop("feeder_of_a_test")


def test_check_lists_the_faults_of_a_case_and_of_profiles(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bus = [[0, 0, 20, 1.0, 1.0], [1, 1, 20, 1.05, 0.95]]
    device = [[0, 0, 0, *[None] * 12], [1, 1, -1, 0.2, 0, -4, *[None] * 9]]
    case = {"baseMVA": 10, "bus": bus, "device": device, "branch": [[0, 1, 0.02, 0.04, 0, 5, 1, 0]]}
    Path("case.json").write_text(json.dumps(case), encoding="utf-8")
    Path("year.csv").write_text("time,load 1\n2016-01-01 00:00,1\n2016-01-01 01:00,-2\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["check", "case.json"]) == 0
    assert "2 buses, 1 branches, 2 devices" in capsys.readouterr().out
    assert main(["check", "year.csv", "--net", "case.json"]) == 1
    assert "column 'load 1' is -2 MW at 2016-01-01 01:00" in capsys.readouterr().out
    case["branch"][0][2:4] = [-1, "x"]
    Path("case.json").write_text(json.dumps(case), encoding="utf-8")
    assert main(["check", "case.json"]) == 1
    shown = capsys.readouterr().out
    assert "2 faults" in shown
    assert "BR_R is -1" in shown
    assert main(["check", "year.csv"]) == 2
    assert main(["check", "none.json"]) == 2
    assert main(["check", "year.txt"]) == 2
