"""MVOberrhein-v0: a year of two 20 kV networks at the upper Rhine."""

from __future__ import annotations

from anmjax.grid.network import Network
from anmjax.grid.settings import TapChanger
from anmjax.tasks.drawn import DrawnTask, sizes
from anmjax.tasks.processes import Sun, Wind, commercial, industrial, residential
from anmjax.tasks.processes.drawing import Driven

# By bus.
_WIND = (116, 231)
# Tap changers: nine positions of 1.5 % either way of the ratio 1.
_TAPS = {"tap_min": 0.865, "tap_max": 1.135, "step": 0.015}


class MVOberrhein(DrawnTask):
    """MVOberrhein-v0: a drawn year on a real-world 20 kV network, 178 buses, with PV, wind, storage and taps.

    - Grid: two substations of 25 MVA from 110 kV, 147 stations on cable rings that are open at six places
      (left out here), as pandapower has them, without what transformers take to magnetise. Both taps stand at
      -1 of nine positions of 1.5 % either way.
    - Devices: loads of 0.25 to 0.63 MW, of which two thirds are homes, a sixth shops, a sixth factories; PV
      at buses 65, 138, 147, 159, 190, 223 (3, 3, 4, 2.5, 4, 2.5 MW), wind at 116, 231 (6 MW each), storage
      at 65, 147, 190 (2, 3, 2 MW; 4 h each), all at far ends. Inverters give up to 60 % of their power as Q.
    - Limits: voltages within 0.96..1.04 p.u. (the rest of the band is for low voltage). Cables may carry 60 %
      of what they could, as each half of a ring is to take over for the other one; 25 MVA.
    - Year: 35,040 quarters of an hour. Homes, shops and factories by hour, weekday and season with correlated
      noise, 70 % of the nominal power on the largest hour; sun at 48 degrees north with clouds; wind with a
      memory of 14 h.
    - Observation (332): P and Q of 159 devices (MW, MVAr), charge (MWh) of 3 storage units, potential of 8
      generators (MW), hour of the day, day of the week, day of the year.
    - Action (24): P of the generators, Q of them, P of the storage units, Q of them; MW, MVAr; the ratios of
      the two tap changers, 0.865 to 1.135 in steps of 0.015.
    - Episode: 96 steps of 15 minutes from a midnight, with a drawn charge; March, June, September and
      December are held out (``split="test"``). gamma 0.995, lambda 100, costs clipped to (1, 100) p.u.h on
      10 MVA.
    - Randomness: the day and the charge.

    Doing nothing violates a voltage limit in 14.1 % of the year's steps, a branch rating in 2.6 %, and one
    or the other in 14.1 %.

    Reference: Thurner et al., "pandapower - an Open-Source Python Tool for Convenient Modeling, Analysis, and
    Optimization of Electric Power Systems", IEEE Trans. Power Systems 33(6) (2018), whose network
    ``mv_oberrhein`` this is (BSD 3-clause licence, in the folder of the case).
    """

    case = "mv_oberrhein"

    @classmethod
    def grid(cls) -> Network:
        """The packaged case with the tap changers of its transformers."""
        return Network.from_json(cls.case).with_devices(
            TapChanger(0, **_TAPS, name="tap_north"), TapChanger(1, **_TAPS, name="tap_south")
        )

    @classmethod
    def driven(cls, net: Network) -> list[Driven]:
        """Homes, shops, factories by turns, PV and wind."""
        bus = {device: net.bus_ids[at] for device, at in zip(net.device_ids, net.device_bus, strict=True)}
        loads, generators = sizes(net), [net.device_ids[k] for k in net.generators]
        kind = {device: k % 6 for k, device in enumerate(loads)}
        return [
            (residential(level=0.7), {i: mw for i, mw in loads.items() if kind[i] < 4}),
            (commercial(level=0.7), {i: mw for i, mw in loads.items() if kind[i] == 4}),
            (industrial(level=0.7), {i: mw for i, mw in loads.items() if kind[i] == 5}),
            (
                Sun(latitude_deg=48.0, cloudiness=0.5, shared=0.9),
                sizes(net, [i for i in generators if bus[i] not in _WIND]),
            ),
            (Wind(), sizes(net, [i for i in generators if bus[i] in _WIND])),
        ]
