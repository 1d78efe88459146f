"""The user's screen: lines beside the results, and how wide it is."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Callable

INTERVAL = 5.0  # s between lines of progress


def say(message: str) -> None:
    """A line to the user, beside the results; what no screen shows, line ends and all, is spelled out."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in message)
    print(shown, file=sys.stderr, flush=True)


def say_starting() -> None:
    """What a command does first takes some seconds, where JAX has not started yet."""
    if sys.modules.get("jax") is None:
        say("Starting JAX: some seconds...")


def reporter(total: int, what: str) -> Callable[[int], None]:
    """Says now and then how many of a command's steps, or pictures, are done."""
    said = time.monotonic()

    def report(done: int) -> None:
        nonlocal said
        if time.monotonic() - said >= INTERVAL and done < total:
            said = time.monotonic()
            say(f"{done:,} of {total:,} {what}, {100 * done / total:.0f} %")

    return report


def width() -> int:
    """Columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def wrapped(text: str, *, indent: str = "") -> str:
    """A paragraph, within the width of the terminal; ``indent`` is before every line but the first."""
    return textwrap.fill(
        text, width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
