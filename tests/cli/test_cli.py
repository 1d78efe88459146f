"""The command line: one clear sentence for every mistake, and a training from start to score."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import anmjax
from anmjax.cli import main
from anmjax.cli.parser import build_parser
from anmjax.cli.synonyms import SYNONYMS
from tests.agents.probes import Bare, Match, TwoSteps

TASKS = {"Match-v0": Match, "TwoSteps-v0": TwoSteps}
SMALL = {
    "--total-steps": 64,
    "--num-envs": 4,
    "--num-steps": 4,
    "--num-minibatches": 2,
    "--num-epochs": 1,
    "--hidden-sizes": 8,
    "--max-episode-steps": 3,
    "--updates-per-chunk": 2,
}
SMALL_WORDS = [str(word) for option in SMALL.items() for word in option]


@pytest.fixture(autouse=True)
def probes_as_tasks(monkeypatch):
    """Two tasks that take no time to make."""
    monkeypatch.setattr(anmjax, "registered_tasks", lambda: tuple(TASKS), raising=False)
    monkeypatch.setattr(anmjax, "make", lambda task, **_: TASKS[task](), raising=False)


def refused(capsys, *words):
    """The sentence that a command is refused with."""
    assert main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    sentence = captured.err.strip()
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    return sentence.removeprefix("anmjax: ")


@pytest.mark.long
def test_a_task_without_a_grid_is_trained_and_scored(capsys, tmp_path, monkeypatch, standard_promotion):
    monkeypatch.setitem(TASKS, "Bare-v0", Bare)
    out = str(tmp_path / "run")
    assert main(["train", "Bare-v0", *SMALL_WORDS, "--gamma", "0.5", "--quiet", "--out", out]) == 0
    trained = json.loads((tmp_path / "run" / "evaluation.json").read_text())["ppo, seed 0"]
    assert (trained["gamma"], trained["violation_share"], trained["cost_per_day"]) == (0.5, None, None)
    assert main(["evaluate", out, "random", "--csv", str(tmp_path / "scores.csv")]) == 0
    (first, *_) = csv.DictReader((tmp_path / "scores.csv").read_text().splitlines())
    assert (float(first["discounted_return"]), first["branch_share"]) == (trained["discounted_return"], "")
    capsys.readouterr()
    sentence = "Bare-v0 has no baseline do-nothing: it has no grid."
    assert refused(capsys, "evaluate", out, "do-nothing").endswith(sentence)
    sentence = "--plot draws a day on a grid, and Bare-v0 has none."
    assert refused(capsys, "evaluate", out, "--plot", str(tmp_path / "day.png")).endswith(sentence)
    sentence = "the task has no discount factor: name a trained policy, which has one, first."
    assert refused(capsys, "evaluate", "random", "--task", "Bare-v0").endswith(sentence)


def test_a_task_that_an_agent_cannot_learn_is_refused_in_one_sentence(capsys, tmp_path):
    words = ["train", "Match-v0", *SMALL_WORDS, "--cost-limit", "0.1", "--quiet", "--out", tmp_path / "run"]
    sentence = "PPO is to limit costs, but the task has none: it has no cost_names."
    assert refused(capsys, *words) == sentence
    assert not (tmp_path / "run" / "checkpoint.msgpack").exists()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("", "name a command: train, evaluate, render or list; anmjax --help explains them."),
        ("trian Match-v0", "unknown command trian; did you mean train?"),
        (
            "train Match-v0 --learnig-rate 1e-3",
            "unknown option --learnig-rate; did you mean --learning-rate?",
        ),
        ("train Match-v0 --num-envs many", "--num-envs: 'many' is not a whole number."),
        ("train Match-v0 --num-envs 2.5", "--num-envs: '2.5' is not a whole number."),
        (
            "train Match-v0 --gamma 1",
            "--gamma is 1.0, but must be a number from 0 up to, but not including, 1.",
        ),
        ("train", "name a task to train on: anmjax train TASK ('anmjax list' shows all)."),
        ("train mach-v0", "unknown task mach-v0; did you mean Match-v0? 'anmjax list' shows all tasks."),
        ("train Match-v0 twice", "unknown argument twice."),
        ("train Match-v0 --no-cache=1", "--no-cache takes no value, but '1' is given."),
        ("train Match-v0 --devices 0", "--devices is 0, but must be at least 1."),
        ("train Match-v0 --devices 2", "--devices is 2, but JAX has started with 1."),
        (
            "train Match-v0 --process-id 1",
            "several processes need --coordinator, --num-processes, --process-id: there is no --coordinator "
            "and no --num-processes.",
        ),
        (
            "train Match-v0 --coordinator 127.0.0.1 --num-processes 2 --process-id 1",
            "--coordinator is 127.0.0.1, but must be HOST:PORT.",
        ),
        (
            "train Match-v0 --coordinator 127.0.0.1:7777 --num-processes 2 --process-id 2",
            "--process-id is 2, but must be from 0 to 1.",
        ),
        ("train --resume nowhere", "nothing to go on with: there is no nowhere."),
        ("train --resume tests", "nothing to go on with: there is no tests/checkpoint.msgpack."),
        ("train Match-v0 --total-steps inf", "--total-steps: 'inf' is not a whole number."),
        ("train Match-v0 --total-steps nan", "--total-steps: 'nan' is not a whole number."),
        (
            "train Match-v0 --total-steps 1e400",
            "--total-steps is 100000000000000000...0000000000000000000, but must be a whole number of at "
            "least 1 and at most 1,000,000,000,000,000.",
        ),
        (
            "train Match-v0 --total-steps 0",
            "--total-steps is 0, but must be a whole number of at least 1 and at most 1,000,000,000,000,000.",
        ),
        # 1e15 / (512 * 32) = 61,035,156,250 updates of 2 * 4 gradient steps each.
        (
            "train Match-v0 --total-steps 1e15",
            "--total-steps is 1,000,000,000,000,000, which takes 488,281,250,000 gradient steps, but there "
            "may be at most 2,147,483,647.",
        ),
        (
            "train Match-v0 --num-envs 1048576 --num-steps 1048576",
            "--num-envs times --num-steps is 1,099,511,627,776, but must be at most 2,147,483,647.",
        ),
        ("train Match-v0 --learning-rate inf", "--learning-rate: 'inf' is not a finite number."),
        ("train Match-v0 --learning-rate 1e400", "--learning-rate: '1e400' is not a finite number."),
        (
            "train Match-v0 --learning-rate -1",
            "--learning-rate is -1.0, but must be a number above 0 and at most 1e+30.",
        ),
        (
            "train Match-v0 --hidden-sizes 8 1e9",
            "--hidden-sizes is (8, 1000000000), but must be at most 64 numbers, each a whole number of at "
            "least 1 and at most 65,536.",
        ),
        (
            "train Match-v0 --seed 99999999999999999999999",
            "--seed is 99999999999999999999999, but must be at most 4294967295.",
        ),
        ("train Match-v0 --seed 4294967296", "--seed is 4294967296, but must be at most 4294967295."),
        ("train Match-v0 --seed -1", "--seed is -1, but must be at least 0."),
        ("train Match-v0 --seed 0.5", "--seed: '0.5' is not a whole number."),
        ("train Match-v0 --seed 1 2 1e0", "--seed has 1 more than once: a seed trains one agent."),
        ("train Match-v0 --lr 1e-3", "unknown option --lr; did you mean --learning-rate?"),
        ("train Match-v0 --steps 5", "unknown option --steps; did you mean --total-steps?"),
        ("train Match-v0 --total-step 5", "unknown option --total-step; did you mean --total-steps?"),
        ("train Match-v0 --gpus=2", "unknown option --gpus; did you mean --devices?"),
        (
            "train --env Match-v0",
            "unknown option --env: a task is named without an option, anmjax train TASK.",
        ),
        ("evaluate random --env Match-v0", "unknown option --env; did you mean --task?"),
        ("evaluate random --steps 5", "unknown option --steps; did you mean --horizon?"),
        ("evaluate random random", "the policy random is named more than once."),
        ("--seed 1 train Match-v0", "--seed before a command: options follow it, anmjax COMMAND [options]."),
        ("train Match-v0 --agent shak", "unknown agent shak; did you mean shac? There are: ppo, ippo, shac."),
        ("train Match-v0 --agent pp", "unknown agent pp; did you mean ppo? There are: ppo, ippo, shac."),
        ("train matc", "unknown task matc; did you mean Match-v0? 'anmjax list' shows all tasks."),
        ("train zzz", "unknown task zzz. 'anmjax list' shows all tasks."),
        ("train Match-v0 --devices 1e5", "--devices is 1e5, but must be at most 4096."),
        (
            "train Match-v0 --coordinator 127.0.0.1:99999 --num-processes 2 --process-id 1",
            "--coordinator is 127.0.0.1:99999, but must be HOST:PORT.",
        ),
        ("evaluate random --task Match-v0 --horizon 1e9", "--horizon is 1e9, but must be at most 10000000."),
        ("evaluate random --task Match-v0 --num-starts 0", "--num-starts is 0, but must be at least 1."),
        ("evaluate random --task Match-v0 --soc nan", "--soc: 'nan' is not a finite number."),
        ("evaluate random --task Match-v0 --seed 1e20", "--seed is 1e20, but must be at most 4294967295."),
        (
            "train Match-v0 --out pyproject.toml/run",
            f"--out: {Path('pyproject.toml').absolute()} is a file, not a folder.",
        ),
        (
            "evaluate do-nothin",
            "no checkpoint at do-nothin, nor a baseline of that name; did you mean do-nothing?",
        ),
        ("evaluate random", "baselines need a task: add --task TASK."),
        ("evaluate random --task Match-v0 --horizon 0", "--horizon is 0, but must be at least 1."),
        ("evaluate random --task Match-v0 --devices 0", "--devices is 0, but must be at least 1."),
        (
            "evaluate random --task Match-v0 --devices 1000",
            f"--devices is 1000, but JAX has started with {jax.device_count()}.",
        ),
        (
            "evaluate mpc-perfect --task Match-v0",
            "Match-v0 has no baseline mpc-perfect: Match has no method coming_profiles(state, num_steps), so "
            "that there is no perfect forecast; MPCConstant needs none.",
        ),
    ],
)
def test_a_mistake_gets_one_clear_sentence(capsys, command, sentence):
    assert refused(capsys, *command.split()) == sentence


def test_a_file_that_is_no_checkpoint_is_refused(capsys, tmp_path):
    foreign = tmp_path / "notes.txt"
    foreign.write_text("hello")
    assert refused(capsys, "evaluate", foreign) == f"{foreign} is not an anmjax checkpoint, or is damaged."


def test_help_lists_every_option_of_ppo_and_the_command_line_itself_needs_no_jax():
    # Importing JAX, or NumPy, would raise here.
    program = (
        "import sys\n"
        "sys.modules.update(jax=None, numpy=None)\n"
        "from anmjax.cli import main\n"
        "main(['train', '--help'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for option in ("--num-envs N", "--no-normalize-rewards", "--hidden-sizes N [N ...]", "--resume PATH"):
        assert option in done.stdout
    # As many columns as a terminal has that says nothing of its width.
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_command_says_what_it_does_before_jax_has_started():
    program = (
        "import sys\n"
        "sys.modules.update(jax=None)\n"
        "from anmjax.cli import main\n"
        "main(['evaluate', 'random', '--task', 'ANM6Easy-v0'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.startswith("Starting JAX: some seconds...\nTraceback")
    assert "import of jax halted" in done.stderr


def test_training_then_evaluating_then_going_on(capsys, tmp_path, standard_promotion):
    out = tmp_path / "run"
    assert main(["train", "Match-v0", "--seed", "3", "--out", str(out), *SMALL_WORDS]) == 0
    captured = capsys.readouterr()
    assert f"Checkpoint: {out / 'checkpoint.msgpack'}" in captured.out
    assert f"anmjax evaluate {out}" in captured.out
    assert "ppo, seed 3" in captured.out
    assert "100.0 %" in captured.err

    scores = tmp_path / "scores.json"
    sheet = tmp_path / "scores.csv"
    files = ["--json", str(scores), "--csv", str(sheet)]
    assert main(["evaluate", str(out), "random", "--horizon", "96", *files]) == 0
    printed = " ".join(capsys.readouterr().out.split())  # lines end where the terminal does
    assert "Match-v0: 96 starts drawn by reset, 96 steps, gamma 0.9" in printed
    assert f"discounted return less that of {out}, paired over the starts, 95 % interval:" in printed
    record = json.loads(scores.read_text())
    policies = record["policies"]
    mean = np.subtract(policies["random"]["returns"], policies[str(out)]["returns"]).mean()
    assert record[f"less {out}"]["random"]["mean"] == pytest.approx(mean)
    header, *lines = csv.reader(sheet.read_text().splitlines())
    assert [line[0] for line in lines] == [str(out), "random"]
    assert float(lines[1][header.index("discounted_return")]) == policies["random"]["discounted_return"]
    assert policies.keys() == {str(out), "random"}
    # At the middle of the box, 1, the mean of -(a - 1 - s)^2 is -1/3, 0 at best; at random -1/3 - 4/3. The
    # policy starts at the middle and has learned for four updates. 1.2: the mean over 96 starts is not exact.
    assert -1.2 * 10 / 3 < policies[str(out)]["discounted_return"] < 0
    assert policies["random"]["discounted_return"] == pytest.approx(-50 / 3, rel=0.2)

    again = refused(capsys, "train", "Match-v0", "--out", out, *SMALL_WORDS)
    assert again == f"{out} holds a training: go on with --resume {out}, or choose another --out."
    other_task = refused(capsys, "train", "TwoSteps-v0", "--resume", out)
    assert other_task == f"{out} is a training on Match-v0, not on TwoSteps-v0."
    shorter = refused(capsys, "train", "--resume", out, "--total-steps", 64)
    assert shorter == "--total-steps is 64, but must be more than the 64 that it has done already."
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "checkpoint.msgpack").write_text("another training")
    refusal = refused(capsys, "train", "--resume", out, "--out", elsewhere, "--quiet")
    assert (
        refusal == f"{elsewhere} holds a training: go on with --resume {elsewhere}, or choose another --out."
    )
    other_option = refused(capsys, "train", "--resume", out, "--num-envs", 8)
    assert other_option.startswith("--num-envs cannot be changed by --resume")
    other_seed = refused(capsys, "train", "--resume", out, "--seed", 4)
    assert other_seed == f"{out} is a training with seed 3: leave out --seed."
    assert main(["train", "--resume", str(out), "--quiet"]) == 0
    assert capsys.readouterr().err == ""

    # Longer than it was meant to be.
    assert main(["train", "--resume", str(out), "--total-steps", "1e2"]) == 0
    assert "from step 64 to 112 steps" in capsys.readouterr().err
    run = json.loads((out / "run.json").read_text())
    assert (run["task"], run["seed"], run["options"]["total_steps"]) == ("Match-v0", 3, 100)
    assert run["commands"][-1]["command"] == f"anmjax train --resume {out} --total-steps 1e2"
    steps = [json.loads(line)["env_steps"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == [32, 64, 96, 112]
    assert (out / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert "| ppo, seed 3 |" in (out / "evaluation.md").read_text()

    damaged = tmp_path / "damaged"
    damaged.write_bytes((out / "checkpoint.msgpack").read_bytes()[:-1])
    sentence = refused(capsys, "evaluate", damaged)
    assert sentence == f"{damaged} is not an anmjax checkpoint, or is damaged."
    over = refused(capsys, "evaluate", out, "--json", out / "checkpoint.msgpack")
    assert over == f"--json would write over {out / 'checkpoint.msgpack'}, which is to be evaluated."


@pytest.mark.long
def test_seeds_that_train_together_are_each_evaluated(capsys, tmp_path, standard_promotion):
    seeds = ["--seed", "3", "4", "--together"]
    assert main(["train", "Match-v0", *seeds, "--out", str(tmp_path), *SMALL_WORDS]) == 0
    printed = capsys.readouterr().out
    for name in ("seed3", "seed4"):
        assert f"Checkpoint: {tmp_path / name / 'checkpoint.msgpack'}" in printed
        assert json.loads((tmp_path / name / "evaluation.json").read_text()).keys() == {
            f"ppo, seed {name[4:]}"
        }
    assert f"anmjax evaluate {tmp_path / 'seed3'} {tmp_path / 'seed4'}" in printed


def test_list_shows_every_task_with_its_sizes(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == ["Match-v0", "TwoSteps-v0"]
    assert max(map(len, lines)) <= 80
    assert "2 observations, 1 actions" in lines[0]


def test_every_synonym_is_of_an_option_and_none_is_an_option_of_the_same_command():
    commands = build_parser()._subparsers._group_actions[0].choices.values()
    flags = [set(command._option_string_actions) for command in commands]
    assert SYNONYMS.keys() <= set.union(*flags)
    for option, words in SYNONYMS.items():
        assert all(not own & set(words) for own in flags if option in own), option
