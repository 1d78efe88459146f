"""A lock on a folder: one process writes there at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

LOCK_FILE = ".lock"


class LockedError(ValueError):
    """Another process writes to the folder."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a folder, which must exist.

    The lock is the operating system's, on an open file: it goes with the process that holds it, however that
    ends, so that a killed training leaves nothing to clear away. The file stays.

    Raises:
      LockedError: another process, or another part of this one, holds it.
      OSError: the folder cannot be written to.

    Warns:
      UserWarning: the file system knows no locks, as some of clusters do not.

    """
    handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _take(handle):
            holder = os.read(handle, 200).decode("utf-8", "replace").strip() or "another process"
            raise LockedError(
                f"{holder} is training in {folder}: wait for it, stop it, or choose another folder."
            )
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {platform.node()}\n".encode())
        yield
    finally:
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _take(handle: int) -> bool:
        os.lseek(handle, 1000, os.SEEK_SET)  # beyond the text in the file, which others may read
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True
else:
    import fcntl

    def _take(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            warnings.warn(
                f"no lock on this file system ({error.strerror}): see that no two trainings share a folder.",
                stacklevel=4,
            )
        return True
