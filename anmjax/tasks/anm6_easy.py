"""ANM6Easy-v0: gym-anm's benchmark task."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from anmjax.envs.records import InitialState
from anmjax.tasks.daily import DailyTask


class ANM6Easy(DailyTask):
    """ANM6Easy-v0: a 6-bus, 33 kV feeder with three loads, PV, wind and a storage unit.

    - State and observation (18): P and Q of 7 devices (MW, MVAr), charge (MWh), potential of PV and wind
      (MW), time of day 0..95.
    - Action (6): P of PV and wind, Q of them, P and Q of the storage unit; MW, MVAr.
    - Step: 15 minutes. gamma 0.995, costs clipped to (1, 100) p.u.h.
    - Randomness: none but the start. Actions from the whole box collapse the grid now and then.

    The quirks of gym-anm 2.0.1 that published scores depend on are kept:

    - lambda is 100; its documentation says 1000.
    - A start's generator Q is drawn uniformly in [q_min, q_max] in p.u. but read as MVAr, so within
      0.3 and 0.5 MVAr of zero; its charge likewise in p.u.h read as MWh, so within 0..1 of 100 MWh.
    - The tables ask for up to 36.75 MW of PV, which its PMAX of 30 MW cuts.

    No power flow of this task that converges takes more than 8 Newton updates (200,000 uniform draws of
    action, time and charge), so that many are made.

    Reference: Henry & Ernst, "Gym-ANM: Reinforcement learning environments for active network management
    tasks in electricity distribution systems", Energy and AI 5 (2021), sec. 4; gym-anm 2.0.1, anm6_easy.py.
    """

    def __init__(self, **options: Any) -> None:
        """Builds the task; ``options`` override arguments of ``ANMEnv``."""
        defaults = {"gamma": 0.995, "lamb": 100, "costs_clipping": (1, 100), "num_iters": 8}
        super().__init__("anm6", "anm6_easy", **{**defaults, **options})

    def init_q_and_soc(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Reactive power and charge drawn in p.u. and read as MVAr and MWh."""
        net = self.network
        key_q, key_soc = jax.random.split(key)
        generators, storage = np.array(net.generators, int), np.array(net.storage, int)
        q_min, q_max = net.q_min[generators], net.q_max[generators]
        soc_min, soc_max = net.soc_min[storage], net.soc_max[storage]
        q = jax.random.uniform(key_q, q_min.shape, q_min.dtype, q_min, q_max)
        return q, jax.random.uniform(key_soc, soc_min.shape, soc_min.dtype, soc_min, soc_max)

    def evaluation_starts(self, soc_mwh: float | None = None) -> InitialState:
        """Starts at t0 = 0..95 with a charge of 0.5 MWh.

        That is the middle of the charges that ``init_state`` draws; ``soc_mwh`` asks for another.
        """
        return super().evaluation_starts(0.5 if soc_mwh is None else soc_mwh)
