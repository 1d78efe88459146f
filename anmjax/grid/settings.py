"""TapChanger, Shunt, Switch: what can be set of a network itself, and the record of it in a network."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np
from flax import struct

from anmjax.grid import tables
from anmjax.grid.devices import PLACES, field_faults
from anmjax.grid.faults import Fault, NetworkError

Array: TypeAlias = Any
Network: TypeAlias = Any  # its file imports this one

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
    def place(self) -> str:
        """The field that says where it is."""
        return "bus" if self.quantity == SHUNT else "branch"

    @property
    def at(self) -> int | str:
        """The branch or the bus, as it was given."""
        where: int | str = getattr(self, self.place)
        return where

    @property
    def label(self) -> str:
        """What messages call it."""
        called = getattr(self, "name", None)
        return f"{type(self).__name__} {repr(called) if called else f'at {self.place} {self.at}'}"

    def limits(self, base_mva: float) -> tuple[float, float, float]:
        """Least and largest value, and the step between positions, in the unit of the field it sets."""
        raise NotImplementedError

    def _find_faults(self) -> list[Fault]:
        return field_faults(self, self.place, self.ranges)


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
    """A switch that takes a branch in and out of service; an island that it leaves is a collapse.

    Bounds of an action are the case's position and 1 on each side of it: below 0 is open, above 1 closed.
    """

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

    def of(self, quantity: str) -> np.ndarray:
        """Positions of the settings of one quantity."""
        return np.array([k for k, one in enumerate(self.quantity) if one == quantity], int)


def with_settings(net: Network, new: Sequence[_Setting]) -> Settings:
    """The settings of a network with more of them.

    Raises:
      NetworkError: a branch or bus does not exist, a name is taken, a branch has two of a kind, or a ratio
        that its tap changer has not.
    """
    faults: list[Fault] = []
    none = np.zeros(0, net.dtype)
    old: Settings = Settings(none, none, none, (), (), ()) if net.settings is None else net.settings
    quantity, element, names = list(old.quantity), list(old.element), list(old.names)
    for one in new:
        kind, of_branch = type(one).__name__, one.place == "branch"
        at = (net.branch_position if of_branch else net.bus_position)(one.at)
        if at is None:
            faults.append(Fault(kind, one.place, one.at, PLACES[one.place]))
            continue
        if of_branch and (one.quantity, at) in zip(quantity, element, strict=True):
            faults.append(Fault(one.label, "branch", one.at, f"must be one without a {kind}"))
        if isinstance(one, TapChanger):
            tap = np.asarray(net.tap)[..., at]
            if not ((one.tap_min <= tap) & (tap <= one.tap_max)).all():
                allowed = f"must be one whose ratio in the case, {tap.max():g}, is within tap_min and tap_max"
                faults.append(Fault(one.label, "branch", one.at, allowed))
        taken = (*names, *net.device_labels)
        word = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
        name = getattr(one, "name", None) or _unused(f"{word}_{one.at}".replace(" ", "_"), taken)
        if name in taken:
            faults.append(Fault(one.label, "name", name, "must be a name of no other device"))
        quantity.append(one.quantity)
        element.append(at)
        names.append(name)
    if faults:
        raise NetworkError(faults)
    bounds = np.array([one.limits(float(net.base_mva)) for one in new], net.dtype).T
    low, high, step = np.concatenate([np.stack([old.low, old.high, old.step]), bounds], 1)
    return Settings(low, high, step, tuple(quantity), tuple(element), tuple(names))


def without_settings(old: Settings, names: Collection[str]) -> Settings | None:
    """The settings but those of some names; None: there are no others."""
    kept = [k for k, name in enumerate(old.names) if name not in names]
    if not kept:
        return None
    low, high, step = (np.asarray(x)[..., kept] for x in (old.low, old.high, old.step))
    return Settings(
        low,
        high,
        step,
        tuple(old.quantity[k] for k in kept),
        tuple(old.element[k] for k in kept),
        tuple(old.names[k] for k in kept),
    )


def branches_out(net: Network, in_service: Any) -> dict[str, Any]:
    """Fields of a network with branches out of service that no switch closes.

    Args:
      net: network.
      in_service: (n_branch,) 0 where a branch is out, else 1; NumPy's or JAX's.
    """
    changes: dict[str, Any] = {"in_service": net.in_service * in_service}
    if (settings := net.settings) is not None:
        of_switches = np.array(settings.quantity) == SWITCH
        rows = np.where(of_switches, settings.element, 0)
        lost = of_switches.astype(net.dtype) * (1 - in_service[rows])
        changes["settings"] = replace(settings, high=settings.high * (1 - lost))
    return changes


def _unused(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where it is taken."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found
