"""What goes wrong with agents."""

from __future__ import annotations


class CannotLearnError(ValueError):
    """An agent cannot learn on an environment, with its options; says why."""
