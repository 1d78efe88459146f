"""The command line: ``anmjax train | evaluate | list``. JAX starts only when a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from anmjax.cli.errors import CommandError
from anmjax.cli.parser import build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
      argv: the arguments after the program's name; None: those of the process.

    Returns:
      Exit code: 0 done, 2 the command was not understood or cannot be carried out, 130 stopped by Ctrl-C.
    """
    try:
        arguments = build_parser().parse_args(argv)
        return arguments.run(arguments)
    except CommandError as error:
        print(f"anmjax: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


__all__ = ["main"]
