"""Tables fit the terminal, and say in it, in Markdown and in CSV the same."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from anmjax.agents.evaluation import Evaluation
from anmjax.cli.report import COLUMNS, differences, markdown, rows, table

LONG = "runs/IEEE33Easy-v0-seed12345-20260101-120000/checkpoint.msgpack"


def outcome(value):
    return Evaluation(
        starts="Starts at t0 = 0..95 with a charge of 0.5 MWh",
        num_starts=2,
        horizon=3000,
        gamma=0.995,
        discounted_return=value,
        standard_error=0.25,
        violation_share=0.5,
        voltage_share=0.25,
        branch_share=0.125,
        cost_per_day=None,
        energy_loss_per_step=0.01,
        curtailment_per_step=0.02,
        penalty_per_step=0.03,
        collapses=1,
        returns=(value - 0.25, value + 0.25),
    )


def test_what_a_task_without_a_grid_has_not_is_a_dash(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    none = dict.fromkeys(("violation_share", "voltage_share", "branch_share", "energy_loss_per_step"))
    bare = replace(outcome(-2.0), **none, curtailment_per_step=None, penalty_per_step=None)
    cells = [column.cell(bare) for column in COLUMNS]
    assert cells == ["-2.000 +- 0.250", "-", "-", "-", "-", "1 / 2", *["-"] * 6]
    assert max(map(len, table("Match-v0", {LONG: bare}).splitlines())) <= 80


def test_margins_and_the_longest_run_are_shown_within_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    margins = {"voltage_margin_low": -0.00123, "voltage_margin_median": 0.01, "branch_margin_low": -1.25}
    full = replace(outcome(-2.0), longest_violation=3000, branch_margin_median=0.5, **margins)
    text = table("ANM6Easy-v0", {LONG: full})
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    assert "3000 -0.0012 / 0.0100" in words
    assert "-1.2500 / 0.5000" in words


OUTCOMES = {"mpc-constant-ac": outcome(-1234.5), LONG: outcome(-2.0)}


@pytest.fixture(params=[60, 80, 100, 132, 200])
def width(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


def blocks(text):
    """Blocks of rows, without the heading."""
    return [block.splitlines() for block in text.split("\n\n")[1:]]


def test_a_table_fits_the_terminal(width):
    text = table("ANM6Easy-v0", OUTCOMES)
    assert max(map(len, text.splitlines())) <= width
    shown = [block[0] for block in blocks(text)]
    assert " ".join(line.removeprefix("policy") for line in shown).split() == [
        word for column in COLUMNS for word in column.title.split()
    ]


def test_a_wider_terminal_takes_fewer_blocks(monkeypatch):
    counts = []
    for columns in (60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        counts.append(len(blocks(table("ANM6Easy-v0", OUTCOMES))))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1


def test_long_names_keep_their_ends(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (first, *_) = blocks(table("ANM6Easy-v0", OUTCOMES))
    assert first[-1].startswith("..")
    assert first[-1].split()[0].endswith("checkpoint.msgpack")
    assert "-1234.500 +- 0.250" in first[-2]


def test_differences_fit_the_terminal(width):
    text = differences(OUTCOMES)
    assert max(map(len, text.splitlines())) <= width
    # -2 less -1234.5 from either start: no spread.
    assert "+1232.500   [+1232.500, +1232.500]" in text


def test_markdown_has_every_column_and_number():
    text = markdown("ANM6Easy-v0", OUTCOMES, "A note.")
    lines = text.splitlines()
    assert lines[0].endswith("3000 steps, gamma 0.995.")
    table_lines = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in table_lines} == {len(COLUMNS) + 2}
    assert "| -2.000 +- 0.250 | - | 50.00 | 25.00 | 12.50 | 1 / 2 | 0.01000 | 0.02000 | 0.03000 |" in text
    assert lines[-1] == "A note."


def test_csv_is_exact():
    header, first, second = csv.reader(io.StringIO(rows(OUTCOMES)))
    assert header[0] == "policy"
    assert (first[0], second[0]) == tuple(OUTCOMES)
    assert float(second[header.index("discounted_return")]) == -2.0
