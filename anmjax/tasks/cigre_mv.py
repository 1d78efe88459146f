"""CIGREMV-v0: a year of CIGRE's medium voltage network."""

from __future__ import annotations

from anmjax.grid.network import Network
from anmjax.grid.settings import TapChanger
from anmjax.tasks.drawn import DrawnTask, sizes
from anmjax.tasks.processes import Sun, Wind, commercial, residential
from anmjax.tasks.processes.drawing import Driven

_HOMES, _SHOPS = range(1, 11), range(11, 19)
_PV, _WIND = range(19, 27), (27, 28)


class CIGREMV(DrawnTask):
    """CIGREMV-v0: a drawn year on CIGRE's European 20 kV network with 18 loads, PV, wind and storage.

    - Grid: two feeders behind transformers of 25 MVA from 110 kV, 15 buses, 12 lines; the three lines
      behind open switches are left out. The 1.03 p.u. of the supply is the case's tap of the transformers.
    - Devices: PV at buses 3, 4, 5, 6, 8, 9, 10, 11 (0.9, 0.9, 1.35, 1.35, 1.35, 1.35, 1.8, 0.45 MW, 45 times
      the brochure's), wind at 7 (4.5 MW, 3 times) and 14 (5 MW), storage at 5, 10 (1.2 MW and 4.8 MWh, 0.8 MW
      and 3.2 MWh). Inverters give up to 60 % of their power as Q.
    - Limits: voltages within 0.95..1.05 p.u.; ratings are the brochure's ampacities at 20 kV, 5.0 MVA of
      cables, 6.8 MVA of overhead lines, and 25 MVA. Wind at 14 lifts the weak feeder; wind and PV together
      feed back more than the cable to bus 3 carries.
    - Year: 35,040 quarters of an hour. Homes and shops by hour, weekday and season with correlated noise, at
      most their nominal power; sun at 48 degrees north with clouds; wind with a memory of 14 h.
    - Observation (77): P and Q of 31 devices (MW, MVAr), charge (MWh) of 2 storage units, potential of 10
      generators (MW), hour of the day, day of the week, day of the year.
    - Action (26): P of the generators, Q of them, P of the storage units, Q of them; MW, MVAr; the ratios of
      the two tap changers, 0.9 to 1.05 in steps of 0.0125 around 1 / 1.03.
    - Episode: 96 steps of 15 minutes from a midnight, with a drawn charge; March, June, September and
      December are held out (``split="test"``). gamma 0.995, lambda 100, costs clipped to (1, 100) p.u.h on
      10 MVA.
    - Randomness: the day and the charge.

    Doing nothing violates a voltage limit in 17.5 % of the year's steps, a branch rating in 2.5 %, and one
    or the other in 17.5 %.

    Reference: CIGRE Task Force C6.04.02, "Benchmark Systems for Network Integration of Renewable and
    Distributed Energy Resources", Technical Brochure 575 (2014), European medium voltage network.
    """

    case = "cigre_mv"

    @classmethod
    def grid(cls) -> Network:
        """The packaged case with the tap changers of its transformers."""
        ends = {"tap_min": 0.9, "tap_max": 1.05, "step": 0.0125}
        return Network.from_json(cls.case).with_devices(
            TapChanger(0, **ends, name="tap_1"), TapChanger(1, **ends, name="tap_2")
        )

    @classmethod
    def driven(cls, net: Network) -> list[Driven]:
        """Homes, shops, PV and wind."""
        return [
            (residential(level=0.95), sizes(net, _HOMES)),
            (commercial(level=0.95), sizes(net, _SHOPS)),
            (Sun(latitude_deg=48.0, cloudiness=0.5), sizes(net, _PV)),
            (Wind(), sizes(net, _WIND)),
        ]
