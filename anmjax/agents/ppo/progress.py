"""Progress of a training: a bar on a terminal, plain lines elsewhere, and a file of metrics."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from tqdm import tqdm

PLAIN_INTERVAL = 10.0  # s between lines where there is no terminal


class Progress:
    """Shows rows of metrics as they come and appends each to a file, one JSON object a line."""

    def __init__(
        self,
        total_steps: int,
        *,
        done_steps: int = 0,
        files: Sequence[Path | None] = (),
        quiet: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        """Starts a display.

        Args:
          total_steps: environment steps at the end.
          done_steps: steps already taken, after a resume.
          files: where the rows of each training are appended; None: nowhere.
          quiet: show nothing.
          stream: where to show; None: standard error.
        """
        self._stream = sys.stderr if stream is None else stream
        self._total = total_steps
        self._files = [file.open("a", encoding="utf-8") if file else None for file in files]
        self._last_line = -math.inf
        self._plain = not quiet and not self._stream.isatty()
        self._bar = tqdm(
            total=total_steps,
            initial=done_steps,
            unit=" steps",
            unit_scale=True,
            file=self._stream,
            disable=quiet or self._plain,
            dynamic_ncols=True,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        for file in self._files:
            if file:
                file.close()

    def say(self, message: str) -> None:
        """A line of its own."""
        if self._plain:
            self._stream.write(message + "\n")
            self._stream.flush()
        elif not self._bar.disable:
            self._bar.write(message, file=self._stream)

    def add(self, *rows: dict[str, Any]) -> None:
        """Records a row for each training and shows their mean; ``env_steps`` count from the start."""
        for file, row in zip(self._files, rows, strict=False):
            if file:
                finite = {name: None if value != value else value for name, value in row.items()}
                file.write(json.dumps(finite) + "\n")
                file.flush()
        row = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        row["steps_per_second"] *= len(rows)
        self._bar.set_postfix_str(_summary(row), refresh=False)
        self._bar.update(row["env_steps"] - self._bar.n)
        # The first row, then one every few seconds, then the last.
        due = time.monotonic() - self._last_line >= PLAIN_INTERVAL or row["env_steps"] >= self._total
        if self._plain and due:
            self._last_line = time.monotonic()
            share = 100 * row["env_steps"] / self._total
            self.say(f"{share:5.1f} %  {row['env_steps']:>12,} steps  {_summary(row)}")


def _summary(row: dict[str, Any]) -> str:
    """The numbers to watch, in a line."""
    parts = [
        f"{row['steps_per_second']:,.0f} steps/s",
        "return -" if math.isnan(row["episode_return"]) else f"return {row['episode_return']:.4g}",
        f"violations {100 * row['violation_share']:.2f} %",
        f"policy loss {row['policy_loss']:.3g}",
        f"value loss {row['value_loss']:.3g}",
    ]
    if row["collapses"]:
        parts.append(f"collapses {row['collapses']:.0f}")
    return ", ".join(parts)
