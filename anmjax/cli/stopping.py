"""Ctrl-C and SIGTERM: a command ends with one sentence, whatever it was at."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, NoReturn

from anmjax.cli.screen import say

SIGNALS = {int(signal.SIGINT): "Ctrl-C", int(signal.SIGTERM): "SIGTERM"}
PATIENCE = 1.0  # s that a signal may take to be noticed before something is said


class Stopping:
    """While a command runs, either signal raises a ``KeyboardInterrupt``.

    Python raises it once the compiler, or a compiled program, has returned, which may take half a minute. A
    thread that the operating system wakes at once says so; after a second signal it ends the process, in
    which nothing is written but by drafts that take their place whole.
    """

    def __init__(self) -> None:
        """No signal yet."""
        self.number: int | None = None  # the first signal
        self._loading = False
        self._before: dict[int, Any] = {}
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Stopping:
        if self._main:
            for number in SIGNALS:
                # A command in the background that was told to ignore Ctrl-C goes on ignoring it.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._raise)
            self._ours, theirs = socket.socketpair()
            theirs.setblocking(False)
            self._theirs = theirs
            self._wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            self._ended = threading.Event()
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._main:
            self._ended.set()
            signal.set_wakeup_fd(self._wakeup)
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._theirs.close()  # which ends the thread

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """While libraries are loaded a signal ends the process: they print tracebacks of interrupts."""
        self._loading = True
        try:
            yield
        finally:
            self._loading = False

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number
        if self._loading:
            self._leave()
        raise KeyboardInterrupt

    def _leave(self) -> NoReturn:
        number = self.number or signal.SIGINT
        say(f"anmjax: stopped by {SIGNALS[number]}.")
        os._exit(exit_code(number))

    def _watch(self) -> None:
        count = 0
        with self._ours:
            while byte := self._ours.recv(1):
                number = byte[0]
                if number not in SIGNALS:
                    continue
                self.number = self.number or number
                count += 1
                if self._ended.wait(PATIENCE):
                    return
                if count == 1:
                    say("Stopping as soon as what runs now returns; once more, and it stops at once.")
                else:
                    self._leave()


def exit_code(number: int) -> int:
    """What a shell expects of a program that a signal stopped."""
    return 128 + number
