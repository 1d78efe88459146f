"""When a step counts as one that violates the grid's limits."""

from __future__ import annotations

import jax

# p.u.: the tolerance of the power flow. What exceeds a limit by less cannot be told from its mismatch.
VIOLATION_TOLERANCE = 1e-5


def violates(metrics: dict[str, jax.Array]) -> jax.Array:
    """True where voltages and branch flows together exceed their limits by more than 1e-5 p.u.

    Args:
      metrics: of a state or of a batch of states.

    Returns:
      (...) bool, one for every entry of the metrics.
    """
    return metrics["voltage_violation"] + metrics["branch_violation"] > VIOLATION_TOLERANCE
