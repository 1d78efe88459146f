"""Numbers as they are typed: what they are, and whether they are within the range of their option."""

from __future__ import annotations

import argparse
import decimal
import math
from collections.abc import Callable

from anmjax.agents.ranges import Whole

# Further than this no option goes; a typed exponent may be of any size.
_BEYOND_ALL = decimal.Decimal(10) ** 40


def whole(text: str) -> int:
    """A whole number; 40_000_000, 4e7 and 2.0 will do.

    Raises:
      argparse.ArgumentTypeError: it is none.
    """
    try:
        value = decimal.Decimal(text)
    except decimal.InvalidOperation:
        value = decimal.Decimal("nan")
    if not value.is_finite():
        raise argparse.ArgumentTypeError(f"{_shown(text)!r} is not a whole number")
    if abs(value) > _BEYOND_ALL:
        value = _BEYOND_ALL.copy_sign(value)
    if value != value.to_integral_value():
        raise argparse.ArgumentTypeError(f"{_shown(text)!r} is not a whole number")
    return int(value)


def within(allowed: Whole) -> Callable[[str], int]:
    """A type of argparse: whole numbers within a range."""

    def parse(text: str) -> int:
        value = whole(text)
        if value < allowed.low:
            raise argparse.ArgumentTypeError(f"is {_shown(text)}, but must be at least {allowed.low}")
        if value > allowed.high:
            raise argparse.ArgumentTypeError(f"is {_shown(text)}, but must be at most {allowed.high}")
        return value

    return parse


def number(text: str) -> float:
    """A finite number.

    Raises:
      argparse.ArgumentTypeError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{_shown(text)!r} is not a number") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{_shown(text)!r} is not a finite number")
    return value


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
