"""Files that a command will write, tried before the work that fills them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from anmjax.cli.errors import CommandError

FILMS = (".gif", ".mp4")


def check_files(files: Mapping[str, str | None], inputs: Sequence[Path]) -> None:
    """Refuses files that could not be written, or that would be written over something needed.

    Args:
      files: names of files by the option that asks for them; None: not asked for.
      inputs: files that the command reads.

    Raises:
      CommandError: names the option, the file and what is wrong.
    """
    asked = {flag: Path(name) for flag, name in files.items() if name is not None}
    seen: dict[Path, str] = {}
    for flag, path in asked.items():
        try:
            _try_to_write(flag, path)
            where = path.resolve()
            same = [other for other in inputs if other.exists() and other.resolve() == where]
        except OSError as error:
            raise CommandError(f"{flag}: cannot write {path}: {error.strerror}.") from error
        except ValueError as error:  # a zero byte in a name
            raise CommandError(f"{flag}: cannot write {str(path)!r}: {error}.") from error
        if same:
            raise CommandError(f"{flag} would write over {same[0]}, which is to be evaluated.")
        if where in seen:
            raise CommandError(f"{flag} and {seen[where]} would write to the same file, {path}.")
        seen[where] = flag


def check_plot(name: str | None, flag: str = "--plot") -> None:
    """Refuses a picture that matplotlib could not write; loads it, which takes a second.

    Raises:
      CommandError: matplotlib is missing, or the ending of the name is of no format that it writes.
    """
    if name is None:
        return
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise CommandError(f"{flag} needs matplotlib: pip install 'anmjax[plot]'.") from error
    # pgf is LaTeX's, and is drawn by a LaTeX that may not be there.
    formats = sorted(FigureCanvasBase.get_supported_filetypes().keys() - {"pgf"})
    ending = Path(name).suffix.removeprefix(".")
    if ending.lower() not in formats:
        raise CommandError(f"{flag} is {name}, but must end in one of .{', .'.join(formats)}.")


def is_film(out: str) -> bool:
    """Whether a file is to be a film, by its ending, and not a page."""
    return Path(out).suffix.lower() in FILMS


def check_folder(flag: str, name: str) -> None:
    """Refuses a folder that could not be made or written to; makes nothing yet.

    Raises:
      CommandError: names the option, the folder and what is wrong.
    """
    if not name:
        raise CommandError(f"{flag} is empty, but must name a folder.")
    path = Path(name)
    try:
        # The nearest part of the path that exists is where folders would be made.
        there = next(part for part in (path.absolute(), *path.absolute().parents) if os.path.lexists(part))
        if not there.is_dir():
            raise CommandError(f"{flag}: {there} is a file, not a folder.")
        if not os.access(there, os.W_OK | os.X_OK):
            raise CommandError(f"{flag}: cannot write to the folder {there}.")
        os.lstat(there / path.name)  # a name that is too long, say
    except FileNotFoundError:
        return
    except OSError as error:
        raise CommandError(f"{flag}: cannot make the folder {path}: {error.strerror}.") from error
    except ValueError as error:  # a zero byte in a name
        raise CommandError(f"{flag}: cannot make the folder {name!r}: {error}.") from error


def _try_to_write(flag: str, path: Path) -> None:
    """Opens the file as it will be opened, and leaves it as it was: absent, or with its content."""
    if path.is_dir():
        raise CommandError(f"{flag} is {path}, a folder, but must name a file.")
    if not path.parent.is_dir():
        kind = "is no folder" if path.parent.exists() else "does not exist"
        raise CommandError(f"{flag} is {path}, but the folder {path.parent} {kind}.")
    if path.exists() and not path.is_file():
        return  # a pipe, a terminal: what is opened there is taken away
    existed = path.exists()
    with path.open("ab"):
        pass
    if not existed:
        path.unlink()
