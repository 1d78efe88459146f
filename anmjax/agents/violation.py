"""When a step counts as one that violates the grid's limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

# p.u.: the tolerance of the power flow. What exceeds a limit by less cannot be told from its mismatch.
VIOLATION_TOLERANCE = 1e-5


# Metrics of a state that has a grid; learners need none.
_LIMITS = ("voltage_violation", "branch_violation")


def has_limits(metrics: Mapping[str, Any]) -> bool:
    """Whether these are the metrics of a grid, whose limits can be violated."""
    return all(name in metrics for name in _LIMITS)


def violates(metrics: dict[str, jax.Array]) -> jax.Array:
    """True where voltages and branch flows together exceed their limits by more than 1e-5 p.u.

    Args:
      metrics: of a state or of a batch of states.

    Returns:
      (...) bool, one for every entry of the metrics.
    """
    return metrics["voltage_violation"] + metrics["branch_violation"] > VIOLATION_TOLERANCE
