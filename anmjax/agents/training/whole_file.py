"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

DRAFT = ".draft"


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file: to a draft beside it first, which then takes its place in one step.

    Whatever interrupts this, ``path`` holds all of its former or all of its new content. What a killed
    process leaves is the draft, for ``sweep_drafts``.

    Raises:
      OSError: the disk is full, say; the draft is removed.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}{DRAFT}")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def sweep_drafts(path: Path) -> None:
    """Removes the drafts of a file that killed processes left; nobody may be writing it."""
    for other in path.parent.iterdir():
        number = other.name.removeprefix(path.name + ".").removesuffix(DRAFT)
        if other.name == f"{path.name}.{number}{DRAFT}" and number.isdecimal():
            other.unlink(missing_ok=True)
