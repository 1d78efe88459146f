"""Evaluations as tables: as wide as the terminal, in Markdown, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from anmjax.agents.evaluation import Evaluation
from anmjax.cli.screen import width, wrapped

_GAP = 2  # columns between two columns of a table


class Column(NamedTuple):
    """A column of the table."""

    title: str
    unit: str  # below the title
    cell: Callable[[Evaluation], str]


def _number(value: float | None, places: int, scale: float = 1) -> str:
    return "-" if value is None else f"{scale * value:.{places}f}"


def _both(low: float | None, median: float | None) -> str:
    return "-" if low is None else f"{low:.4f} / {_number(median, 4)}"


COLUMNS = (
    Column("discounted", "return", lambda x: f"{x.discounted_return:.3f} +- {x.standard_error:.3f}"),
    Column("cost", "per day", lambda x: _number(x.cost_per_day, 3)),
    Column("violating", "steps, %", lambda x: _number(x.violation_share, 2, 100)),
    Column("voltage", "%", lambda x: _number(x.voltage_share, 2, 100)),
    Column("branches", "%", lambda x: _number(x.branch_share, 2, 100)),
    Column("collapses", "of starts", lambda x: f"{x.collapses} / {x.num_starts}"),
    Column("energy lost", "p.u.h/step", lambda x: _number(x.energy_loss_per_step, 5)),
    Column("curtailed", "p.u./step", lambda x: _number(x.curtailment_per_step, 5)),
    Column("penalty", "p.u.h/step", lambda x: _number(x.penalty_per_step, 5)),
    Column("longest", "run", lambda x: _number(x.longest_violation, 0)),
    Column("V margin", "5 / 50 %", lambda x: _both(x.voltage_margin_low, x.voltage_margin_median)),
    Column("S margin", "5 / 50 %", lambda x: _both(x.branch_margin_low, x.branch_margin_median)),
)


def table(task: str, outcomes: Mapping[str, Evaluation]) -> str:
    """A heading that states the protocol, and a row for each policy.

    Columns that the terminal has no room for go into another block of rows below.

    Args:
      task: id of the task.
      outcomes: evaluations over the same starts, by name of the policy.

    Returns:
      The text.
    """
    names = _fitting_names(outcomes)
    cells = [[column.title, column.unit, *map(column.cell, outcomes.values())] for column in COLUMNS]
    first = ["policy", "", *names]
    blocks = [[first]]
    for column in cells:
        if len(blocks[-1]) > 1 and _width([*blocks[-1], column]) > width():
            blocks.append([first])
        blocks[-1].append(column)
    return "\n\n".join([wrapped(_protocol(task, outcomes), indent="  "), *map(_rows, blocks)])


def markdown(task: str, outcomes: Mapping[str, Evaluation], *notes: str) -> str:
    """The table as a file of its own, with all columns; ``notes`` are paragraphs below."""
    head = ["policy", *(f"{column.title} {column.unit}" for column in COLUMNS)]
    body = [[name, *(column.cell(x) for column in COLUMNS)] for name, x in outcomes.items()]
    lines = [head, ["---", *["---:"] * len(COLUMNS)], *body]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([_protocol(task, outcomes) + ".", text, *notes]) + "\n"


def differences(outcomes: Mapping[str, Evaluation]) -> str:
    """Paired differences of the discounted return to the first policy's, a row for each other one."""
    first, *others = outcomes
    lines = [wrapped(f"discounted return less that of {first}, paired over the starts, 95 % interval:")]
    for name, shown in zip(others, _fitting_names(outcomes)[1:], strict=True):
        gap = outcomes[name].less(outcomes[first])
        lines.append(f"{shown:<20}{gap.mean:>+12.3f}   [{gap.low:+.3f}, {gap.high:+.3f}]")
    return "\n".join(lines)


def rows(outcomes: Mapping[str, Evaluation]) -> str:
    """The evaluations as CSV, a row for each policy; returns of single starts are left out."""
    text = io.StringIO()
    names = [name for name in next(iter(outcomes.values())).to_dict() if name != "returns"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["policy", *names])
    for name, outcome in outcomes.items():
        values = outcome.to_dict()
        writer.writerow([name, *(values[column] for column in names)])
    return text.getvalue()


def _protocol(task: str, outcomes: Mapping[str, Evaluation]) -> str:
    first = next(iter(outcomes.values()))
    return f"{task}: {first.starts}, {first.horizon} steps, gamma {first.gamma:g}"


def _fitting_names(outcomes: Mapping[str, Evaluation]) -> list[str]:
    """Names of policies, long paths by their ends: half of the terminal is for the numbers."""
    most = max(20, width() // 2 - 10)
    return [name if len(name) <= most else ".." + name[2 - most :] for name in outcomes]


def _width(block: Sequence[Sequence[str]]) -> int:
    return sum(max(map(len, column)) for column in block) + _GAP * (len(block) - 1)


def _rows(block: Sequence[Sequence[str]]) -> str:
    names, *numbers = block
    sizes = [max(map(len, column)) for column in numbers]
    lines = []
    for name, *cells in zip(names, *numbers, strict=True):
        shown = [cell.rjust(_GAP + size) for cell, size in zip(cells, sizes, strict=True)]
        lines.append((name.ljust(max(map(len, names))) + "".join(shown)).rstrip())
    return "\n".join(lines)
