"""Profiles of a SimBench net: the tables that it carries, as MW of the devices of a network.

A SimBench net is a pandapower net with a table of relative profiles for each kind of element
(``net.profiles``) and, for every element, the name of its own in the column ``profile``. Its data are
under the Open Database License and come with the package ``simbench``, not with this one. Rows are at
even steps; their times jump with the clocks of spring and autumn, and are counted on from the first here.

Reference: Meinecke et al., "SimBench - A Benchmark Dataset of Electric Power Systems to Compare Innovative
Solutions Based on Power Flow Analysis", Energies 13 (2020).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from anmjax.grid.network import Network
from anmjax.tasks.profiles import ProfileError
from anmjax.tasks.series_checks import listing

_TIME_FORMAT = "%d.%m.%Y %H:%M"
# Table of elements: table of profiles, what the name of a profile of P ends with.
_TABLES = {"load": ("load", "_pload"), "sgen": ("renewables", ""), "gen": ("powerplants", "")}


class SimBenchYear(NamedTuple):
    """What ``Profiles.from_numpy`` takes."""

    columns: dict[int | str, np.ndarray]  # (n_steps,) MW, positive, by id of the device
    step_hours: float  # h, length of a step
    start: str  # time of the first step


def simbench_year(source: Any, net: Network) -> SimBenchYear:
    """Columns of the loads and generators of a network that was made of a SimBench net.

    Args:
      source: the SimBench net, a pandapower net with ``profiles``.
      net: the network that ``Network.from_pandapower`` makes of it, with further devices or without some.

    Raises:
      ProfileError: the net has no profiles, or an element names one that is not there.
    """
    profiles = getattr(source, "profiles", None)
    if not profiles or "load" not in profiles or "time" not in profiles["load"]:
        raise ProfileError(
            "the net has no profiles: expected one of simbench.get_simbench_net, with a table net.profiles"
        )
    columns: dict[int | str, np.ndarray] = {}
    unknown: list[str] = []
    for table, (kind, ending) in _TABLES.items():
        rows = source[table]
        for index, row in zip(rows.index, rows.to_dict("records"), strict=True):
            device, name = _device_of(net, table, index, row.get("name")), row.get("profile")
            if device is None or not isinstance(name, str):
                continue  # no device, or one that does always what it does in the case
            known = profiles.get(kind, {})
            if name + ending not in known:
                unknown.append(f"{table} {index}: {name + ending}")
                continue
            size = abs(float(row["p_mw"]) * float(row["scaling"]))
            columns[device] = size * known[name + ending].to_numpy(float)
    if unknown:
        raise ProfileError(f"the net has no profiles of the name that elements give: {listing(unknown)}")
    first, second = (datetime.strptime(time, _TIME_FORMAT) for time in profiles["load"]["time"].iloc[:2])
    return SimBenchYear(columns, (second - first).total_seconds() / 3600, first.isoformat())


def _device_of(net: Network, table: str, index: object, name: Any) -> int | None:
    """Id of the device that an element became, by its name or its place; None: it became none."""
    for label in (f"{table} {index}", name):
        k = net.device_position(label) if isinstance(label, str) and label else None
        if k is not None:
            return net.device_ids[k]
    return None
