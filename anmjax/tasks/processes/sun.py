"""Sun: what photovoltaics could give, clear-sky power under drawn clouds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from flax import struct

from anmjax.tasks.processes.moment import YEAR, Moment
from anmjax.tasks.processes.noise import Noise
from anmjax.tasks.processes.process import Process, by_site, namespace, rank


@struct.dataclass
class Sun(Process):
    """Power of photovoltaics, p.u. of the peak power of the modules.

        P = min(1, yield GHI / 1000 W/m2) k
        GHI = 1098 W/m2 s exp(-0.057 / s),   s the sine of the sun's elevation, 0 at night
        k = dark + (1 - dark) u^cloudiness,  u uniform in (0, 1)

    The clear-sky index k has a mean of dark + (1 - dark) / (1 + cloudiness). It goes with the day's weather,
    which near sites share, and with passing clouds. Modules are horizontal, temperatures left out.

    Reference: Haurwitz, "Insolation in relation to cloudiness and cloud density", J. Meteorology 2 (1945),
    for GHI; Cooper, "The absorption of radiation in solar stills", Solar Energy 12 (1969), for the
    declination.
    """

    latitude_deg: float = struct.field(pytree_node=False, default=48.0)  # north of the equator
    cloudiness: float = struct.field(pytree_node=False, default=0.6)  # 0: always clear
    dark: float = struct.field(pytree_node=False, default=0.1)  # least clear-sky index, in [0, 1]
    performance: float = struct.field(pytree_node=False, default=0.9)  # yield, losses of inverters included
    weather_hours: float = struct.field(pytree_node=False, default=30.0)  # h, memory of the weather
    cloud_hours: float = struct.field(pytree_node=False, default=0.7)  # h, memory of passing clouds
    passing: float = struct.field(pytree_node=False, default=0.25)  # share of passing clouds in the variance
    shared: float = struct.field(pytree_node=False, default=0.8)  # correlation of the noise between sites

    @property
    def noise(self) -> Noise:
        """Weather and passing clouds."""
        return Noise((self.weather_hours, self.cloud_hours), (1 - self.passing, self.passing), self.shared)

    def clear_sky(self, at: Moment) -> Any:
        """Power under a clear sky, (..) p.u., 0 at night; ``at``: (..) moments."""
        xp = namespace(at.hour)
        latitude = math.radians(self.latitude_deg)
        declination = math.radians(-23.45) * xp.cos(2 * np.pi * (at.yearday + 10) / YEAR)
        s = math.sin(latitude) * xp.sin(declination)
        s = s + math.cos(latitude) * xp.cos(declination) * xp.cos(np.pi / 12 * (at.hour - 12))
        up = s > 1e-3  # a sun lower than that gives nothing, and 1 / s stays finite
        safe = xp.where(up, s, 1)
        ghi = 1.098 * safe * xp.exp(-0.057 / safe)
        return xp.where(up, xp.minimum(1, self.performance * ghi), 0)

    def output(self, z: Any, at: Moment) -> Any:
        """See ``Process``."""
        index = self.dark + (1 - self.dark) * rank(z) ** self.cloudiness
        return by_site(self.clear_sky(at)) * index
