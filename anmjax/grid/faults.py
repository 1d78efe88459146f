"""Fault: one thing wrong with a network; NetworkError: all of them at once."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60


@dataclass(frozen=True)
class Fault:
    """One value that a network may not hold, and what may stand there instead."""

    element: str  # e.g. "device 4", "branch 1-3 (row 2)", "network"
    field: str  # the column, or the key of the network dict
    value: object  # as the user gave it
    allowed: str  # what is allowed, e.g. "must be >= 0"

    def __str__(self) -> str:
        """One sentence: element, field, value, what is allowed."""
        return f"{self.element}: {self.field} is {show(self.value)}, {self.allowed}"


class NetworkError(ValueError):
    """Raised for a network that cannot be simulated; ``faults`` holds everything that is wrong with it.

    Args:
      faults: what is wrong, at least one fault.
      origin: what the message calls the network, e.g. the name of its file.
    """

    def __init__(self, faults: Sequence[Fault], origin: str = "the network") -> None:
        self.faults, self.origin = tuple(faults), origin
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = [f"{origin} has {count}:", *(f"  {fault}" for fault in self.faults)]
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[NetworkError], tuple[tuple[Fault, ...], str]]:
        """Pickles by the faults, so that the error crosses process boundaries whole."""
        return NetworkError, (self.faults, self.origin)


def show(value: object) -> str:
    """Writes a value for a message: numbers plainly, anything else as a shortened repr."""
    if isinstance(value, (float, np.floating, np.integer)):
        return f"{float(value):.12g}"
    try:
        return _repr.repr(value)
    except ValueError:  # Python refuses to write integers of more than 4300 digits
        return f"a {type(value).__name__} too long to write"
