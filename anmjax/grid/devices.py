"""Storage, Generator, Renewable, Load: devices to add to a network, as a user writes them down."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from anmjax.grid import tables
from anmjax.grid.faults import Fault, NetworkError
from anmjax.grid.gym_anm import device_limits
from anmjax.grid.parsing import Row, read_table, to_number

COLUMNS_OF_LIMITS = {
    "p_max_mw": "PMAX",
    "p_min_mw": "PMIN",
    "q_max_mvar": "QMAX",
    "q_min_mvar": "QMIN",
    "capacity_mwh": "SOC_MAX",
    "min_mwh": "SOC_MIN",
    "efficiency": "EFF",
    "q_per_p": "Q/P",
}


# What messages say of the place of a device, by the field that holds it.
PLACES = {"bus": "must be the id or the name of a bus", "branch": "must be the row or the name of a branch"}


def field_faults(device: Any, place: str, ranges: Mapping[str, tables.Range]) -> list[Fault]:
    """What is wrong with the place, the numbers and the name of a device.

    Args:
      device: with a ``label``, and a ``name`` that may be None.
      place: the field that says where it is, one of ``PLACES``.
      ranges: what its numbers may be; one that may be None says so by being None.
    """
    faults, kind, at = [], type(device).__name__, getattr(device, place)
    if isinstance(at, bool) or not isinstance(at, (int, np.integer, str)):
        faults.append(Fault(kind, place, at, PLACES[place]))
    for name, allowed in ranges.items():
        value = getattr(device, name)
        number = to_number(value)
        if value is not None and (number is None or not allowed.contains(number)):
            text = allowed.text if allowed.text.startswith("a ") else f"a number {allowed.text}"
            faults.append(Fault(device.label, name, value, f"must be {text}"))
    called: Any = getattr(device, "name", None)
    if called is not None and not (isinstance(called, str) and called):
        faults.append(Fault(kind, "name", called, "must be a str of one letter or more"))
    return faults


@dataclass(frozen=True)
class _Device:
    """What all devices have; every value is checked when one is built.

    Raises:
      NetworkError: a value is out of range; the error names the device, the field, the value and what is
        allowed.
    """

    bus: int | str  # id of its bus, or the name that the bus has in the network

    kind: ClassVar[int]
    ranges: ClassVar[dict[str, tables.Range]]

    def __post_init__(self) -> None:
        faults = list(self._find_faults())
        if not faults:
            faults = self._row_faults()
        if faults:
            raise NetworkError(faults, "the device")

    @property
    def label(self) -> str:
        """What messages call it."""
        called = getattr(self, "name", None)
        at = "" if called else f" at bus {self.bus}"
        return f"{type(self).__name__}{f' {called!r}' if called else at}"

    def _find_faults(self) -> list[Fault]:
        faults = field_faults(self, "bus", self.ranges)
        controllable = getattr(self, "controllable", True)
        if not isinstance(controllable, (bool, np.bool_)):
            faults.append(Fault(self.label, "controllable", controllable, "must be True or False"))
        return faults

    def _row_faults(self) -> list[Fault]:
        """What the rules of the device table say of the device, under the names of its fields."""
        faults: list[Fault] = []
        self.row(0, 0, faults)
        names = {column: name for name, column in COLUMNS_OF_LIMITS.items() if hasattr(self, name)}
        if "p_max_mw" not in names.values():
            names |= {"PMAX": "p_mw"}

        def own(text: str) -> str:
            return re.sub(r"\b(PMAX|PMIN|QMAX|QMIN|SOC_MAX|SOC_MIN)\b", lambda c: names.get(c[0], c[0]), text)

        return [Fault(self.label, own(fault.field), fault.value, own(fault.allowed)) for fault in faults]

    def limits(self) -> dict[str, Any]:
        """Cells of the device table by column; None or absent for the default."""
        raise NotImplementedError

    def row(self, device_id: int, bus_id: int, faults: list[Fault]) -> Row | None:
        """The device as a row of the device table, read by its rules."""
        kind = tables.LOAD if self.kind in tables.DEMANDS else self.kind
        cells = {"DEV_ID": device_id, "BUS_ID": bus_id, "DEV_TYPE": kind, **self.limits()}
        raw = [[cells.get(name) for name in tables.DEVICE.names]]
        rows = read_table({tables.DEVICE.name: raw}, tables.DEVICE, faults)
        return rows[0] if rows else None

    def fields(self, device_id: int, bus_id: int, base_mva: float) -> dict[str, float]:
        """Its entry of every device array, p.u."""
        row = self.row(device_id, bus_id, [])
        assert row is not None  # its fields were checked when it was built
        return device_limits(row, base_mva)


@dataclass(frozen=True)
class Load(_Device):
    """A demand that follows its profile.

    Q follows P, by ``q_per_p`` or by ``power_factor`` (lagging: a load that draws Q).
    """

    p_mw: float = math.inf  # MW, largest demand, positive
    q_per_p: float | None = None  # Q drawn for every MW; None: 0, or as power_factor says
    power_factor: float | None = None  # in (0, 1], of a demand that draws Q
    name: str | None = None

    kind: ClassVar[int] = tables.LOAD
    ranges: ClassVar[dict[str, tables.Range]] = {
        "p_mw": tables.NON_NEGATIVE_OR_INF,
        "q_per_p": tables.FINITE,
        "power_factor": tables.EFFICIENCY,
    }

    def _find_faults(self) -> list[Fault]:
        faults = super()._find_faults()
        if self.q_per_p is not None and self.power_factor is not None:
            allowed = "must be None where q_per_p is given"
            faults.append(Fault(self.label, "power_factor", self.power_factor, allowed))
        return faults

    def limits(self) -> dict[str, Any]:
        """See ``_Device``."""
        ratio = self.q_per_p or 0.0
        if self.power_factor is not None:
            ratio = math.tan(math.acos(self.power_factor))
        return {"Q/P": ratio, "PMAX": 0.0, "PMIN": -self.p_mw}


@dataclass(frozen=True)
class Generator(_Device):
    """A generator that may run anywhere between its limits, up to its profile where it has one.

    Not controllable, it follows its profile and takes no action, with Q as ``q_per_p`` says.
    """

    p_mw: float = math.inf  # MW, largest P
    p_min_mw: float = 0.0  # MW, smallest P
    q_max_mvar: float = 0.0  # MVAr, largest Q
    q_min_mvar: float | None = None  # MVAr, smallest Q; None: minus the largest
    q_per_p: float = 0.0  # Q for every MW, where it is not controllable
    controllable: bool = True
    name: str | None = None

    kind: ClassVar[int] = tables.CLASSICAL
    ranges: ClassVar[dict[str, tables.Range]] = {
        "p_mw": tables.NON_NEGATIVE_OR_INF,
        "p_min_mw": tables.NON_NEGATIVE,
        "q_max_mvar": tables.UPPER,
        "q_min_mvar": tables.LOWER,
        "q_per_p": tables.FINITE,
    }

    def limits(self) -> dict[str, Any]:
        """See ``_Device``."""
        q_min = -self.q_max_mvar if self.q_min_mvar is None else self.q_min_mvar
        return {"PMAX": self.p_mw, "PMIN": self.p_min_mw, "QMAX": self.q_max_mvar, "QMIN": q_min}

    def fields(self, device_id: int, bus_id: int, base_mva: float) -> dict[str, float]:
        """See ``_Device``; one that is not controllable is a load that feeds in."""
        entry = super().fields(device_id, bus_id, base_mva)
        if self.controllable:
            return entry
        ratio = float(self.q_per_p)
        ends = [0.0 if ratio == 0 else ratio * entry[name] + 0.0 for name in ("p_min", "p_max")]
        entry |= {"qp_ratio": ratio, "q_max": max(ends), "q_min": min(ends)}
        return entry | {"q_plus": entry["q_max"], "q_minus": entry["q_min"]}


@dataclass(frozen=True)
class Renewable(Generator):
    """A generator that weather limits: what it could give, and does not, counts as energy lost.

    Not controllable, it follows its profile and takes no action, with Q as ``q_per_p`` says.
    """

    kind: ClassVar[int] = tables.RENEWABLE


@dataclass(frozen=True)
class Storage(_Device):
    """A storage unit."""

    p_mw: float  # MW, largest discharge
    capacity_mwh: float  # MWh, largest state of charge
    p_charge_mw: float | None = None  # MW, largest charging power; None: as p_mw
    min_mwh: float = 0.0  # MWh, smallest state of charge
    efficiency: float = 1.0  # of charging, and of discharging
    q_max_mvar: float = 0.0  # MVAr, largest Q
    q_min_mvar: float | None = None  # MVAr, smallest Q; None: minus the largest
    name: str | None = None

    kind: ClassVar[int] = tables.STORAGE
    ranges: ClassVar[dict[str, tables.Range]] = {
        "p_mw": tables.NON_NEGATIVE_OR_INF,
        "p_charge_mw": tables.NON_NEGATIVE_OR_INF,
        "capacity_mwh": tables.NON_NEGATIVE,
        "min_mwh": tables.NON_NEGATIVE,
        "efficiency": tables.EFFICIENCY,
        "q_max_mvar": tables.UPPER,
        "q_min_mvar": tables.LOWER,
    }

    def limits(self) -> dict[str, Any]:
        """See ``_Device``."""
        charge = self.p_mw if self.p_charge_mw is None else self.p_charge_mw
        q_min = -self.q_max_mvar if self.q_min_mvar is None else self.q_min_mvar
        return {
            "PMAX": self.p_mw,
            "PMIN": -charge,
            "QMAX": self.q_max_mvar,
            "QMIN": q_min,
            "SOC_MAX": self.capacity_mwh,
            "SOC_MIN": self.min_mwh,
            "EFF": self.efficiency,
        }


class Placed(NamedTuple):
    """A device of a case: at which bus, and what it injects there."""

    device: _Device
    p_mw: float = 0.0  # MW, injection in the case
    q_mvar: float = 0.0  # MVAr


def kind_of(device: _Device) -> int:
    """Its kind in a network: what takes no action is of the kind of loads."""
    return device.kind if getattr(device, "controllable", True) else tables.LOAD


def device_arrays(
    placed: Sequence[Placed], ids: Sequence[int], bus_of: Callable[[int | str], int | None], base_mva: float
) -> dict[str, Any]:
    """The device fields of a network for some devices: arrays by name, ids, buses, kinds.

    Args:
      placed: the devices.
      ids: their ids.
      bus_of: position of a bus by its id or name; None where there is none.
      base_mva: MVA.

    Raises:
      NetworkError: a bus does not exist.
    """
    places = [bus_of(one.device.bus) for one in placed]
    faults = [
        Fault(type(one.device).__name__, "bus", one.device.bus, PLACES["bus"])
        for one, place in zip(placed, places, strict=True)
        if place is None
    ]
    if faults:
        raise NetworkError(faults)
    entries = [one.device.fields(number, 0, base_mva) for one, number in zip(placed, ids, strict=True)]
    names = entries[0] if entries else ()
    return {
        **{name: np.array([entry[name] for entry in entries], np.float64) for name in names},
        "p_device": np.array([one.p_mw / base_mva for one in placed], np.float64),
        "q_device": np.array([one.q_mvar / base_mva for one in placed], np.float64),
        "device_ids": tuple(ids),
        "device_bus": tuple(place for place in places if place is not None),
        "device_kind": tuple(kind_of(one.device) for one in placed),
    }


def unique_names(names: Sequence[str | None], otherwise: Sequence[str]) -> tuple[str, ...]:
    """Names where every one is there and once; else the other ones in the place of what is not."""
    given = [name if isinstance(name, str) and name else None for name in names]
    return tuple(
        name if name is not None and given.count(name) == 1 else other
        for name, other in zip(given, otherwise, strict=True)
    )
