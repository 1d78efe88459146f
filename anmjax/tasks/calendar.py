"""When: the parts of profiles that are trained on and held out, starts in them, and features of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from anmjax.tasks.time_series import Profiles

SPLITS = ("train", "test", "stress", "low_sun", "outage")
YEAR = 365.25  # days


class Parts(NamedTuple):
    """One part of profiles, by rows of their table."""

    starts: tuple[int, ...]  # ascending
    stretches: tuple[tuple[int, int], ...]  # first row and the one after the last of what hangs together


def parts_of(
    series: Profiles,
    test: Sequence[str] | float,
    split: str,
    num_steps: int,
    every_hours: float,
    start_hour: float = 0.0,
) -> Parts:
    """The days of a split, and the starts whose episodes lie in them from beginning to end.

    Args:
      series: profiles.
      test: what is held out, see ``GridTask``.
      split: one of ``SPLITS``.
      num_steps: of an episode.
      every_hours: h, from start to start.
      start_hour: h after midnight of the first of them.

    Raises:
      ValueError: an argument is none of what is allowed, or the part has no room for an episode.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, but must be one of {', '.join(map(repr, SPLITS))}")
    held_out = _held_out(series, test)
    if split not in ("train", "outage") and not held_out.any():
        raise ValueError(
            f"split is {split!r}, but nothing is held out: give test, such as ('2016-11', '2016-12')"
        )
    mine = held_out if split != "train" and held_out.any() else ~held_out
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mine, [False]]).astype(int)))
    stretches = tuple(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    stride = every_hours / series.step_hours
    if not (stride >= 1 and abs(stride - round(stride)) < 1e-6):
        raise ValueError(
            f"start_every_hours is {every_hours}, but must be a whole number of steps of "
            f"{series.step_hours:g} h"
        )
    since_midnight = (hours_of_day(series) + np.arange(series.num_steps) * series.step_hours) % 24
    if not 0 <= start_hour < 24:
        raise ValueError(f"start_hour is {start_hour}, but must be hours after midnight, in [0, 24)")
    first = int(((since_midnight - start_hour + 1e-9) % 24).argmin())
    on_time = (np.arange(series.num_steps) - first) % round(stride) == 0
    # An episode of n steps sees n rows after that of its start.
    starts = tuple(row for a, b in stretches for row in range(a, b - num_steps) if on_time[row])
    if not starts:
        # A single day goes round.
        starts = tuple(
            row for a, b in stretches for row in range(a, b) if on_time[row] and b - a >= num_steps
        )
    if not starts:
        raise ValueError(
            f"no episode of {num_steps} steps fits into the part {split!r}, of "
            f"{', '.join(str(b - a) for a, b in stretches) or 'no'} steps"
        )
    return Parts(starts, stretches)


def _held_out(series: Profiles, test: Sequence[str] | float) -> np.ndarray:
    """Which steps are held out, (n_steps,) bool."""
    n = series.num_steps
    if isinstance(test, (int, float)) and not isinstance(test, bool):
        if not 0 <= test < 1:
            raise ValueError(f"test is {test}, but must be periods, or a share of the steps in [0, 1)")
        return np.arange(n) >= n - round(test * n)
    listed: Any = test
    periods = (test,) if isinstance(test, str) else tuple(listed)
    if periods and series.start is None:
        raise ValueError(f"test is {periods}, but the profiles have no dates: give a share of the steps, 0.2")
    held_out = np.zeros(n, bool)
    step = np.timedelta64(round(series.step_hours * 3600 * 10**9), "ns")
    times = np.datetime64(series.start or "1970-01-01", "ns") + np.arange(n) * step
    for period in periods:
        begin, _, end = str(period).partition("/")
        try:
            first, last = np.datetime64(begin), np.datetime64(end or begin)
            if np.isnat(first) or np.isnat(last) or np.datetime_data(last)[0] not in "YMD":
                raise ValueError
        except ValueError:
            raise ValueError(
                f"test has {period!r}, but must be periods such as '2016-11', '2016-11-07' or "
                "'2016-11-07/2016-11-20'"
            ) from None
        found = (times >= first) & (times < last + 1)
        if not found.any():
            raise ValueError(f"test has {period!r}, but the profiles are from {times[0]} to {times[-1]}")
        held_out |= found
    return held_out


def hours_of_day(series: Profiles) -> float:
    """Hours from midnight to the first step."""
    if series.start is None:
        return 0.0
    start = np.datetime64(series.start, "ns")
    return float((start - start.astype("datetime64[D]")) / np.timedelta64(1, "s")) / 3600


def features_of(series: Profiles) -> tuple[tuple[float, float, float], ...]:
    """(offset, period, hours a unit) of the features of time that profiles are long enough for.

    The hour of the day, the day of the week (0 is Monday) and the day of the year; the last two with dates
    alone, and from two weeks and half a year on.
    """
    hour = hours_of_day(series)
    features = [(hour, 24.0, 1.0)]
    if series.start is None:
        return tuple(features)
    day: Any = np.datetime64(series.start, "D")
    days = series.num_steps * series.step_hours / 24
    if days >= 14:
        # 1970-01-01 was a Thursday.
        features.append(((day.astype(int) + 3) % 7 + hour / 24, 7.0, 24.0))
    if days >= YEAR / 2:
        first = day.astype("datetime64[Y]").astype("datetime64[D]")
        features.append((float((day - first).astype(int)) + hour / 24, YEAR, 24.0))
    return tuple(tuple(float(x) for x in feature) for feature in features)  # type: ignore[misc]
