"""LVFeeder-v0: a year of a street network with roofs of PV and cars to charge."""

from __future__ import annotations

from anmjax.grid.flexible import EVCharger
from anmjax.grid.network import Network
from anmjax.tasks.drawn import DrawnTask, sizes
from anmjax.tasks.processes import EVSessions, Session, Sun, residential
from anmjax.tasks.processes.drawing import Driven

_CHARGER_MW, _CAR_MWH = 0.011, 0.06


class LVFeeder(DrawnTask):
    """LVFeeder-v0: a drawn year on a 122-bus, 400 V network: 60 homes, 20 PV roofs, 10 batteries, 12 cars.

    - Grid: a transformer of 250 kVA (20/0.4 kV, 6 % short-circuit voltage, 1.44 % of it resistive, tap at 1 /
      1.025), six feeders of 6, 8, 10, 10, 12 and 14 homes. From home to home 60 m of NAYY 4x150 (0.208 +
      j0.080 Ohm/km, 270 A), to each home 20 m of NAYY 4x50 (0.642 + j0.083 Ohm/km, 142 A).
    - Devices: homes of at most 7 kW, Q/P 0.25; every third home has a roof, of 20, 30, 40 kW in turn, every
      second roof a battery of 8 kW and 16 kWh, efficiency 0.95. Inverters give up to 60 % of their power as
      Q. Every fifth home has a charger of 11 kW; what a car lacks as it leaves counts ten times.
    - Limits: voltages within 0.95..1.05 p.u., cables at their ampacity. At noon roofs lift the ends of the
      long feeders and feed back more than the transformer carries; evenings, with cars to charge, pull the
      ends down.
    - Year: 35,040 quarters of an hour. Homes by hour, weekday and season, each with noise of 40 % of its mean
      that they hardly share; sun at 44 degrees north with clouds.
    - Cars: on 80 % of the workdays and 70 % of the weekends one comes home, at 18:00 +- 1.5 h, leaves at 7:00
      +- 1 h and needs 12 +- 5 kWh.
    - Observation (263): P and Q of 103 devices (MW, MVAr), charge (MWh) of 10 batteries, potential of 20
      roofs (MW), energy owed to 12 cars (MWh) and the hours that they stay, hour of the day, day of the week,
      day of the year.
    - Action (72): P of the roofs, Q of them, P of the batteries, Q of them, P of the chargers; MW, MVAr.
    - Episode: 96 steps of 15 minutes from a noon, so that cars that come leave in it, with a drawn charge;
      March, June, September and December are held out (``split="test"``). gamma 0.995, lambda 100, costs
      clipped to (1, 100) p.u.h on 0.25 MVA.
    - Randomness: the day and the charge.

    Doing nothing, cars charged as they come, violates a voltage limit in 13.7 % of the year's steps, a branch
    rating in 12.0 %, and one or the other in 17.8 %.

    Reference: none for the network, which follows the recipe above; cables and transformer are standard
    types, as in Kerber, "Aufnahmefähigkeit von Niederspannungsverteilnetzen" (TU München, 2011).
    """

    case = "lv_feeder"
    start_hour = 12.0

    @classmethod
    def grid(cls) -> Network:
        """The packaged case with a charger at every fifth home."""
        net = Network.from_json(cls.case)
        homes = [net.bus_ids[net.device_bus[k]] for k in net.loads[::5]]
        return net.with_devices(
            *(EVCharger(bus, p_mw=_CHARGER_MW, capacity_mwh=_CAR_MWH, name=f"car {bus}") for bus in homes)
        )

    @classmethod
    def sessions(cls, net: Network, seed: int) -> list[Session]:
        """Cars that come home in the evening and leave in the morning."""
        chargers = [net.device_ids[k] for k in net.chargers]
        return EVSessions().draw(
            chargers, seed=seed, start="2023-01-01", days=365, p_mw=_CHARGER_MW, most_mwh=_CAR_MWH
        )

    @classmethod
    def driven(cls, net: Network) -> list[Driven]:
        """Homes and roofs."""
        roofs = [net.device_ids[k] for k in net.generators]
        return [
            (residential(level=0.65, spread=0.4, hours=1.0, shared=0.15), sizes(net)),
            (Sun(latitude_deg=44.0, cloudiness=0.4, shared=0.95), sizes(net, roofs)),
        ]
