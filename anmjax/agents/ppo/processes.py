"""Processes that train together keep in step: when to stop and when to save is agreed upon."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

import jax
import numpy as np
from jax.experimental import multihost_utils


class Together:
    """Ctrl-C and the clock among the processes of a training.

    One process alone is interrupted by a ``KeyboardInterrupt``, as ever. One of several that left would have
    the others wait for its numbers: there Ctrl-C is noted, in any, and all stop after the same chunk.
    """

    def __init__(self) -> None:
        """Nothing happened yet."""
        self.several = jax.process_count() > 1
        self.interrupted = False

    def __enter__(self) -> Together:
        if self.several and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if hasattr(self, "_before"):
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True

    def agree(self, due: bool) -> tuple[bool, bool]:
        """Whether any process was interrupted, and whether for the first one something is ``due``."""
        if not self.several:
            return self.interrupted, due
        flags = multihost_utils.process_allgather(np.array([self.interrupted, due]))
        return bool(flags[:, 0].any()), bool(flags[0, 1])
