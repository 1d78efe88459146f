"""The folder of a training: its files by name, kept to one training, and what it says of itself."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anmjax.agents.training.lock import locked
from anmjax.agents.training.whole_file import sweep_drafts, write_whole

CHECKPOINT_FILE = "checkpoint.msgpack"
METRICS_FILE = "metrics.jsonl"
DESCRIPTION_FILE = "run.json"
PACKAGES = ("anmjax", "jax", "jaxlib", "flax", "optax", "numpy")


class RunFolderError(ValueError):
    """The folder is no place for this training."""


@dataclass(frozen=True)
class RunFolder:
    """Where a training writes, and nowhere else."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """All that the training needs to go on, and its policy."""
        return self.path / CHECKPOINT_FILE

    @property
    def metrics(self) -> Path:
        """Rows of the learning curve."""
        return self.path / METRICS_FILE

    @property
    def description(self) -> Path:
        """Task, options, and for each command that trained here: versions, devices, time."""
        return self.path / DESCRIPTION_FILE

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Makes the folder and holds its lock; drafts that a killed training left are removed.

        Raises:
          LockedError: another training is writing there.
          RunFolderError: a file stands in its place.
          OSError: it cannot be made or written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise RunFolderError(f"{error.filename} is a file, not a folder.") from error
        with locked(self.path):
            for file in (self.checkpoint, self.metrics, self.description):
                sweep_drafts(file)
            yield

    def check_for(self, resumed: Path | None) -> None:
        """Refuses to write over what another training left.

        Args:
          resumed: the checkpoint that the training goes on from; None: it begins.

        Raises:
          RunFolderError: the folder holds a training that is not the one to go on with.
        """
        if resumed is not None and resumed.resolve() == self.checkpoint.resolve():
            return
        if self.checkpoint.exists():
            raise RunFolderError(
                f"{self.path} holds a training: go on with --resume {self.path}, or choose another --out."
            )
        if self.metrics.exists() and not self.description.exists():
            raise RunFolderError(
                f"{self.metrics} is not of a training that began here: choose another --out."
            )

    def describe(self, options: dict[str, Any], command: dict[str, Any]) -> None:
        """Writes ``run.json``: options that hold from now on, and one more command.

        Args:
          options: task, seed and options of the algorithm, JSON.
          command: what was called, on which devices, from and to which step, JSON; time and versions are
            added.
        """
        entry = {
            "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            **command,
            "versions": {"python": platform.python_version(), **_versions()},
            "machine": f"{platform.system()} {platform.machine()}",
        }
        content = {**options, "commands": [*self._commands(), entry]}
        write_whole(self.description, (json.dumps(content, indent=2) + "\n").encode())

    def _commands(self) -> list[Any]:
        """Those of earlier parts of the training; of a file that is not ours, none."""
        try:
            commands = json.loads(self.description.read_bytes())["commands"]
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return []
        return commands if isinstance(commands, list) else []


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions
