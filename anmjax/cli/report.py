"""Evaluations as a table."""

from __future__ import annotations

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
        f"{'policy':<20}{'discounted return':>22}{'violating steps':>18}{'cost per day':>15}"
        f"{'collapses':>12}",
    ]
    for name, outcome in outcomes.items():
        score = f"{outcome.discounted_return:.3f} +- {outcome.standard_error:.3f}"
        cost = "-" if outcome.cost_per_day is None else f"{outcome.cost_per_day:.3f}"
        lines.append(
            f"{name:<20}{score:>22}{100 * outcome.violation_share:>16.2f} %{cost:>15}"
            f"{outcome.collapses:>7} / {outcome.num_starts:<2}"
        )
    return "\n".join(lines)
