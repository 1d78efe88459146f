"""Columns of profiles that processes draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anmjax.tasks.processes.moment import Moment
from anmjax.tasks.processes.process import Process

# A process, and the devices that follow it: MW at 1 p.u. by name or id.
Driven = tuple[Process, Mapping[Any, float]]


def drawn_columns(
    driven: Sequence[Driven], *, seed: int, start: str, num_steps: int, step_hours: float
) -> dict[int | str, np.ndarray]:
    """Draws the columns of a table.

    Args:
      driven: processes with the devices that follow them, each drawn independently of the others.
      seed: whole number >= 0; the same seed is the same table.
      start: ISO time of the first step.
      num_steps: how many steps.
      step_hours: h, length of a step.

    Returns:
      (num_steps,) MW by device, positive.

    Raises:
      ValueError: two processes drive a device, or ``seed`` is no such number.
    """
    number: Any = seed
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 0:
        raise ValueError(f"seed is {seed!r}, but must be a whole number >= 0")
    at = Moment.of(start)
    columns: dict[int | str, np.ndarray] = {}
    for k, (process, sizes) in enumerate(driven):
        twice = [device for device in sizes if device in columns]
        if twice:
            raise ValueError(f"two processes drive {twice[0]!r}: one can")
        table = process.table((int(seed), k), len(sizes), at, num_steps, step_hours)
        columns |= {
            device: size * column for (device, size), column in zip(sizes.items(), table.T, strict=True)
        }
    return columns
