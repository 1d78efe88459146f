"""Commands that are stopped or killed: one sentence, a known code, and nothing lost but the last moments."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from anmjax.agents.ppo import load
from anmjax.agents.training.metrics_file import read_rows

# The command line with a task that takes no time.
PROGRAM = """
import sys
import anmjax
from tests.agents.probes import Match
anmjax.register("Match-v0", Match)
from anmjax.cli import main
sys.exit(main())
"""
UPDATES, STEPS = 4000, 16  # some seconds
OPTIONS = {
    "--total-steps": UPDATES * STEPS,
    "--num-envs": 4,
    "--num-steps": 4,
    "--num-minibatches": 2,
    "--num-epochs": 1,
    "--hidden-sizes": 8,
    "--max-episode-steps": 3,
    "--updates-per-chunk": 20,
    "--renew-starts": 0,  # chunks end where other starts begin: here all are of 20 updates
    "--devices": 1,
}
TRAIN = ["train", "Match-v0", "--seed", "3", *(str(word) for option in OPTIONS.items() for word in option)]
LIMIT = 240  # s for a process to come to its end or to a moment on the way, on a busy machine


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An empty working folder, home and folder for temporary files, and a cache for the compiler."""
    place = tmp_path_factory.mktemp("place")
    for name in ("work", "home", "tmp", "cache"):
        (place / name).mkdir()
    return place


def start(place, *words, program=("-c", PROGRAM)):
    environment = os.environ | {
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "JAX_COMPILATION_CACHE_DIR": str(place / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "MPLCONFIGDIR": str(place / "cache"),
    }
    # What runs the tests in the background may ignore Ctrl-C, and what it starts with it. A handler of this
    # process is the default in one that it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, *program, *map(str, words)],
            cwd=place / "work",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def finish(process):
    """Code and output of a process at its end."""
    out, errors = process.communicate(timeout=LIMIT)
    assert "Traceback" not in errors, errors
    return process.returncode, out, errors


def wait_for(holds, process):
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def rows(out):
    """The learning curve without its clock."""
    kept = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("seconds", "steps_per_second")} for row in kept]


def stop(place, out, number, *words, more_rows=3):
    """Runs a command that trains in ``out`` and sends it a signal once it has added some rows."""
    before = len(read_rows(out / "metrics.jsonl"))
    started = (out / "checkpoint.msgpack").stat().st_mtime_ns if before else 0
    process = start(place, *words)

    def learned():
        file = out / "checkpoint.msgpack"
        return file.exists() and file.stat().st_mtime_ns > started and added() >= more_rows

    def added():
        kept = read_rows(out / "metrics.jsonl")
        return len(kept) - load(out / "checkpoint.msgpack").env_steps // (20 * STEPS)

    wait_for(learned, process)
    process.send_signal(number)
    return finish(process)


@pytest.fixture(scope="module")
def whole(place):
    """The folder of a training that nothing stopped."""
    out = place / "whole"
    code, _, errors = finish(start(place, *TRAIN, "--out", out))
    assert code == 0, errors
    return out


def assert_same_training(got, expected):
    got, expected = load(got / "checkpoint.msgpack"), load(expected / "checkpoint.msgpack")
    assert (got.env_steps, got.config) == (expected.env_steps, expected.config)
    for name in ("policy_leaves", "learner_leaves"):
        ours, theirs = getattr(got, name), getattr(expected, name)
        assert ours.keys() == theirs.keys()
        for leaf in ours:
            np.testing.assert_array_equal(ours[leaf], theirs[leaf], err_msg=leaf)


