"""Ranges: what an option may be, in words and as a check."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol


class Range(Protocol):
    """What an option may be; ``str`` gives it in words."""

    def holds(self, value: Any) -> bool:
        """Whether the value is within the range; never an error, whatever the value."""


@dataclass(frozen=True)
class Whole:
    """Whole numbers, both ends included."""

    low: int
    high: int

    def holds(self, value: Any) -> bool:
        """See ``Range``."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number of at least {self.low:,} and at most {self.high:,}"


@dataclass(frozen=True)
class Number:
    """Finite numbers, both ends included unless said otherwise."""

    low: float
    high: float
    above: bool = False  # the low end is excluded
    below: bool = False  # the high end is excluded
    optional: bool = False  # None is allowed too

    def holds(self, value: Any) -> bool:
        """See ``Range``."""
        if value is None:
            return self.optional
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        # An int may be beyond every float: it is compared as it is.
        if isinstance(value, float) and not math.isfinite(value):
            return False
        low = self.low < value if self.above else self.low <= value
        return low and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        if self.above:
            return f"a number above {self.low:g} and at most {self.high:g}"
        upto = "up to, but not including," if self.below else "to"
        return f"a number from {self.low:g} {upto} {self.high:g}"


@dataclass(frozen=True)
class Wholes:
    """A tuple of whole numbers, at most so many."""

    each: Whole
    most: int

    def holds(self, value: Any) -> bool:
        """See ``Range``."""
        return isinstance(value, tuple) and len(value) <= self.most and all(map(self.each.holds, value))

    def __str__(self) -> str:
        return f"at most {self.most} numbers, each {self.each}"


@dataclass(frozen=True)
class Numbers:
    """A tuple of so many numbers."""

    each: Number
    count: int

    def holds(self, value: Any) -> bool:
        """See ``Range``."""
        return isinstance(value, tuple) and len(value) == self.count and all(map(self.each.holds, value))

    def __str__(self) -> str:
        return f"{self.count} numbers, each {self.each}"


@dataclass(frozen=True)
class OneOf:
    """One of some words, or None."""

    words: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        """See ``Range``."""
        return value is None or (isinstance(value, str) and value in self.words)

    def __str__(self) -> str:
        return f"one of {', '.join(self.words)}"


@dataclass(frozen=True)
class Switch:
    """On or off."""

    def holds(self, value: Any) -> bool:
        """See ``Range``."""
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "True or False"
