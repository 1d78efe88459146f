"""The command line: ``anmjax train | evaluate | render | rollout | list | describe | check | new``.

JAX starts only when a command needs it.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import signal
import sys
from collections.abc import Sequence

from anmjax.cli.errors import CommandError
from anmjax.cli.parser import build_parser
from anmjax.cli.screen import say
from anmjax.cli.stopping import SIGNALS, Stopping, exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      argv: the arguments after the program's name; None: those of the process.

    Returns:
      Exit code: 0 done, 1 the file that was checked has faults, 2 the command was not understood or cannot be
      carried out, 130 stopped by Ctrl-C, 143 by SIGTERM, 141 nobody reads the output any more.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files are bytes, and need be no text of the terminal's encoding.
        sys.stdout.reconfigure(errors="backslashreplace")
    with Stopping() as stopping:
        code = _carry_out(words, stopping)
        if argv is None and stopping.number is not None and "--num-processes" not in words:
            # Computations may still be under way on JAX's threads: taking the interpreter down beneath them
            # can crash it. Several processes take leave of each other first.
            with contextlib.suppress(OSError):  # nobody may read it any more
                sys.stdout.flush()
            os._exit(code)
        return code


def _carry_out(words: Sequence[str], stopping: Stopping) -> int:
    """Runs a command and says how it failed, if it did."""
    try:
        arguments = build_parser(words).parse_args(words)
        arguments.command = shlex.join(["anmjax", *words])
        arguments.stopping = stopping
        return arguments.run(arguments)
    except CommandError as error:
        say(f"anmjax: {error}")
        return 2
    except BrokenPipeError:
        # What is left to print would fail again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (KeyboardInterrupt, Exception):
        # Within a library's callback, an interrupt comes out as an error of the library's own.
        if stopping.number is None and not isinstance(sys.exception(), KeyboardInterrupt):
            raise
        number = stopping.number or signal.SIGINT
        say(f"anmjax: stopped by {SIGNALS[number]}.")
        return exit_code(number)


__all__ = ["main"]
