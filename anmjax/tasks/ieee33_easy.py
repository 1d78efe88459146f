"""IEEE33Easy-v0: the Baran-Wu feeder under active network management."""

from __future__ import annotations

from typing import Any

from anmjax.tasks.daily import DailyTask


class IEEE33Easy(DailyTask):
    """IEEE33Easy-v0: the 33-bus, 12.66 kV Baran-Wu feeder with 32 loads, PV, wind and storage.

    - Devices: PV at buses 17, 21, 32 (0.9, 1.2, 2.1 MW), wind at 24, 15 (2.0, 1.8 MW), storage at 12, 32
      (0.8 MW and 3.2 MWh, 0.6 MW and 1.8 MWh). Loads peak at their nominal power, 3.7 MW in all.
    - State and observation (88): P and Q of 40 devices (MW, MVAr), charge (MWh) of 2 storage units,
      potential of 5 generators (MW), time of day 0..95.
    - Action (14): P of the generators, Q of them, P of the storage units, Q of them; MW, MVAr.
    - Step: 15 minutes. gamma 0.995, lambda 100, costs clipped to (1, 100) p.u.h on 10 MVA.
    - Limits: voltages within 0.95..1.05 p.u., ratings of 1.5 to 5 MVA.
    - Randomness: none but the start, at a uniform time of day and charge.

    Doing nothing (generators at their potential, no reactive power, storage idle) violates a voltage
    limit in 29 % (28) of the day's 96 steps: too high around noon and in the windy night, too low in the
    evening. It violates a branch rating in 22 % (21), around noon, and one or the other in 40 % (38).
    With the nominal loads alone, losses are 202.7 kW and the lowest voltage is 0.9131 p.u.

    Reference: Baran & Wu, "Network reconfiguration in distribution systems for loss reduction and load
    balancing", IEEE Trans. Power Delivery 4 (1989), table I.
    """

    def __init__(self, **options: Any) -> None:
        """Builds the task; ``options`` override arguments of ``ANMEnv``."""
        defaults = {"gamma": 0.995, "lamb": 100, "costs_clipping": (1, 100), "num_iters": 8}
        super().__init__("ieee33_easy", "ieee33_easy", **{**defaults, **options})
