"""Registers and spilled bytes of a program's kernels, as NVIDIA's assembler tells them of the PTX."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ARCHITECTURE = "sm_90a"
_KERNEL = re.compile(
    r"Function properties for \S+\n.*?(?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads\n.*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


class Registers(NamedTuple):
    """Of all kernels of a program."""

    most: int  # that a thread of any kernel uses; 255 is all there are
    spilled_bytes: int  # stored and loaded by a thread of each kernel for want of registers, summed


def assembler() -> Path | None:
    """Where ``ptxas`` is: on the path, or in a wheel of CUDA's compiler."""
    found = shutil.which("ptxas")
    wheels = sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/*/bin/ptxas"))
    return Path(found) if found else next(iter(wheels), None)


def of_ptx(files: Iterable[Path]) -> Registers | None:
    """Assembles the PTX that XLA has left; None without an assembler or PTX."""
    ptxas, told = assembler(), ""
    if ptxas is None:
        return None
    for file in files:
        command = [str(ptxas), f"-arch={ARCHITECTURE}", "-v", str(file), "-o", "/dev/null"]
        told += subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return read(told)


def read(told: str) -> Registers | None:
    """What ``ptxas -v`` says, summed up."""
    kernels = list(_KERNEL.finditer(told))
    if not kernels:
        return None
    spilled = sum(int(kernel["stores"]) + int(kernel["loads"]) for kernel in kernels)
    return Registers(max(int(kernel["registers"]) for kernel in kernels), spilled)
