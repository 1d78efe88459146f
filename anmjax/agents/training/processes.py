"""Processes that train together keep in step: when to stop and when to save is agreed upon."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Together:
    """Ctrl-C, SIGTERM and the clock among the processes of a training.

    One process alone is interrupted by a ``KeyboardInterrupt`` while it has nothing to lose; once
    ``learned_something`` is set, a signal is noted, so that the running chunk counts, and a second one
    interrupts. One of several processes that left would have the others wait for its numbers: there a signal
    is noted, in any, and all stop after the same chunk.
    """

    def __init__(self) -> None:
        """Nothing happened yet."""
        self.several = jax.process_count() > 1
        self.learned_something = False
        self.signal: int | None = None  # the first that arrived, here or, once agreed upon, in any process
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Together:
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                # A process in the background that was told to ignore Ctrl-C goes on ignoring it.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        is_first = self.signal is None
        self.signal = self.signal or number
        if not self.several and not (is_first and self.learned_something):
            raise KeyboardInterrupt

    def agree(self, due: bool) -> tuple[bool, bool]:
        """Whether a signal arrived in any process, and whether for the first one something is ``due``."""
        if not self.several:
            return self.signal is not None, due
        flags = multihost_utils.process_allgather(np.array([self.signal or 0, due]))
        self.signal = int(flags[:, 0].max()) or None
        return self.signal is not None, bool(flags[0, 1])
