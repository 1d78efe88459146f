"""Moment: what of the calendar sun and demand depend on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

YEAR = 365.25  # days


class Moment(NamedTuple):
    """A time of day, of week and of year, by local solar time; arrays of one shape, (..)."""

    hour: Any  # h since midnight, in [0, 24)
    weekday: Any  # days since Monday, midnight, in [0, 7)
    yearday: Any  # days since 1 January, midnight, in [0, 365.25)

    @classmethod
    def of(cls, time: str) -> Moment:
        """The moment of an ISO time, "2023-01-01T00:00".

        Raises:
          ValueError: it is none.
        """
        try:
            stamp = np.datetime64(time, "s")
            if np.isnat(stamp):
                raise ValueError
        except ValueError:
            raise ValueError(f"time is {time!r}, but must be one such as '2023-01-01T00:00'") from None
        day: Any = stamp.astype("datetime64[D]")
        hour = float((stamp - day) / np.timedelta64(1, "s")) / 3600
        first = day.astype("datetime64[Y]").astype("datetime64[D]")
        # 1970-01-01 was a Thursday.
        weekday, yearday = (day.astype(int) + 3) % 7, (day - first).astype(int)
        return cls(hour, float(weekday) + hour / 24, float(yearday) + hour / 24)

    def after(self, hours: Any) -> Moment:
        """The moment some hours later, (..)."""
        days = hours / 24
        return Moment((self.hour + hours) % 24, (self.weekday + days) % 7, (self.yearday + days) % YEAR)
