"""Wind: what wind turbines could give, by a drawn wind and the curve of a turbine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from flax import struct

from anmjax.tasks.processes.moment import YEAR, Moment
from anmjax.tasks.processes.noise import Noise
from anmjax.tasks.processes.process import Process, by_site, namespace, rank


@struct.dataclass
class Wind(Process):
    """Power of wind turbines, p.u. of their rated power.

        v = scale (1 + seasonal cos(year)) (-ln(1 - u))^(1/shape),  u uniform in (0, 1): Weibull's
        P = 0 below cut_in and above cut_out, 1 from rated on, between (v^3 - cut_in^3) / (rated^3 - cut_in^3)

    The noise behind v is an autoregression, so that the wind lasts; the wind is strongest in January.

    Reference: Justus, Hargraves and Yalcin, "Nationwide assessment of potential output from wind-powered
    generators", J. Applied Meteorology 15 (1976), for the distribution and the shape of the curve.
    """

    scale: float = struct.field(pytree_node=False, default=7.5)  # m/s, Weibull's, mean of the year
    shape: float = struct.field(pytree_node=False, default=2.0)  # Weibull's
    seasonal: float = struct.field(pytree_node=False, default=0.15)  # more in January, less in July
    cut_in: float = struct.field(pytree_node=False, default=3.0)  # m/s
    rated: float = struct.field(pytree_node=False, default=12.0)  # m/s
    cut_out: float = struct.field(pytree_node=False, default=25.0)  # m/s
    hours: float = struct.field(pytree_node=False, default=14.0)  # h, memory of the wind
    shared: float = struct.field(pytree_node=False, default=0.7)  # correlation of the noise between sites

    @property
    def noise(self) -> Noise:
        """The wind's."""
        return Noise((self.hours,), (1.0,), self.shared)

    def speed(self, z: Any, at: Moment) -> Any:
        """The wind, (.., sites) m/s; arguments as of ``output``."""
        xp = namespace(z)
        season = 1 + self.seasonal * namespace(at.yearday).cos(2 * np.pi * (at.yearday - 15) / YEAR)
        # The probability of more, exact in float32 too.
        return self.scale * by_site(season) * (-xp.log(rank(-z))) ** (1 / self.shape)

    def output(self, z: Any, at: Moment) -> Any:
        """See ``Process``."""
        xp, v = namespace(z), self.speed(z, at)
        floor = self.cut_in**3
        power = xp.clip((v**3 - floor) / (self.rated**3 - floor), 0, 1)
        return xp.where(v > self.cut_out, 0, power)

    def mean_speed(self) -> float:
        """m/s, mean over the year and all weathers: Weibull's."""
        return self.scale * math.gamma(1 + 1 / self.shape)
