"""Files that a command will write are tried before the work, and left as they were."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from anmjax.cli import main
from anmjax.cli.errors import CommandError
from anmjax.cli.outputs import check_files, check_folder, check_plot


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with a file, a folder and a broken link in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("content")
    (tmp_path / "sub").mkdir()
    (tmp_path / "broken").symlink_to("nowhere/at/all")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("sub", "--csv is sub, a folder, but must name a file."),
        ("", "--csv is ., a folder, but must name a file."),
        ("none/scores.csv", "--csv is none/scores.csv, but the folder none does not exist."),
        ("file/scores.csv", "--csv is file/scores.csv, but the folder file is no folder."),
        ("broken", "--csv: cannot write broken: No such file or directory."),
        ("x" * 300, f"--csv: cannot write {'x' * 300}: File name too long."),
        ("a\0b", "--csv: cannot write 'a\\x00b': "),
        ("/proc/scores.csv", "--csv: cannot write /proc/scores.csv: No such file or directory."),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(folder, name, sentence):
    with pytest.raises(CommandError) as refusal:
        check_files({"--csv": name}, [])
    assert str(refusal.value).startswith(sentence)


def test_a_file_that_can_be_written_is_left_as_it_was(folder):
    check_files({"--csv": "file", "--json": "new", "--plot": None}, [])
    assert (folder / "file").read_text() == "content"
    assert not (folder / "new").exists()


def test_no_file_is_written_twice_or_over_what_is_read(folder):
    with pytest.raises(CommandError, match=r"--json and --csv would write to the same file, new\."):
        check_files({"--csv": "new", "--json": "./new"}, [])
    (folder / "link").symlink_to("file")
    with pytest.raises(CommandError, match="--csv would write over file, which is to be evaluated"):
        check_files({"--csv": "link"}, [Path("none"), Path("file")])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("", "--out is empty, but must name a folder."),
        ("file", "--out: .*file is a file, not a folder."),
        ("file/run", "--out: .*file is a file, not a folder."),
        ("broken", "--out: .*broken is a file, not a folder."),
        ("x" * 300, "--out: cannot make the folder x+: File name too long."),
        ("a\0b", "--out: cannot make the folder 'a.*b': "),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused(folder, name, sentence):
    with pytest.raises(CommandError, match=sentence):
        check_folder("--out", name)


def test_a_folder_without_permission_is_refused(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # permissions do not hold for root
    with pytest.raises(CommandError, match=r"--out: cannot write to the folder .*sub\."):
        check_folder("--out", "sub/run")


def test_a_folder_that_can_be_made_is_not_made_yet(folder):
    check_folder("--out", "sub/deep/run")
    check_folder("--out", "sub")
    assert list((folder / "sub").iterdir()) == []


@pytest.mark.parametrize("name", ["day", "day.xyz", "day.pgf", ".png", "day.png.gz"])
def test_a_picture_needs_an_ending_of_a_format(name):
    with pytest.raises(CommandError, match=rf"--plot is {name}, but must end in one of .*\.pdf, \.png"):
        check_plot(name)


@pytest.mark.parametrize("name", ["day.png", "day.PNG", "a.b/day.svg", None])
def test_endings_of_formats_are_taken(name):
    check_plot(name)


def test_a_picture_needs_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    with pytest.raises(CommandError, match="--plot needs matplotlib: pip install 'anmjax"):
        check_plot("day.png")


def test_no_policy_is_run_before_its_outputs_are_refused(folder, monkeypatch, capsys):
    monkeypatch.setattr("anmjax.cli.evaluate.score", pytest.fail)
    for words in (["--json", "sub"], ["--csv", "none/x"], ["--plot", "day"], ["--json", "x", "--csv", "x"]):
        assert main(["evaluate", "random", "--task", "ANM6Easy-v0", *words]) == 2
        assert capsys.readouterr().err.startswith("anmjax: --")


def test_output_that_nobody_reads_ends_the_command_quietly():
    # head reads one line and leaves.
    shown = f"{sys.executable} -m anmjax.cli train --help | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shown], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("0", "141")
