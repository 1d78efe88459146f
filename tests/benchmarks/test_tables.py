"""Tables are written from records, and say nothing that no record holds."""

from __future__ import annotations

import json

import pytest

from benchmarks import tables
from benchmarks.harness import record
from benchmarks.harness.columns import Column, digits, table
from benchmarks.policies import tables as policy_tables

MACHINE = {"platform": "cpu", "cpu": "a CPU", "cores": 4}
MARKER = "<!-- table: headline-cpu -->\n<!-- end of table -->"


def rate(median):
    return {"median": median, "low": median, "high": median, "repeats": 1}


def made(benchmark, rows, **more):
    return {
        "benchmark": benchmark,
        "date": "2026-01-02T03:04:05",
        "machine": MACHINE,
        "commit": "0123456789abcdef",
        "dirty": False,
        "rows": rows,
        **more,
    }


MPC = made(
    "policies.mpc",
    [
        {"solver": "anmjax", "steps": 32, "dtype": "float64", "plans_per_s": rate(300.0)},
        {"solver": "anmjax", "steps": 32, "dtype": "float32", "plans_per_s": rate(900.0)},
        {"solver": "gym-anm", "steps": 32, "plans_per_s": rate(4.0)},
    ],
)
TRAINING = made(
    "training.returns",
    [
        {"task": "ANM6Easy-v0", "agent": "ppo", "return": -13.04, "total_s": 75.0},
        {"task": "ANM6Easy-v0", "agent": "ppo", "return": -15.96, "total_s": 90.0},
        {"task": "IEEE33Easy-v0", "agent": "ppo", "return": -1.0, "total_s": 600.0},
    ],
)


@pytest.fixture
def records(tmp_path, monkeypatch):
    """An empty folder of records."""
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    return tmp_path


def test_the_headline_has_the_rows_of_the_records_that_there_are(records):
    for one in (MPC, TRAINING):
        (records / f"{one['benchmark']}-here.json").write_text(json.dumps(one))
    lines = tables.render(MARKER).splitlines()
    # 300 / 4 = 75, in the precision of gym-anm's; seeds from the worst to the best, the slowest 90 s.
    assert "| MPC plans/s, 32 steps | 300 | gym-anm, cvxpy | 4 | 75 |" in lines
    assert "| PPO's return, 1.5 min | -15.96 to -13.04 | best learned policy published | -16.2 |  |" in lines
    assert sum(line.startswith("| ") for line in lines) == 2 + 2
    assert "`policies.mpc` of 2026-01-02, commit 0123456789;" in lines


def test_the_newest_record_counts(records):
    newer = json.loads(json.dumps(MPC).replace("2026-01-02", "2026-01-03").replace("300.0", "200.0"))
    for name, one in (("here", MPC), ("there", newer)):
        (records / f"policies.mpc-{name}.json").write_text(json.dumps(one))
    assert "| MPC plans/s, 32 steps | 200 | gym-anm, cvxpy | 4 | 50 |" in tables.render(MARKER)


def test_a_peer_that_was_not_measured_has_no_row(records):
    alone = made("policies.mpc", MPC["rows"][:2])
    (records / "policies.mpc-here.json").write_text(json.dumps(alone))
    assert "MPC" not in tables.render(MARKER)


def test_a_table_without_any_record_says_how_to_measure_it(records):
    assert "Not measured yet: `python -m benchmarks.env_step`." in tables.render(MARKER)
    marker = "<!-- table: training.ppo-gpu -->\n<!-- end of table -->"
    assert "Not measured yet: `python -m benchmarks.training.ppo`." in tables.render(marker)


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="table 'headlin-cpu': must be one of"):
        tables.render("<!-- table: headlin-cpu -->\n<!-- end of table -->")


COLUMNS = (
    Column("bus", "bus"),
    Column("|V|", "solved.vm", ".2f", missing="-"),
    Column("times", lambda row: row["rate"] / 2, digits),
)


def test_a_table_shows_of_a_row_what_its_columns_say():
    rows = [{"bus": "a|b", "solved": {"vm": 1.005}, "rate": 2469}, {"bus": 2, "solved": None, "rate": 3}]
    assert table(COLUMNS, rows).splitlines() == [
        r"| bus | \|V\| | times |",  # a bar makes no column
        "| --- | ---: | ---: |",
        # 2469 / 2 = 1234.5, to three digits; 1.005 is a little less in binary
        r"| a\|b | 1.00 | 1,230 |",
        "| 2 | - | 1.5 |",
    ]


@pytest.mark.parametrize("row", [{}, {"bus": None}, {"us": 1}])
def test_a_column_that_every_row_must_fill_is_not_left_empty(row):
    with pytest.raises(ValueError, match="column 'bus': the row has no 'bus'"):
        table(COLUMNS[:1], [row])


def test_published_returns_are_written_as_their_authors_do():
    # The mean and the spread of [1], the mean of [2]: see SOURCES.
    assert ", ".join(map(str, policy_tables.PUBLISHED["PPO"])) == "-93.6 ± 15.3 [1], -16.2 [2, RL]"
    assert policy_tables.best_learned() == -16.2  # the decision trees' -19.2 is not learned by RL, and worse
