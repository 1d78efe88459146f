"""TapChanger, Shunt, Switch: what can be set of a network itself, and the record of it in a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from flax import struct

from anmjax.grid import tables
from anmjax.grid.faults import Fault, NetworkError
from anmjax.grid.parsing import to_number

Array: TypeAlias = Any

# What a setting takes the place of, the field of ``Network``; a shunt's adds to what is there.
TAP, SHUNT, SWITCH = "tap", "b_shunt", "in_service"


@dataclass(frozen=True)
class _Setting:
    """What all have; every value is checked when one is built.

    Raises:
      NetworkError: a value is out of range; the error names the field, the value and what is allowed.
    """

    quantity: ClassVar[str]
    ranges: ClassVar[dict[str, tables.Range]]

    def __post_init__(self) -> None:
        if faults := list(self._find_faults()):
            raise NetworkError(faults, "the device")

    @property
    def at(self) -> int | str:
        """The branch or the bus, as it was given."""
        place: int | str = getattr(self, "bus" if self.quantity == SHUNT else "branch")
        return place

    @property
    def label(self) -> str:
        """What messages call it."""
        where = "bus" if self.quantity == SHUNT else "branch"
        called = getattr(self, "name", None)
        return (
            f"{type(self).__name__} {called!r}" if called else f"{type(self).__name__} at {where} {self.at}"
        )

    def limits(self, base_mva: float) -> tuple[float, float, float]:
        """Least and largest value, and the step between positions, in the unit of the field it sets."""
        raise NotImplementedError

    def _find_faults(self) -> list[Fault]:
        faults, kind = [], type(self).__name__
        element, what = ("bus", "the id") if self.quantity == SHUNT else ("branch", "the row")
        if isinstance(self.at, bool) or not isinstance(self.at, (int, np.integer, str)):
            faults.append(Fault(kind, element, self.at, f"must be {what} or the name of a {element}"))
        for name, allowed in self.ranges.items():
            number = to_number(getattr(self, name))
            if number is None or not allowed.contains(number):
                text = allowed.text if allowed.text.startswith("a ") else f"a number {allowed.text}"
                faults.append(Fault(self.label, name, getattr(self, name), f"must be {text}"))
        called: Any = getattr(self, "name", None)
        if called is not None and not (isinstance(called, str) and called):
            faults.append(Fault(kind, "name", called, "must be a str of one letter or more"))
        return faults


@dataclass(frozen=True)
class TapChanger(_Setting):
    """An on-load tap changer: the turns ratio of a transformer, at the from side of its branch."""

    branch: int | str  # row of the branch, or its name
    tap_min: float = 0.9  # least ratio
    tap_max: float = 1.1  # largest ratio
    step: float = 0.0  # between positions, counted from the ratio in the case; 0: any ratio
    name: str | None = None

    quantity: ClassVar[str] = TAP
    ranges: ClassVar[dict[str, tables.Range]] = {
        "tap_min": tables.POSITIVE,
        "tap_max": tables.POSITIVE,
        "step": tables.NON_NEGATIVE,
    }

    def limits(self, base_mva: float) -> tuple[float, float, float]:
        """See ``_Setting``."""
        return self.tap_min, self.tap_max, self.step

    def _find_faults(self) -> list[Fault]:
        faults = super()._find_faults()
        if not faults and self.tap_max < self.tap_min:
            faults.append(Fault(self.label, "tap_max", self.tap_max, f"must be >= tap_min {self.tap_min}"))
        return faults


@dataclass(frozen=True)
class Shunt(_Setting):
    """A capacitor or reactor that is switched or regulated, beside what is fixed at its bus; off at first."""

    bus: int | str  # id of its bus, or its name
    q_mvar: float  # MVAr that all of it injects at 1 p.u. of voltage; negative: a reactor
    step_mvar: float = 0.0  # MVAr, of one step of it; 0: anything between none and all
    name: str | None = None

    quantity: ClassVar[str] = SHUNT
    ranges: ClassVar[dict[str, tables.Range]] = {"q_mvar": tables.FINITE, "step_mvar": tables.NON_NEGATIVE}

    def limits(self, base_mva: float) -> tuple[float, float, float]:
        """See ``_Setting``."""
        most = self.q_mvar / base_mva
        return min(most, 0.0), max(most, 0.0), self.step_mvar / base_mva


@dataclass(frozen=True)
class Switch(_Setting):
    """A switch that takes a branch in and out of service; an island that it leaves is a collapse."""

    branch: int | str  # row of the branch, or its name
    rounded: bool = True  # open below 1/2, else closed; False: the admittance in proportion, for gradients
    name: str | None = None

    quantity: ClassVar[str] = SWITCH
    ranges: ClassVar[dict[str, tables.Range]] = {}

    def limits(self, base_mva: float) -> tuple[float, float, float]:
        """See ``_Setting``."""
        return 0.0, 1.0, 1.0 if self.rounded else 0.0

    def _find_faults(self) -> list[Fault]:
        faults = super()._find_faults()
        if not isinstance(self.rounded, (bool, np.bool_)):
            faults.append(Fault(self.label, "rounded", self.rounded, "must be True or False"))
        return faults


@struct.dataclass
class Settings:
    """What a controller can set of a network, in the order of an action."""

    low: Array  # (n_setting,) least value, in the unit of the field that it sets
    high: Array  # (n_setting,) largest value
    step: Array  # (n_setting,) from one position to the next, counted from the case's; 0: any value
    quantity: tuple[str, ...] = struct.field(pytree_node=False)  # (n_setting,) TAP, SHUNT or SWITCH
    element: tuple[int, ...] = struct.field(pytree_node=False)  # (n_setting,) row of a branch, index of a bus
    names: tuple[str, ...] = struct.field(pytree_node=False)  # (n_setting,)

    def __len__(self) -> int:
        return len(self.quantity)

    def astype(self, dtype: Any) -> Settings:
        """Casts the bounds to a floating point type."""
        low, high, step = (np.asarray(x).astype(dtype) for x in (self.low, self.high, self.step))
        return Settings(low, high, step, self.quantity, self.element, self.names)

    def of(self, quantity: str) -> np.ndarray:
        """Positions of the settings of one quantity."""
        return np.array([k for k, one in enumerate(self.quantity) if one == quantity], int)


def with_settings(
    old: Settings | None,
    new: Sequence[_Setting],
    branch_position: Callable[[int | str], int | None],
    bus_position: Callable[[int | str], int | None],
    base_mva: float,
) -> Settings:
    """The settings of a network with more of them.

    Raises:
      NetworkError: a branch or bus does not exist, a name is taken, or a branch has two of a kind.
    """
    faults: list[Fault] = []
    quantity, element, names = list[str](), list[int](), list[str]()
    if old is not None:
        quantity, element, names = list(old.quantity), list(old.element), list(old.names)
    for one in new:
        of_bus = one.quantity == SHUNT
        place = (bus_position if of_bus else branch_position)(one.at)
        if place is None:
            what = "the id or the name of a bus" if of_bus else "the row or the name of a branch"
            faults.append(Fault(type(one).__name__, "bus" if of_bus else "branch", one.at, f"must be {what}"))
            continue
        if not of_bus and (one.quantity, place) in zip(quantity, element, strict=True):
            faults.append(Fault(one.label, "branch", one.at, f"must be one without a {type(one).__name__}"))
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(one).__name__).lower()
        name = getattr(one, "name", None) or _unused(f"{kind}_{one.at}".replace(" ", "_"), names)
        if name in names:
            faults.append(Fault(one.label, "name", name, "must be a name of no other device"))
        quantity.append(one.quantity)
        element.append(place)
        names.append(name)
    if faults:
        raise NetworkError(faults)
    bounds = np.array([one.limits(base_mva) for one in new], np.float64).reshape(-1, 3).T
    if old is not None:
        before = np.stack([np.asarray(x) for x in (old.low, old.high, old.step)])
        bounds = np.concatenate([before, bounds.astype(before.dtype)], 1)
    low, high, step = bounds
    return Settings(low, high, step, tuple(quantity), tuple(element), tuple(names))


def _unused(name: str, taken: Sequence[str]) -> str:
    """The name, with a number behind it where it is taken."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found
