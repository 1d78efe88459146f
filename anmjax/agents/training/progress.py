"""Progress of a training: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from types import TracebackType
from typing import Any, TextIO

from tqdm import tqdm

PLAIN_INTERVAL = 10.0  # s between lines where there is no terminal
PLAIN_WIDTH = 80  # columns of such a line at most
MIN_BAR = 8  # columns


class Progress:
    """Shows rows of metrics as they come, in one line that fits the terminal."""

    def __init__(
        self,
        total_steps: int,
        *,
        done_steps: int = 0,
        quiet: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        """Starts a display.

        Args:
          total_steps: environment steps at the end.
          done_steps: steps already taken, after a resume.
          quiet: show nothing.
          stream: where to show; None: standard error.
        """
        self._stream = sys.stderr if stream is None else stream
        self._total, self._done = total_steps, done_steps
        self._last_line = -math.inf
        self._quiet = quiet
        self._bar: Any = None  # until there is something to show

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def say(self, message: str) -> None:
        """A line of its own."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.clear()
        self._stream.write(message + "\n")
        self._stream.flush()
        if self._bar is not None:
            self._bar.refresh()

    def add(self, *rows: dict[str, Any]) -> None:
        """Shows the mean of the rows of trainings side by side; ``env_steps`` count from the start."""
        if self._quiet:
            return
        row = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        row["steps_per_second"] *= len(rows)
        done = int(row["env_steps"])
        if self._stream.isatty():
            self._show(done, self._parts(row))
        # The first row, then one every few seconds, then the last.
        elif time.monotonic() - self._last_line >= PLAIN_INTERVAL or done >= self._total:
            self._last_line = time.monotonic()
            share = f"{100 * done / self._total:5.1f} %  "
            self.say(share + _fitting(self._parts(row), PLAIN_WIDTH - len(share)))

    def _show(self, done: int, parts: list[str]) -> None:
        width = _columns(self._stream)
        if self._bar is None:
            self._bar = tqdm(
                total=self._total,
                initial=self._done,
                file=self._stream,
                bar_format="{percentage:3.0f} % |{bar}| {desc}",
            )
        self._bar.ncols = width
        self._bar.n = done
        text = _fitting(parts, width - MIN_BAR - len("100 % || "))
        self._bar.set_description_str(text, refresh=True)

    def _parts(self, row: dict[str, Any]) -> list[str]:
        """The numbers to watch, the most important first."""
        left = (self._total - row["env_steps"]) / row["steps_per_second"]
        parts = [f"{_short(row['env_steps'])}/{_short(self._total)} steps", f"{_clock(left)} left"]
        if "episode_return" in row:
            episode_return = row["episode_return"]
            parts.append("return -" if math.isnan(episode_return) else f"return {episode_return:.4g}")
        parts.append(f"{_short(row['steps_per_second'])}/s")
        if "violation_share" in row:
            parts.append(f"violations {100 * row['violation_share']:.1f} %")
        if "cost" in row:
            parts.append(f"cost {row['cost']:.2g}")
        if row.get("collapses"):
            parts.append(f"collapses {row['collapses']:.0f}")
        losses = [name for name in row if name.endswith("_loss")]
        return parts + [f"{name.replace('_', ' ')} {row[name]:.2g}" for name in losses]


def _fitting(parts: list[str], room: int) -> str:
    """As many of the first parts as there is room for: what is wider than a terminal would wrap."""
    while len(parts) > 1 and len(", ".join(parts)) > room:
        parts = parts[:-1]
    return ", ".join(parts)


def _columns(stream: TextIO) -> int:
    """Width of the terminal, less the last column, which some terminals wrap at."""
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        width = 0
    return (width or 80) - 1


def _short(count: float) -> str:
    """A count in three or four figures: 512, 163.8k, 1.02M, 30M."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * size:
            return f"{count / size:.4g}{letter}" if count < 10 * size else f"{count / size:.3g}{letter}"
    return f"{count:.0f}"


def _clock(seconds: float) -> str:
    """A duration to the second: 9 s, 2:01, 1:02:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}" if minutes else f"{seconds} s"
