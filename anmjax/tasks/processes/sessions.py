"""EVSessions: cars that come to a charger, need energy and leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class Session(NamedTuple):
    """A car at a charger."""

    charger: int | str  # name or id
    arrival: float | str  # h from the beginning of the profiles, or an ISO time
    departure: float | str  # likewise
    energy_mwh: float  # MWh that it needs by its departure


@dataclass(frozen=True)
class EVSessions:
    """Draws sessions: at most one a day at each charger, each independent of the others.

    Hours of arrival and of departure, counted from midnight of the day of arrival, are Gaussian, the
    departure an hour or more after the arrival and before the next day's; energy is Gaussian too, within
    what the stay allows. The defaults are of homes: cars come in the evening and leave in the morning.
    """

    daily: float = 0.8  # probability of a session on a day
    arrival_hour: float = 18.0
    arrival_spread: float = 1.5  # h, standard deviation
    departure_hour: float = 31.0  # 7 in the morning of the next day
    departure_spread: float = 1.0  # h
    energy_mwh: float = 0.012  # mean
    energy_spread_mwh: float = 0.005
    weekend: float = 0.7  # probability on Saturdays and Sundays, in the place of daily

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
          ValueError: a probability is not in [0, 1], a spread or an energy negative, or cars leave before
            they come.
        """
        for name in ("daily", "weekend"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}, but must be a probability in [0, 1]")
        for name in ("arrival_spread", "departure_spread", "energy_mwh", "energy_spread_mwh"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}, but must be a number >= 0")
        if not self.arrival_hour + 1 <= self.departure_hour <= self.arrival_hour + 23:
            raise ValueError(
                f"departure_hour is {self.departure_hour!r}, but must be 1 to 23 h after arrival_hour "
                f"{self.arrival_hour!r}"
            )

    def draw(
        self, chargers: Any, *, seed: int, start: str | None, days: int, p_mw: float, most_mwh: float
    ) -> list[Session]:
        """The sessions of some days.

        Args:
          chargers: their names or ids.
          seed: whole number >= 0; the same seed is the same list, on any machine.
          start: ISO time of midnight of the first day; None: days without a date, the first a Monday.
          days: how many.
          p_mw: MW, power of a charger, which bounds the energy by the stay.
          most_mwh: MWh, largest energy of a car.

        Returns:
          The sessions, with ISO times to the minute; without a date in hours from the first midnight.
        """
        names = list(chargers)
        rng = np.random.default_rng(np.random.SeedSequence((int(seed), 7)))
        shape = days, len(names)
        day: Any = np.datetime64("1970-01-05" if start is None else start, "D")
        weekday = (day.astype(int) + 3 + np.arange(days)) % 7  # 0 is Monday
        chance = np.where(weekday >= 5, self.weekend, self.daily)[:, None]
        there = rng.random(shape) < chance
        arrival = self.arrival_hour + self.arrival_spread * rng.standard_normal(shape)
        departure = self.departure_hour + self.departure_spread * rng.standard_normal(shape)
        energy = self.energy_mwh + self.energy_spread_mwh * rng.standard_normal(shape)
        middle = (self.arrival_hour + self.departure_hour) / 2
        arrival = arrival.clip(middle - 11.5, middle - 0.5)
        departure = departure.clip(np.maximum(arrival + 1, middle + 0.5), middle + 11.5)
        energy = energy.clip(0, np.minimum(0.9 * p_mw * (departure - arrival), most_mwh))
        first = 24.0 * np.arange(days)[:, None]

        def time(hours: float) -> float | str:
            return float(hours) if start is None else str(day + np.timedelta64(round(60 * hours), "m"))

        return [
            Session(names[k], time(t), time(end), float(mwh))
            for k in range(len(names))
            for t, end, mwh, is_there in zip(
                (first + arrival)[:, k], (first + departure)[:, k], energy[:, k], there[:, k], strict=True
            )
            if is_there and mwh > 0
        ]


def session_columns(
    sessions: Sequence[Session],
    chargers: Sequence[tuple[int, float, float]],
    position: Any,
    *,
    num_steps: int,
    step_hours: float,
    start: str | None,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """What sessions are in steps: the demand that arrives, and the hours that cars stay.

    A car is there from the step that its arrival is nearest to, at least a step long. Sessions that reach
    beyond the table are cut there, those that begin before it or after it are left out.

    Args:
      sessions: in any order.
      chargers: (position in the network, MW, MWh that a car may need) of each.
      position: of a device in the network by name or id.
      num_steps: of the table.
      step_hours: h.
      start: ISO time of the first step, if known.

    Returns:
      (n_steps, n_charger) MW of energy that arrives in a step; (n_steps, n_charger) h from the beginning of
      the step to the departure, 0 without a car; faults, a sentence each.
    """
    arriving, stay = (np.zeros((num_steps, len(chargers))) for _ in range(2))
    column = {place: k for k, (place, _, _) in enumerate(chargers)}
    faults: list[str] = []
    for number, one in enumerate(sessions):
        called = f"session {number} of charger {one.charger!r}"
        k = column.get(position(one.charger))
        ends = [_hours(x, start) for x in (one.arrival, one.departure)]
        if k is None:
            faults.append(f"session {number} is of {one.charger!r}, which is no EVCharger of the network")
            continue
        if None in ends or not np.isfinite(ends).all():  # type: ignore[arg-type]
            how = "hours from the start" if start is None else "hours from the start, or ISO times"
            faults.append(
                f"{called} is from {one.arrival!r} to {one.departure!r}, but must be from and to {how}"
            )
            continue
        first, end = (round(float(x) / step_hours) for x in ends)  # type: ignore[arg-type]
        most = chargers[k][2]
        if not ends[0] < ends[1]:  # type: ignore[operator]
            faults.append(
                f"{called} ends at {one.departure!r}, but must end after it begins, {one.arrival!r}"
            )
            continue
        if not 0 <= one.energy_mwh <= most * (1 + 1e-9):
            faults.append(f"{called} needs {one.energy_mwh!r} MWh, but must need 0 to {most:g} MWh (not kWh)")
            continue
        end = max(end, first + 1)
        if not 0 <= first < num_steps:
            continue
        rows = np.arange(first, min(end, num_steps))
        if stay[rows, k].any():
            faults.append(f"{called} overlaps with another one there")
            continue
        arriving[first, k] = one.energy_mwh / step_hours
        stay[rows, k] = (end - rows) * step_hours
    return arriving, stay, faults


def _hours(x: Any, start: str | None) -> float | None:
    """Hours from the start, of a number or of an ISO time."""
    if isinstance(x, (int, float, np.number)) and not isinstance(x, bool):
        return float(x)
    if start is None:
        return None
    try:
        return float((np.datetime64(x, "ns") - np.datetime64(start, "ns")) / np.timedelta64(1, "h"))
    except (ValueError, TypeError):
        return None
