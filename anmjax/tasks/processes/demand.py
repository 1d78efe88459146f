"""Demand: what consumers draw, by the hour of the day, the day of the week, the season, and noise."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.tasks.processes.moment import YEAR, Moment
from anmjax.tasks.processes.noise import Noise
from anmjax.tasks.processes.process import Process, by_site, namespace

# Shapes of this project, smooth and of no measured data: p.u. of the largest, on the hour from midnight.
_HOME = (
    *(0.38, 0.33, 0.30, 0.29, 0.30, 0.36, 0.52, 0.68, 0.66, 0.58, 0.54, 0.56),
    *(0.62, 0.58, 0.53, 0.54, 0.62, 0.78, 0.94, 1.00, 0.96, 0.84, 0.66, 0.49),
)
_HOME_WEEKEND = (
    *(0.44, 0.38, 0.34, 0.32, 0.31, 0.33, 0.38, 0.49, 0.64, 0.74, 0.78, 0.82),
    *(0.86, 0.80, 0.72, 0.68, 0.72, 0.82, 0.93, 0.97, 0.93, 0.82, 0.68, 0.54),
)
_SHOP = (
    *(0.24, 0.23, 0.22, 0.22, 0.24, 0.30, 0.42, 0.60, 0.82, 0.94, 0.99, 1.00),
    *(0.97, 0.96, 0.97, 0.96, 0.92, 0.86, 0.74, 0.58, 0.44, 0.35, 0.30, 0.26),
)
_SHOP_WEEKEND = (
    *(0.22, 0.21, 0.21, 0.21, 0.22, 0.24, 0.28, 0.34, 0.42, 0.50, 0.54, 0.55),
    *(0.54, 0.52, 0.50, 0.47, 0.43, 0.38, 0.34, 0.31, 0.28, 0.26, 0.24, 0.23),
)
_FACTORY = (
    *(0.45, 0.43, 0.42, 0.43, 0.48, 0.60, 0.80, 0.93, 0.98, 1.00, 0.99, 0.95),
    *(0.90, 0.95, 0.98, 0.96, 0.90, 0.82, 0.76, 0.72, 0.68, 0.62, 0.55, 0.49),
)
_FACTORY_WEEKEND = (
    *(0.38, 0.37, 0.36, 0.36, 0.36, 0.37, 0.39, 0.41, 0.43, 0.44, 0.44, 0.44),
    *(0.43, 0.42, 0.42, 0.41, 0.41, 0.40, 0.40, 0.39, 0.39, 0.38, 0.38, 0.38),
)


@struct.dataclass
class Demand(Process):
    """Demand of consumers, p.u. of the largest that they may have, positive.

        P = max(0, min(1, level day(hour) season (1 + spread z)))
        season = (1 + seasonal cos(2 pi (yearday - coldest) / year)) / (1 + |seasonal|)

    ``day`` is interpolated between the hours. With a ``level`` below 1 the noise has room above the mean.
    """

    workday: tuple[float, ...] = struct.field(pytree_node=False, default=_HOME)  # (24,) p.u., on the hour
    weekend: tuple[float, ...] = struct.field(pytree_node=False, default=_HOME_WEEKEND)  # (24,) p.u.
    level: float = struct.field(pytree_node=False, default=0.9)  # of the mean on the largest hour
    seasonal: float = struct.field(pytree_node=False, default=0.2)  # more in winter, less in summer
    coldest: float = struct.field(pytree_node=False, default=20.0)  # day of the year with the most
    spread: float = struct.field(pytree_node=False, default=0.1)  # standard deviation, share of the mean
    hours: float = struct.field(pytree_node=False, default=3.0)  # h, memory of the noise
    shared: float = struct.field(pytree_node=False, default=0.3)  # correlation of the noise between sites

    def __post_init__(self) -> None:
        """Checks the shapes.

        Raises:
          ValueError: a day has no 24 numbers >= 0.
        """
        for name in ("workday", "weekend"):
            day = getattr(self, name)
            if len(day) != 24 or not all(x >= 0 for x in day):
                raise ValueError(f"{name} is {day}, but must be 24 numbers >= 0")

    @property
    def noise(self) -> Noise:
        """Of the consumers."""
        return Noise((self.hours,), (1.0,), self.shared)

    def expected(self, at: Moment) -> Any:
        """The demand without noise, (..) p.u.; ``at``: (..) moments."""
        xp, hours = namespace(at.hour), np.arange(25.0)
        dtype = jnp.result_type(at.hour)
        workday, weekend = (
            xp.interp(at.hour, hours.astype(dtype), np.array([*day, day[0]], dtype))
            for day in (self.workday, self.weekend)
        )
        season = 1 + self.seasonal * xp.cos(2 * np.pi * (at.yearday - self.coldest) / YEAR)
        day = xp.where(at.weekday >= 5, weekend, workday)
        return self.level * day * season / (1 + abs(self.seasonal))

    def output(self, z: Any, at: Moment) -> Any:
        """See ``Process``."""
        return (by_site(self.expected(at)) * (1 + self.spread * z)).clip(0, 1)


def residential(**changes: Any) -> Demand:
    """Homes: most on winter evenings; ``changes`` are fields of ``Demand``."""
    return Demand(**changes)


def commercial(**changes: Any) -> Demand:
    """Shops and offices: most by day, less on weekends; ``changes`` are fields of ``Demand``."""
    return Demand(**{"workday": _SHOP, "weekend": _SHOP_WEEKEND, "seasonal": 0.1, **changes})


def industrial(**changes: Any) -> Demand:
    """Factories: by day and early evening, little on weekends; ``changes`` are fields of ``Demand``."""
    return Demand(**{"workday": _FACTORY, "weekend": _FACTORY_WEEKEND, "seasonal": 0.05, **changes})
