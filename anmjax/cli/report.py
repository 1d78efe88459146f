"""Evaluations as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from anmjax.agents.evaluation import Evaluation


def table(task: str, outcomes: Mapping[str, Evaluation]) -> str:
    """A heading that states the protocol, and a row for each policy.

    Args:
      task: id of the task.
      outcomes: evaluations over the same starts, by name of the policy.

    Returns:
      The text.
    """
    first = next(iter(outcomes.values()))
    lines = [
        f"{task}: {first.starts}, {first.horizon} steps, gamma {first.gamma:g}",
        f"{'policy':<20}{'discounted return':>22}{'cost per day':>15}{'violating steps':>18}{'voltage':>10}"
        f"{'branches':>10}{'energy lost':>13}{'curtailed':>12}{'penalty':>12}{'collapses':>12}",
        f"{'':<75}{'%':>10}{'%':>10}{'p.u.h/step':>13}{'p.u./step':>12}{'p.u.h/step':>12}",
    ]
    for name, outcome in outcomes.items():
        score = f"{outcome.discounted_return:.3f} +- {outcome.standard_error:.3f}"
        cost = "-" if outcome.cost_per_day is None else f"{outcome.cost_per_day:.3f}"
        lines.append(
            f"{name:<20}{score:>22}{cost:>15}{100 * outcome.violation_share:>16.2f} %"
            f"{100 * outcome.voltage_share:>10.2f}{100 * outcome.branch_share:>10.2f}"
            f"{outcome.energy_loss_per_step:>13.5f}{outcome.curtailment_per_step:>12.5f}"
            f"{outcome.penalty_per_step:>12.5f}{outcome.collapses:>7} / {outcome.num_starts:<2}"
        )
    return "\n".join(lines)


def differences(outcomes: Mapping[str, Evaluation]) -> str:
    """Paired differences of the discounted return to the first policy's, a row for each other one."""
    first, *others = outcomes
    lines = [f"discounted return less that of {first}, paired over the starts, 95 % interval:"]
    for name in others:
        gap = outcomes[name].less(outcomes[first])
        lines.append(f"{name:<20}{gap.mean:>+12.3f}   [{gap.low:+.3f}, {gap.high:+.3f}]")
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
