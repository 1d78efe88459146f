"""Checks of a table of profiles: each fault is one sentence that says what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from anmjax.grid.network import Network

_LISTED = 8  # that a sentence lists before it says "and so many more"
HOUR = 3600 * 10**9  # ns


def shown(name: Any) -> str:
    """What messages call a column."""
    return f"column {name!r}" if isinstance(name, str) else f"column {name}"


def listing(names: Sequence[Any]) -> str:
    """The first few of many names."""
    text = ", ".join(repr(name) for name in names[:_LISTED])
    return text if len(names) <= _LISTED else f"{text} and {len(names) - _LISTED} more"


def even_step(times: np.ndarray | None, step_hours: float | None, faults: list[str]) -> float:
    """The step of time stamps, h; that given where there are none."""
    if times is None:
        step = step_hours
        ok = isinstance(step, (int, float, np.number)) and not isinstance(step, bool) and 0 < step < np.inf
        if not ok:
            faults.append(f"step_hours is {step!r}, but must be a number > 0")
            return 1.0
        assert step is not None
        return float(step)
    if np.isnat(times).any():
        faults.append(f"row {int(np.flatnonzero(np.isnat(times))[0])} has no time")
        return 1.0
    if len(times) == 1:
        if step_hours is None:
            faults.append("there is one time alone: give step_hours")
        return float(step_hours or 1.0)
    steps = np.diff(times.astype(np.int64))
    if (steps == 0).any():
        at = times[int(np.flatnonzero(steps == 0)[0])]
        faults.append(
            f"the time {_time(at)} is there twice ({int((steps == 0).sum())} repeated): drop one of both"
        )
    elif (steps < 0).any():
        k = int(np.flatnonzero(steps < 0)[0])
        repeated = len(np.unique(times)) < len(times)
        cure = "drop what is repeated" if repeated else "sort them"
        faults.append(f"times are out of order: {_time(times[k + 1])} comes after {_time(times[k])}; {cure}")
    elif (steps != steps[0]).any():
        values, counts = np.unique(steps, return_counts=True)
        usual = values[counts.argmax()]
        k = int(np.flatnonzero(steps != usual)[0])
        faults.append(
            f"times are uneven: {_time(times[k])} is followed by {_time(times[k + 1])}, "
            f"{steps[k] / HOUR:g} h later and not {usual / HOUR:g} h; fill the gap or resample"
        )
    step = float(steps[0] / HOUR)
    return step if step > 0 else 1.0


def positions_of(names: Sequence[Any], net: Network) -> list[int | None]:
    """Positions of the devices that columns are named after; an id may be written as text."""
    found = []
    for name in names:
        k = net.device_position(name if isinstance(name, str) else _whole(name))
        if k is None and isinstance(name, str) and name.strip().isdecimal():
            k = net.device_position(int(name))
        found.append(k)
    return found


def check_columns(
    names: Sequence[Any],
    at: Sequence[int | None],
    net: Network,
    wanted: Sequence[int],
    fill: str | None,
    faults: list[str],
) -> None:
    """Every load and generator has one column, and nothing else has."""
    labels = net.device_labels
    given = [k for k in at if k is not None]
    for k in dict.fromkeys(k for k in given if given.count(k) > 1):
        twice = [name for name, own in zip(names, at, strict=True) if own == k]
        faults.append(f"columns {listing(twice)} are all of {labels[k]!r}: leave one")
    missing = [labels[k] for k in sorted(wanted) if k not in given]
    unknown = [name for name, k in zip(names, at, strict=True) if k is None]
    of_others = [labels[k] for k in dict.fromkeys(given) if k not in wanted]
    if missing and fill is None:
        faults.append(
            f"no column for {listing(missing)}: name columns by device, or ask for fill='case', with which "
            "these do what they do in the case"
        )
    if unknown:
        near = difflib.get_close_matches(str(unknown[0]), labels, 1)
        hint = f" (is {unknown[0]!r} meant to be {near[0]!r}?)" if near else ""
        faults.append(f"columns {listing(unknown)} are of no device{hint}: drop them, or name them by device")
    if of_others:
        faults.append(f"columns of {listing(of_others)}, which follow no profile: drop them")


def as_numbers(
    column: str, cells: np.ndarray, times: np.ndarray | None, faults: list[str]
) -> np.ndarray | None:
    """The finite numbers of a column; None where they are not."""
    if cells.dtype.kind in "Mmb":
        faults.append(f"{column} holds {cells.dtype}, but must hold numbers, MW")
        return None
    try:
        numbers = cells.astype(float)
    except (TypeError, ValueError):
        wrong = next((x for x in cells.tolist() if not isinstance(x, (int, float))), cells[0])
        faults.append(f"{column} holds {wrong!r}, but must hold numbers, MW")
        return None
    for found, what in ((np.isnan(numbers), "is missing (NaN)"), (np.isinf(numbers), "is infinite")):
        if found.any():
            row = _row(int(found.argmax()), times)
            faults.append(f"{column} {what} {row}, {int(found.sum())} times in all: fill it in")
            return None
    return numbers


def check_values(
    column: str,
    numbers: np.ndarray,
    sign: float,
    k: int,
    net: Network,
    times: np.ndarray | None,
    faults: list[str],
) -> None:
    """Signs, and the limits of a load, beyond which a simulator would cut without a word."""
    base = float(net.base_mva)
    wrong = numbers < 0
    if wrong.any():
        what = "demand" if sign < 0 else "generation"
        row = int(wrong.argmax())
        faults.append(
            f"{column} is {numbers[row]:g} MW {_row(row, times)} ({int(wrong.sum())} of {len(numbers)} "
            f"values are negative), but {what} is positive: turn its sign"
        )
        return
    most = base * float(np.max(np.abs(np.asarray(net.p_min if sign < 0 else net.p_max)[k])))
    # The margin is for MW to p.u. and back.
    if k in net.loads and (numbers > most * (1 + 1e-9)).any():
        row = int(numbers.argmax())
        faults.append(
            f"{column} is {numbers[row]:g} MW {_row(row, times)}, more than the {most:g} MW that its device "
            "may: are these MW, and not kW?"
        )


def _whole(name: Any) -> int:
    """-1, of which there is no device, for what is no whole number."""
    is_whole = isinstance(name, (int, np.integer)) and not isinstance(name, bool)
    return int(name) if is_whole else -(2**60)


def _row(row: int, times: np.ndarray | None) -> str:
    return f"in row {row}" if times is None else f"at {_time(times[row])}"


def _time(stamp: Any) -> str:
    return str(np.datetime_as_string(stamp, unit="m")).replace("T", " ")
