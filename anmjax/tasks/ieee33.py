"""IEEE33-v0: a year of the Baran-Wu feeder."""

from __future__ import annotations

from anmjax.grid.network import Network
from anmjax.tasks.drawn import DrawnTask, sizes
from anmjax.tasks.processes import Sun, Wind, commercial, industrial, residential
from anmjax.tasks.processes.drawing import Driven

_SHOPS = (3, 6, 7, 13, 30, 31)
_FACTORIES = (23, 24, 28, 29)
_PV, _WIND = (33, 34, 35), (36, 37)


class IEEE33(DrawnTask):
    """IEEE33-v0: a drawn year on the 33-bus, 12.66 kV Baran-Wu feeder with 32 loads, PV, wind and storage.

    - Grid, devices and limits are those of IEEE33Easy-v0: PV at buses 17, 21, 32 (0.9, 1.2, 2.1 MW), wind at
      24, 15 (2.0, 1.8 MW), storage at 12, 32 (0.8 MW and 3.2 MWh, 0.6 MW and 1.8 MWh), voltages within
      0.95..1.05 p.u., ratings of 1.5 to 5 MVA: the trunk carries the load, not all that the parks can give.
    - Year: 35,040 quarters of an hour. Homes, shops and factories by hour, weekday and season with correlated
      noise, at most their nominal power; sun at 40 degrees north with clouds; wind with a memory of 14 h.
    - Observation (90): P and Q of 40 devices (MW, MVAr), charge (MWh) of 2 storage units, potential of 5
      generators (MW), hour of the day, day of the week, day of the year.
    - Action (14): P of the generators, Q of them, P of the storage units, Q of them; MW, MVAr.
    - Episode: 96 steps of 15 minutes from a midnight, with a drawn charge; March, June, September and
      December are held out (``split="test"``). gamma 0.995, lambda 100, costs clipped to (1, 100) p.u.h on
      10 MVA.
    - Randomness: the day and the charge.

    Doing nothing violates a voltage limit in 18.4 % of the year's steps, a branch rating in 20.1 %, and one
    or the other in 25.9 %.

    Reference: Baran & Wu, "Network reconfiguration in distribution systems for loss reduction and load
    balancing", IEEE Trans. Power Delivery 4 (1989), table I.
    """

    case = "ieee33_easy"

    @classmethod
    def driven(cls, net: Network) -> list[Driven]:
        """Homes, shops, factories, PV and wind."""
        loads = sizes(net)
        homes = {i: mw for i, mw in loads.items() if i not in (*_SHOPS, *_FACTORIES)}
        return [
            (residential(level=0.95), homes),
            (commercial(level=0.95), sizes(net, _SHOPS)),
            (industrial(level=0.95), sizes(net, _FACTORIES)),
            (Sun(latitude_deg=40.0, cloudiness=0.4, performance=1.0), sizes(net, _PV)),
            (Wind(), sizes(net, _WIND)),
        ]
