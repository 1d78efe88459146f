"""Compiled programs are kept from one command to the next: a training then starts in a third of the time.

JAX's persistent compilation cache, in a folder of the user's. What is found there is the program itself:
results do not depend on it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

import jax

from anmjax.cli.screen import say

FOLDER = "jax_compilation_cache_dir"
MAX_BYTES = 2 * 10**9  # the oldest programs go where there is more


def keep_programs(no_cache: bool) -> None:
    """Has JAX look for compiled programs in the user's cache folder, and keep those that take a while there.

    Without effect where JAX has been told of a folder, or to keep none (``JAX_COMPILATION_CACHE_DIR``,
    ``JAX_ENABLE_COMPILATION_CACHE``).
    """
    if no_cache:
        jax.config.update("jax_enable_compilation_cache", False)
    wanted, told = (getattr(jax.config, name) for name in ("jax_enable_compilation_cache", FOLDER))
    if told or not wanted:
        return
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        _tidy(folder)
    except (OSError, RuntimeError) as error:  # there is no home, or none to write to
        say(f"Compiled programs are not kept: {error}")
        return
    jax.config.update(FOLDER, str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def cache_folder() -> Path:
    """The user's folder for programs of this version of JAX and kind of processor.

    Of the processor, because homes are shared by machines, and a program has the instructions of its own.
    """
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    processor = hashlib.sha256(_processor().encode()).hexdigest()[:8]
    return base / "anmjax" / f"jax-{jax.__version__}-{platform.machine().lower()}-{processor}"


def _processor() -> str:
    """What the processor can do, as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()


def _tidy(folder: Path) -> None:
    """Deletes the oldest files of a folder until half of ``MAX_BYTES`` is left, if it holds more."""
    files = sorted(
        (file for file in folder.iterdir() if file.is_file()), key=lambda file: file.stat().st_mtime
    )
    total = sum(file.stat().st_size for file in files)
    if total <= MAX_BYTES:
        return
    for file in files:
        if total <= MAX_BYTES // 2:
            break
        total -= file.stat().st_size
        file.unlink(missing_ok=True)  # another command may tidy too
