"""FlexibleLoad, EVCharger: demand that may wait, as a user writes it down, and the record of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from flax import struct

from anmjax.grid import tables
from anmjax.grid.devices import Load

Array: TypeAlias = Any

_RANGES = {**Load.ranges, **dict.fromkeys(("p_mw", "unserved_cost"), tables.NON_NEGATIVE)}


@dataclass(frozen=True)
class FlexibleLoad(Load):
    """A load that may be served later, or not at all.

    Its profile is what it asks for. What it is not given is owed to it, up to ``shift_mwh``; what is beyond
    that is lost for good (shed) and costs ``unserved_cost`` times its energy. 0 MWh: a load that can be shed.
    """

    p_mw: float = math.inf  # MW, most that it can draw, what it is owed included; finite
    shift_mwh: float = 0.0  # MWh, most that may be owed to it
    unserved_cost: float = 100.0  # energy lost that a unit of energy not served counts as

    kind: ClassVar[int] = tables.FLEXIBLE
    ranges: ClassVar[dict[str, tables.Range]] = {**_RANGES, "shift_mwh": tables.NON_NEGATIVE}

    @property
    def most_owed_mwh(self) -> float:
        """MWh, most that may be owed to it."""
        return self.shift_mwh


@dataclass(frozen=True)
class EVCharger(Load):
    """A charging point: a car comes with energy that it needs and leaves at its time.

    It charges at up to ``p_mw`` while a car is there; what a car is owed as it leaves costs ``unserved_cost``
    times its energy. Sessions come with the profiles, see ``Profiles.with_sessions``. Energy is that of the
    meter; nothing is fed back.
    """

    p_mw: float = 0.011  # MW, most that it can draw
    capacity_mwh: float = 0.1  # MWh, most that a car may need
    unserved_cost: float = 10.0  # energy lost that a unit of energy not delivered counts as

    kind: ClassVar[int] = tables.CHARGER
    ranges: ClassVar[dict[str, tables.Range]] = {**_RANGES, "capacity_mwh": tables.NON_NEGATIVE}

    @property
    def most_owed_mwh(self) -> float:
        """MWh, most that may be owed to it."""
        return self.capacity_mwh


@struct.dataclass
class Flexibility:
    """What flexible loads and chargers may be owed, by device id."""

    most_owed: Array  # (n_flexible,) p.u.h
    unserved_cost: Array  # (n_flexible,) energy lost that a unit of energy not served counts as


def with_flexibility(
    old: Flexibility | None, new: Sequence[Any], base_mva: float, dtype: np.dtype
) -> Flexibility | None:
    """The record with that of more devices, whose ids are larger; those that are not flexible have none."""
    flexible = [one for one in new if isinstance(one, (FlexibleLoad, EVCharger))]
    if not flexible:
        return old
    owed = np.array([one.most_owed_mwh / base_mva for one in flexible], dtype)
    cost = np.array([one.unserved_cost for one in flexible], dtype)
    if old is not None:
        owed = np.concatenate([np.asarray(old.most_owed), owed], -1)
        cost = np.concatenate([np.asarray(old.unserved_cost), cost], -1)
    return Flexibility(owed, cost)
