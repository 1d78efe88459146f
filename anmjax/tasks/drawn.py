"""DrawnTask: a task on a packaged grid whose year processes draw."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from anmjax.grid.network import Network
from anmjax.tasks.grid_task import GridTask
from anmjax.tasks.processes.drawing import Driven
from anmjax.tasks.processes.sessions import Session
from anmjax.tasks.time_series import Profiles

# A month of each season.
HELD_OUT = ("2023-03", "2023-06", "2023-09", "2023-12")


class DrawnTask(GridTask):
    """A ``GridTask`` on a packaged case and a year of quarters of an hour that its processes draw.

    The year is the same for everybody, drawn as the task is made; ``seed`` asks for another one. March, June,
    September and December are held out: ``split="test"`` starts in them.
    """

    case: ClassVar[str]  # name of the packaged case
    start_hour: ClassVar[float] = 0.0  # h after midnight of the starts

    def __init__(
        self, net: Network | None = None, profiles: Profiles | None = None, *, seed: int = 0, **options: Any
    ) -> None:
        """Builds the task.

        Args:
          net: network; None: the packaged case.
          profiles: of its loads and generators; None: a drawn year.
          seed: whole number >= 0, of the drawn year.
          **options: arguments of ``GridTask``.
        """
        net = self.grid() if net is None else net
        if profiles is None:
            profiles = Profiles.from_processes(self.driven(net), net, seed=seed)
            if sessions := self.sessions(net, seed):
                profiles = profiles.with_sessions(sessions, net)
        super().__init__(net, profiles, **{"test": HELD_OUT, "start_hour": self.start_hour, **options})

    @classmethod
    def sessions(cls, net: Network, seed: int) -> list[Session]:
        """The cars of the year; none."""
        return []

    @classmethod
    def grid(cls) -> Network:
        """The network."""
        return Network.from_json(cls.case)

    @classmethod
    @abc.abstractmethod
    def driven(cls, net: Network) -> list[Driven]:
        """The processes of the year, each with the devices that follow it."""


def sizes(net: Network, devices: Any = None) -> dict[int, float]:
    """MW at 1 p.u. of loads and generators: their largest demand, or their largest P.

    Args:
      net: network.
      devices: ids; None: all loads but chargers.
    """
    loads = [net.device_ids[k] for k in net.loads if k not in net.chargers]
    chosen = loads if devices is None else devices
    base = float(net.base_mva)
    found: dict[int, float] = {}
    for device in chosen:
        k = net.device_ids.index(device)
        found[device] = base * float(-net.p_min[k] if k in net.loads else net.p_max[k])
    return found
