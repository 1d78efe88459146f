"""Sealed files: a tree of arrays and texts under a checksum, which tells a damaged file from a whole one.

A line of text, "anmjax checkpoint 2", then the SHA-256 of the rest (32 bytes), then the tree in msgpack as
flax.serialization writes it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from flax import serialization

from anmjax.agents.training.whole_file import write_whole

VERSION = 2
_NAME = b"anmjax checkpoint "
_FIRST_LINE = _NAME + b"%d\n" % VERSION
# Files of version 1 were bare msgpack, which has this near its beginning.
_VERSION_1 = b"anmjax-ppo-checkpoint"
_LONGEST_FIRST_LINE = 64


class SealError(ValueError):
    """A file is not sealed, is damaged, or of another version."""


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Writes a tree, nested dicts of NumPy arrays and texts, whole or not at all."""
    body = serialization.msgpack_serialize(content)
    write_whole(path, _FIRST_LINE + hashlib.sha256(body).digest() + body)


def read_sealed(path: Path) -> dict[str, Any]:
    """Reads the tree in a file.

    Raises:
      SealError: the message says of the file what is wrong with it.
      OSError: the file cannot be read.
    """
    damaged = SealError(f"{path} is not an anmjax checkpoint, or is damaged.")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise damaged  # a pipe, whose reader waits; a device, which has no end
    with path.open("rb") as file:
        # No more is read of what is no checkpoint, however large.
        start = file.read(_LONGEST_FIRST_LINE)
        if _VERSION_1 in start:
            raise SealError(
                f"{path} has checkpoint version 1, without a checksum; this anmjax reads version {VERSION}."
            )
        first, newline, _ = start.partition(b"\n")
        if not newline or not first.startswith(_NAME):
            raise damaged
        if start[: len(_FIRST_LINE)] != _FIRST_LINE:
            version = first.removeprefix(_NAME).decode("ascii", "replace")
            raise SealError(f"{path} has checkpoint version {version}; this anmjax reads version {VERSION}.")
        rest = start[len(_FIRST_LINE) :] + file.read()
    digest, body = rest[:32], rest[32:]
    if hashlib.sha256(body).digest() != digest:
        raise damaged
    try:
        content = serialization.msgpack_restore(body)
    except Exception as error:  # made by hand: msgpack raises errors of a dozen unrelated kinds
        raise damaged from error
    if not isinstance(content, dict):
        raise damaged
    return content
