"""IEEE33Easy-v0: the Baran-Wu feeder under active network management."""

from __future__ import annotations

from typing import Any

from anmjax.tasks.daily import DailyTask


class IEEE33Easy(DailyTask):
    """IEEE33Easy-v0: the 33-bus, 12.66 kV Baran-Wu feeder with PV, wind and storage.

    Reference: Baran & Wu, "Network reconfiguration in distribution systems for loss reduction and load
    balancing", IEEE Trans. Power Delivery 4 (1989), table I.
    """

    def __init__(self, **options: Any) -> None:
        """Builds the task; ``options`` override arguments of ``ANMEnv``."""
        defaults = {"gamma": 0.995, "lamb": 100, "costs_clipping": (1, 100), "num_iters": 8}
        super().__init__("ieee33_easy", "ieee33_easy", **{**defaults, **options})
