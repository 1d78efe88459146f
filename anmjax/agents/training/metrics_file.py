"""The rows of a training's metrics, one JSON object a line, never two of the same moment."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from anmjax.agents.training.whole_file import write_whole


class MetricsFile:
    """Appends rows to those up to the moment that a training goes on from."""

    def __init__(self, path: Path, done_steps: int) -> None:
        """Opens the file, cut back to ``done_steps`` environment steps.

        A killed training has rows after its last checkpoint, the last of them perhaps in part: going on from
        the checkpoint makes them again.
        """
        kept = [row for row in read_rows(path) if row["env_steps"] <= done_steps]
        write_whole(path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        self.last_seconds = kept[-1]["seconds"] if kept else 0.0  # s, on the clock of the last row
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> MetricsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, row: dict[str, Any]) -> None:
        """Appends a row; numbers that are not finite, which JSON does not know, become null."""
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()
        }
        self._file.write(json.dumps(finite) + "\n")
        self._file.flush()


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, those that are whole and later than the ones before; none without a file."""
    rows: list[dict[str, Any]] = []
    if not path.exists():
        return rows
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
            steps, _ = float(row["env_steps"]), float(row["seconds"])
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        if not rows or steps > rows[-1]["env_steps"]:
            rows.append(row)
    return rows
