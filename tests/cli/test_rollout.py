"""``anmjax rollout``: the file holds what the policy did, and what cannot be recorded gets one sentence."""

from __future__ import annotations

import csv
import sys

import jax
import numpy as np
import pytest

import anmjax
from anmjax.cli import main
from anmjax.cli.rollout import starts_for
from tests.agents.probes import Bare, Match, TwoSteps

TASKS = {"Match-v0": Match, "TwoSteps-v0": TwoSteps, "Bare-v0": Bare}


@pytest.fixture(autouse=True)
def probes_as_tasks(monkeypatch, tmp_path):
    """Tasks that take no time to make, and a folder to write to."""
    monkeypatch.setattr(anmjax, "registered_tasks", lambda: tuple(TASKS), raising=False)
    monkeypatch.setattr(anmjax, "make", lambda task, **_: TASKS[task](), raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_table_has_the_steps_of_every_episode_until_its_end(capsys, tmp_path):
    words = ["rollout", "random", "--task", "TwoSteps-v0", "--starts", "3", "--steps", "4"]
    assert main([*words, "--out", "steps.csv"]) == 0
    printed = capsys.readouterr()
    assert printed.out == (
        "steps.csv: 6 steps of random on TwoSteps-v0, 3 episodes, 3 of which ended in a collapse.\n"
    )
    assert "Following random from 3 starts, 4 steps each" in printed.err
    rows = list(csv.DictReader((tmp_path / "steps.csv").read_text().splitlines()))
    assert [(row["lane"], row["step"]) for row in rows] == [
        (str(i), str(t)) for i in range(3) for t in (0, 1)
    ]
    assert [row["terminated"] for row in rows] == ["False", "True"] * 3
    assert {"obs_0", "action_0", "reward", "next_obs_1", "e_loss"} <= rows[0].keys()


def test_arrays_are_those_of_the_seed(tmp_path):
    words = ["rollout", "random", "--task", "Match-v0", "--starts", "2", "--steps", "3"]
    for name, seed in {"a": "5", "b": "5", "c": "6"}.items():
        assert main([*words, "--seed", seed, "--out", f"{name}.npz"]) == 0
    a, b, c = (np.load(tmp_path / f"{name}.npz")["actions"] for name in "abc")
    assert a.shape == (6, 1)
    np.testing.assert_array_equal(a, b)
    assert not np.isclose(a, c).any()


def test_starts_of_the_task_are_taken_evenly_spread():
    class Own:
        def evaluation_starts(self):
            return {"hour": np.arange(96)}

    assert starts_for(Own(), 4, drawn=False)["hour"].tolist() == [0, 24, 48, 72]
    assert len(starts_for(Own(), None, drawn=False)["hour"]) == 96
    assert starts_for(Own(), 100, drawn=True) == 100
    assert starts_for(Match(), None, drawn=False) == 96


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("random --task Match-v0", "the following arguments are required: --out."),
        ("random --out x.txt", "--out is x.txt, but must end in one of .npz, .csv, .parquet."),
        ("random --out none/x.csv", "--out is none/x.csv, but the folder none does not exist."),
        ("random --out x.csv", "baselines need a task: add --task TASK."),
        (
            "random --out x.csv --task Mach-v0",
            "unknown task Mach-v0; did you mean Match-v0? 'anmjax list' shows all tasks.",
        ),
        ("randm --out x.csv", "no checkpoint at randm, nor a baseline of that name; did you mean random?"),
        ("do-nothing --task Bare-v0 --out x.csv", "Bare-v0 has no baseline do-nothing: it has no grid."),
        ("random --steps 0 --out x.csv", "--steps is 0, but must be at least 1."),
        ("random --starts 2.5 --out x.csv", "--starts: '2.5' is not a whole number."),
        ("random --horizon 5 --out x.csv", "unknown option --horizon; did you mean --steps?"),
        ("random --num-starts 5 --out x.csv", "unknown option --num-starts; did you mean --starts?"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_clear_sentence(words, sentence, capsys, tmp_path):
    assert main(["rollout", *words.split()]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"anmjax: {sentence}"
    assert not list(tmp_path.iterdir())


def test_more_starts_than_the_task_has_are_refused(monkeypatch, capsys):
    def ten(self):
        return jax.vmap(lambda _: self.initial(np.zeros(1)))(np.arange(10))

    monkeypatch.setattr(Match, "evaluation_starts", ten, raising=False)
    assert main(["rollout", "random", "--task", "Match-v0", "--starts", "11", "--out", "x.csv"]) == 2
    assert capsys.readouterr().err.endswith("--starts is 11, but the task has 10 of its own: add --drawn.\n")


def test_parquet_needs_its_library(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["rollout", "random", "--task", "Match-v0", "--out", "x.parquet"]) == 2
    assert capsys.readouterr().err == "anmjax: --out x.parquet needs pyarrow: pip install 'anmjax[data]'.\n"
