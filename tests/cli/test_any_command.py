"""Whatever is typed: a command that can be carried out, or one sentence; never a traceback, never a file."""

from __future__ import annotations

import numpy as np
import pytest

import anmjax
import anmjax.cli.rollout
from anmjax.cli import main
from anmjax.cli.parser import COMMANDS, build_parser
from anmjax.cli.synonyms import SYNONYMS
from tests.agents.probes import Match

VALUES = (
    *("0", "1", "-1", "2", "3.5", "1e6", "1_000", "nan", "inf", "-inf", "1e400", "-1e400", "1e-400", "0x10"),
    *("99999999999999999999999", "9" * 5000, "1e999999999999999999999", "\u0663", "\uff11", "1,5", "1 000"),
    *(
        "",
        " ",
        "-",
        "--",
        "=",
        "true",
        "None",
        "[]",
        "[" * 1000,
        "%s",
        "%(prog)s",
        "{}",
        "\\",
        "'",
        '"',
        "\n",
    ),
    *(
        "\0",
        "\x85",
        "\u2028",
        "\ud800",
        "\U0001f600",
        "a" * 5000,
        "..",
        ".",
        "/",
        "~",
        "/dev/null",
        "/proc/x",
    ),
    *("random", "do-nothing", "mpc-perfect", "Match-v0", "match", "127.0.0.1:80", "[::1]:80", "host:", ":1"),
    *(
        "x.png",
        "x.xyz",
        "x.csv",
        "x.npz",
        "none/x.json",
        "float32",
        "int8",
        "@file",
        "*",
        "-5",
        "-x",
        "--no-quiet",
    ),
)


def option_words():
    """Every option of every command, and what options are called elsewhere."""
    commands = build_parser()._subparsers._group_actions[0].choices.values()
    flags = {flag for command in commands for flag in command._option_string_actions}
    flags |= {word for words in SYNONYMS.values() for word in words}
    return sorted(flags - {"-h", "--help"})


def line(rng, flags):
    """A command with some options and some values, some of them in the place of others."""
    words = [str(rng.choice([*COMMANDS, *COMMANDS, "trian", "", "-"]))]
    words += ["Match-v0"] if rng.random() < 0.5 else []
    for _ in range(int(rng.integers(0, 5))):
        flag = str(rng.choice(flags))
        if rng.random() < 0.1:
            flag = flag[: int(rng.integers(1, len(flag) + 1))]
        values = [VALUES[int(i)] for i in rng.integers(0, len(VALUES), int(rng.integers(0, 3)))]
        words += [f"{flag}={values[0]}", *values[1:]] if values and rng.random() < 0.3 else [flag, *values]
    if rng.random() < 0.1:
        rng.shuffle(words)
    return words


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_command_line_ends_in_a_traceback(count, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(anmjax, "registered_tasks", lambda: ("Match-v0",), raising=False)
    monkeypatch.setattr(anmjax, "make", lambda task, **_: Match(), raising=False)
    # What would take long, and what would start servers.
    for name in ("train.train", "train.train_seeds", "evaluate.score", "evaluate._plot", "train._report"):
        monkeypatch.setattr(f"anmjax.cli.{name}", lambda *_, **__: {})
    for name in ("train.join_processes", "evaluate.table", "evaluate.rows"):
        monkeypatch.setattr(f"anmjax.cli.{name}", lambda *_, **__: "")
    for name in ("npz", "csv", "parquet"):
        monkeypatch.setitem(anmjax.cli.rollout.WRITERS, f".{name}", lambda *_: None)
    monkeypatch.setattr("anmjax.cli.train.train_seeds", lambda *_, outs, **__: list(outs))
    monkeypatch.setattr("anmjax.cli.train._report", lambda *_: 0)
    flags, rng, codes = option_words(), np.random.default_rng(count), []
    for _ in range(count):
        words = line(rng, flags)
        codes.append(main(words))
        errors = capsys.readouterr().err
        if codes[-1]:
            assert codes[-1] == 2, words
            assert errors.startswith("anmjax: "), words
            assert len(errors.splitlines()) == 1, words
            assert len(errors) < 12_000, words
    # Both kinds are there.
    assert 0 < codes.count(0) < count
    assert list(tmp_path.iterdir()) == []
