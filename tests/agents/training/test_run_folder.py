"""The folder of a training: locked, cut back, swept, and explained; files whole or as they were."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys

import pytest

from anmjax.agents.training.lock import LockedError, locked
from anmjax.agents.training.metrics_file import MetricsFile, read_rows
from anmjax.agents.training.run_folder import RunFolder, RunFolderError
from anmjax.agents.training.whole_file import sweep_drafts, write_whole


def row(steps, seconds=1.0, **more):
    return {"env_steps": steps, "seconds": seconds, **more}


def lines(*rows):
    return "".join(json.dumps(each) + "\n" for each in rows)


def test_two_cannot_write_to_one_folder_and_the_next_may_once_the_first_has_left(tmp_path):
    folder = RunFolder(tmp_path / "deep" / "run")
    sentence = rf"^process {os.getpid()} on .* is training in .*run: wait"
    with folder.claimed(), pytest.raises(LockedError, match=sentence):
        folder.claimed().__enter__()
    with folder.claimed():
        pass


HOLDER = """
import sys, time
from pathlib import Path
from anmjax.agents.training.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_no_lock(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=f"process {holder.pid} on "):
            locked(tmp_path).__enter__()
        holder.send_signal(signal.SIGKILL)
    with locked(tmp_path):
        pass


def test_a_file_system_without_locks_gets_a_warning(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("anmjax.agents.training.lock.fcntl.flock", no_locks)
    with pytest.warns(UserWarning, match="no lock on this file system"), locked(tmp_path):
        pass


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="file is a file, not a folder"):
        RunFolder(tmp_path / "file").claimed().__enter__()
    with pytest.raises(RunFolderError, match="is a file, not a folder"):
        RunFolder(tmp_path / "file" / "run").claimed().__enter__()


def test_drafts_of_killed_processes_are_swept_and_nothing_else(tmp_path):
    folder = RunFolder(tmp_path)
    kept = ["checkpoint.msgpack", "checkpoint.msgpack.bak", "checkpoint.msgpack.old.draft", "notes.12.draft"]
    for name in [*kept, "checkpoint.msgpack.123.draft", "metrics.jsonl.7.draft", "run.json.8.draft"]:
        (tmp_path / name).write_text("")
    with folder.claimed():
        pass
    assert {path.name for path in tmp_path.iterdir()} == {*kept, ".lock"}


def test_a_folder_that_holds_another_training_is_refused(tmp_path):
    folder, other = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "other")
    for each in (folder, other):
        each.path.mkdir()
        each.checkpoint.write_text("")
    with pytest.raises(RunFolderError, match="holds a training: go on with --resume"):
        folder.check_for(None)
    with pytest.raises(RunFolderError, match="holds a training"):
        folder.check_for(other.checkpoint)
    folder.check_for(folder.checkpoint)
    # Going on from a copy beside it would lose what the training has learned since.
    with pytest.raises(RunFolderError, match="holds a training"):
        folder.check_for(folder.path / "copy.msgpack")


def test_metrics_that_nobody_here_wrote_are_not_written_over(tmp_path):
    folder = RunFolder(tmp_path)
    folder.metrics.write_text("mine\n")
    with pytest.raises(RunFolderError, match=r"metrics.jsonl is not of a training that began here"):
        folder.check_for(None)
    # A training that was killed before its first checkpoint has left its description.
    folder.describe({"task": "Match"}, {"command": "train"})
    folder.check_for(None)


def test_the_description_keeps_one_entry_a_command(tmp_path):
    folder = RunFolder(tmp_path)
    folder.describe({"seed": 1}, {"command": "anmjax train X", "from_step": 0})
    folder.describe({"seed": 2}, {"command": "anmjax train --resume", "from_step": 64})
    content = json.loads(folder.description.read_text())
    assert content["seed"] == 2
    assert [each["command"] for each in content["commands"]] == ["anmjax train X", "anmjax train --resume"]
    assert {"python", "anmjax", "jax", "numpy"} <= content["commands"][0]["versions"].keys()
    folder.description.write_text('{"commands": 5}')
    folder.describe({"seed": 3}, {"command": "again"})
    assert len(json.loads(folder.description.read_text())["commands"]) == 1


def test_metrics_are_cut_back_to_where_a_training_goes_on(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines(row(10, 1.0), row(20, 2.0), row(30, 3.0)) + '{"env_steps": 40, "seco')
    with MetricsFile(path, 20) as file:
        assert file.last_seconds == 2.0
        file.add(row(30, 5.0))
    assert read_rows(path) == [row(10, 1.0), row(20, 2.0), row(30, 5.0)]


def test_duplicates_and_damaged_lines_are_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    text = lines(row(10), row(20), row(20, 9.0), row(15), row(30))
    path.write_text(text + "[1, 2]\nnull\n" + "[" * 10**5 + '\n{"env_steps": "x", "seconds": 0}\n')
    assert [each["env_steps"] for each in read_rows(path)] == [10, 20, 30]


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsFile(path, 0) as file:
        file.add(row(10, a=math.nan, b=math.inf, c=-math.inf, d=1))
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == row(10, a=None, b=None, c=None, d=1)


def test_a_file_is_written_with_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other").write_text("")
    write_whole(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode
    sweep_drafts(tmp_path / "file")
    assert (tmp_path / "file").exists()