@pytest.mark.long
def test_a_killed_and_a_terminated_training_go_on_bit_for_bit_with_one_row_a_moment(place, whole):
    out = place / "stopped"
    # Killed soon after the first chunk, thirty seconds before the second checkpoint would be due.
    code, *_ = stop(place, out, signal.SIGKILL, *TRAIN, "--out", out)
    assert code == -signal.SIGKILL
    saved = load(out / "checkpoint.msgpack").env_steps
    assert saved == 20 * STEPS
    assert read_rows(out / "metrics.jsonl")[-1]["env_steps"] > saved
    (out / "checkpoint.msgpack.1.draft").write_bytes(b"half of a checkpo")

    code, printed, _ = stop(place, out, signal.SIGTERM, "train", "--resume", out)
    assert code == 128 + signal.SIGTERM
    assert f"Go on:    anmjax train --resume {out}" in printed
    # What was learned up to the signal is saved, to the last row.
    saved = load(out / "checkpoint.msgpack").env_steps
    assert saved == read_rows(out / "metrics.jsonl")[-1]["env_steps"] > 20 * STEPS

    code, *_ = finish(start(place, "train", "--resume", out))
    assert code == 0
    assert_same_training(out, whole)
    assert rows(out) == rows(whole)
    seconds = [row["seconds"] for row in read_rows(out / "metrics.jsonl")]
    assert seconds == sorted(seconds)
    assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}
    commands = json.loads((out / "run.json").read_text())["commands"]
    assert [command["command"].split()[1:3] for command in commands] == [
        ["train", "Match-v0"],
        ["train", "--resume"],
        ["train", "--resume"],
    ]


@pytest.mark.long
def test_a_training_writes_nothing_outside_its_folder(place, whole):
    assert {path.name for path in whole.iterdir()} == {
        ".lock",
        "checkpoint.msgpack",
        "evaluation.json",
        "evaluation.md",
        "learning_curve.png",
        "metrics.jsonl",
        "run.json",
    }
    for name in ("work", "home", "tmp"):
        assert list((place / name).rglob("*")) == []


@pytest.mark.long
def test_two_trainings_cannot_share_a_folder(place):
    out = place / "shared"
    first = start(place, *TRAIN, "--total-steps", "1e9", "--out", out)
    wait_for(lambda: (out / "checkpoint.msgpack").exists(), first)
    code, printed, errors = finish(start(place, "train", "--resume", out))
    assert (code, printed) == (2, "")
    assert f"process {first.pid} on " in errors
    assert "is training in" in errors
    # Ctrl-C: one that was told to stop leaves with a checkpoint, as after SIGTERM.
    first.send_signal(signal.SIGINT)
    code, printed, _ = finish(first)
    assert code == 130
    assert load(out / "checkpoint.msgpack").env_steps % (20 * STEPS) == 0


@pytest.mark.parametrize(
    ("number", "sentence", "seconds"),
    [(signal.SIGINT, "Ctrl-C", 0.0), (signal.SIGINT, "Ctrl-C", 0.4), (signal.SIGTERM, "SIGTERM", 0.2)],
)
def test_a_command_that_is_stopped_while_it_starts_says_so(place, number, sentence, seconds):
    process = start(place, "list", program=["-m", "anmjax.cli"])
    assert process.stderr.readline() == "Starting JAX: some seconds...\n"
    time.sleep(seconds)
    process.send_signal(number)
    code, _, errors = finish(process)
    assert code == 128 + number
    assert errors.splitlines() == [f"anmjax: stopped by {sentence}."]


def test_a_training_that_is_stopped_while_it_compiles_has_learned_nothing(place):
    out = place / "compiling"
    process = start(place, *TRAIN, "--out", out)
    while "Compiling" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    code, _, errors = finish(process)
    assert code == 130
    assert errors.splitlines()[-1] in (
        "anmjax: stopped by Ctrl-C.",
        "Interrupted: saving what was learned so far.",
    )
    assert "checkpoint.msgpack" not in os.listdir(out) or load(out / "checkpoint.msgpack").env_steps == 0


@pytest.mark.slow
def test_kills_at_any_moment_cost_no_number(place, whole):
    rng, out = np.random.default_rng(0), place / "killed"
    code, kills = None, 0
    command = [*TRAIN, "--out", out]
    while code != 0:
        process = start(place, *command)
        try:
            # Longer and longer, so that a busy machine comes to the end too.
            code = process.wait(timeout=float(rng.uniform(2, 15 + kills)))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        if (out / "checkpoint.msgpack").exists():
            command = ["train", "--resume", out]
        assert kills < 50
    assert kills > 0
    assert_same_training(out, whole)
    assert rows(out) == rows(whole)
