"""IEEE69-v0: a year of the 69-bus feeder of Baran and Wu."""

from __future__ import annotations

from anmjax.grid.network import Network
from anmjax.tasks.drawn import DrawnTask, sizes
from anmjax.tasks.processes import Sun, Wind, commercial, industrial, residential
from anmjax.tasks.processes.drawing import Driven

# By bus: the largest consumers, and those of 100 kW or more on other laterals.
_FACTORIES = (49, 50, 61, 64)
_SHOPS = (11, 12, 21, 59, 62, 65)
_WIND = (20, 65)


class IEEE69(DrawnTask):
    """IEEE69-v0: a drawn year on the 69-bus, 12.66 kV feeder of Baran and Wu with 48 loads, PV and wind.

    - Devices: wind at buses 20, 65 (1.2 MW each), PV at 27, 35, 50, 61 (1.4, 0.6, 1.6, 1.8 MW), storage at
      18, 61 (0.6 MW and 2.4 MWh, 1.0 MW and 4.0 MWh). Inverters give up to 60 % of their power as Q.
    - Limits: voltages within 0.95..1.05 p.u. The load of 1.2 MW at bus 61, 17 spans out, pulls
      voltages below: with the nominal loads alone losses are 225.0 kW, the lowest voltage is 0.9092 p.u.
      Ratings: the trunk carries the load, 6 to 3.2 MVA; the spans from 12 to 27 and from 61 to 65 carry
      1 MVA, less than wind and PV on them can give.
    - Year: 35,040 quarters of an hour. Homes, shops and factories by hour, weekday and season with correlated
      noise, at most their nominal power; sun at 37 degrees north with clouds; wind with a memory of 14 h.
    - Observation (125): P and Q of 57 devices (MW, MVAr), charge (MWh) of 2 storage units, potential of 6
      generators (MW), hour of the day, day of the week, day of the year.
    - Action (16): P of the generators, Q of them, P of the storage units, Q of them; MW, MVAr.
    - Episode: 96 steps of 15 minutes from a midnight, with a drawn charge; March, June, September and
      December are held out (``split="test"``). gamma 0.995, lambda 100, costs clipped to (1, 100) p.u.h on
      10 MVA.
    - Randomness: the day and the charge.

    Doing nothing violates a voltage limit in 16.5 % of the year's steps, a branch rating in 23.5 %, and one
    or the other in 33.1 %.

    Reference: Baran & Wu, "Optimal capacitor placement on radial distribution systems", IEEE Trans. Power
    Delivery 4 (1989); Das, Int. J. Electrical Power & Energy Systems 30 (2008), for the table.
    """

    case = "ieee69"

    @classmethod
    def driven(cls, net: Network) -> list[Driven]:
        """Homes, shops, factories, PV and wind."""
        bus = {device: net.bus_ids[at] for device, at in zip(net.device_ids, net.device_bus, strict=True)}
        loads, generators = sizes(net), [net.device_ids[k] for k in net.generators]
        return [
            (
                residential(level=0.95),
                {i: mw for i, mw in loads.items() if bus[i] not in (*_SHOPS, *_FACTORIES)},
            ),
            (commercial(level=0.95), {i: mw for i, mw in loads.items() if bus[i] in _SHOPS}),
            (industrial(level=0.95), {i: mw for i, mw in loads.items() if bus[i] in _FACTORIES}),
            (
                Sun(latitude_deg=37.0, cloudiness=0.4, performance=1.0),
                sizes(net, [i for i in generators if bus[i] not in _WIND]),
            ),
            (Wind(), sizes(net, [i for i in generators if bus[i] in _WIND])),
        ]
