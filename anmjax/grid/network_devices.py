"""What a network says of its devices, and networks with other devices and limits made of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from anmjax.grid import tables
from anmjax.grid.devices import Generator, Load, Placed, Renewable, Storage, device_arrays
from anmjax.grid.faults import Fault, NetworkError
from anmjax.grid.flexible import EVCharger, Flexibility, FlexibleLoad, with_flexibility
from anmjax.grid.parsing import to_number
from anmjax.grid.replacing import OF_DEVICES
from anmjax.grid.settings import Shunt, Switch, TapChanger, with_settings, without_settings

_Self = TypeVar("_Self", bound="DevicesOfNetwork")
_DEVICES = (Load, Generator, Renewable, Storage, FlexibleLoad, EVCharger)
_SETTINGS = (TapChanger, Shunt, Switch)


class DevicesOfNetwork:
    """The part of ``Network`` that is about its devices."""

    # Fields of Network.
    n_slack: Any
    bus_ids: tuple[int, ...]
    slacks: tuple[int, ...]
    from_bus: tuple[int, ...]
    device_ids: tuple[int, ...]
    device_kind: tuple[int, ...]
    device_names: tuple[str, ...]
    bus_names: tuple[str, ...]
    branch_names: tuple[str, ...]

    @property
    def loads(self) -> tuple[int, ...]:
        """Positions of the loads in the device arrays, those that may wait and chargers included."""
        return self._of_kind(*tables.DEMANDS)

    @property
    def flexible(self) -> tuple[int, ...]:
        """Positions of the loads that may wait, chargers included."""
        return self._of_kind(tables.FLEXIBLE, tables.CHARGER)

    @property
    def flexible_loads(self) -> np.ndarray:
        """Where those that may wait stand among the loads."""
        return np.flatnonzero(np.isin(self.loads, self.flexible))

    @property
    def chargers(self) -> tuple[int, ...]:
        """Positions of the chargers."""
        return self._of_kind(tables.CHARGER)

    @property
    def generators(self) -> tuple[int, ...]:
        """Positions of the generators, the slack left out."""
        return self._of_kind(tables.CLASSICAL, tables.RENEWABLE)

    @property
    def renewables(self) -> tuple[int, ...]:
        """Positions of the renewable generators."""
        return self._of_kind(tables.RENEWABLE)

    @property
    def storage(self) -> tuple[int, ...]:
        """Positions of the storage units."""
        return self._of_kind(tables.STORAGE)

    @property
    def slack_device(self) -> int:
        """Position of the only slack device.

        Raises:
          ValueError: there are several. What dispatches devices around the slack (environments, safety
            layer, planners) needs exactly one, as gym-anm does; a power flow takes any number.
        """
        if self.n_slack != 1:
            buses = ", ".join(str(self.bus_ids[i]) for i in self.slacks)
            raise ValueError(
                f"this network has {self.n_slack} slack buses ({buses}), and devices are dispatched around "
                "exactly one: give the others to generators"
            )
        return self.device_kind.index(tables.SLACK)

    def _of_kind(self, *kinds: int) -> tuple[int, ...]:
        return tuple(i for i, kind in enumerate(self.device_kind) if kind in kinds)

    @property
    def device_labels(self) -> tuple[str, ...]:
        """What messages and tables call the devices: their names, or kind and id."""
        if self.device_names:
            return tuple(self.device_names)
        kinds = tables.ALL_DEVICE_KINDS
        return tuple(
            f"{kinds[kind]} {number}" for kind, number in zip(self.device_kind, self.device_ids, strict=True)
        )

    @property
    def bus_labels(self) -> tuple[str, ...]:
        """What messages and tables call the buses: their names, or ids."""
        return tuple(self.bus_names) or tuple(f"bus {number}" for number in self.bus_ids)

    def with_devices(
        self: _Self,
        *devices: Load
        | Generator
        | Renewable
        | Storage
        | FlexibleLoad
        | EVCharger
        | TapChanger
        | Shunt
        | Switch,
    ) -> _Self:
        """The network with more devices, whose ids continue after the largest there is.

        ``p`` and ``q``, the injections of the case, stay: a new device has limits but no operating point.
        What sets the network itself is no device with an id: it goes to ``settings``, in the order given.

        Args:
          *devices: ``Load``, ``Generator``, ``Renewable``, ``Storage``, ``FlexibleLoad``, ``EVCharger``;
            ``TapChanger``, ``Shunt``, ``Switch``.

        Raises:
          TypeError: an argument is none of these.
          NetworkError: a bus or branch does not exist, a name is taken, a branch has two tap changers or
            switches, or a ratio in the case that its tap changer has not; the error lists all of them.
        """
        for device in devices:
            if not isinstance(device, (*_DEVICES, *_SETTINGS)):
                names = ", ".join(kind.__name__ for kind in (*_DEVICES, *_SETTINGS))
                raise TypeError(f"a device is a {type(device).__name__}, expected one of {names}")
        set_ones = [device for device in devices if isinstance(device, _SETTINGS)]
        injecting = [device for device in devices if isinstance(device, _DEVICES)]
        net: Any = self._with_injecting(injecting) if injecting else self
        if set_ones:
            net = net.replace(settings=with_settings(net, set_ones))
        changed: _Self = net
        return changed

    def _with_injecting(self: _Self, devices: Sequence[Load | Generator | Renewable | Storage]) -> _Self:
        net: Any = self
        taken = list(net.device_labels if net.device_names else ())
        taken += [] if net.settings is None else net.settings.names
        faults = []
        for device in devices:
            if device.name is not None and device.name in taken:
                faults.append(Fault(device.label, "name", device.name, "must be a name of no other device"))
            taken.append(device.name or "")
        if faults:
            raise NetworkError(faults)
        first = max(net.device_ids, default=-1) + 1
        ids = tuple(range(first, first + len(devices)))
        new = device_arrays(
            [Placed(device) for device in devices], ids, net.bus_position, float(net.base_mva)
        )
        changes: dict[str, Any] = {
            name: np.concatenate([np.asarray(getattr(net, name)), new[name].astype(net.dtype)], -1)
            for name in OF_DEVICES
        }
        for name in ("p_device", "q_device"):
            if getattr(net, name) is not None:
                changes[name] = np.concatenate([getattr(net, name), new[name].astype(net.dtype)], -1)
        for name in ("device_ids", "device_bus", "device_kind"):
            changes[name] = getattr(net, name) + new[name]
        changes["flexibility"] = with_flexibility(net.flexibility, devices, float(net.base_mva), net.dtype)
        if net.device_names or any(device.name for device in devices):
            own = (
                device.name or f"{type(device).__name__.lower()} {i}"
                for i, device in zip(ids, devices, strict=True)
            )
            changes["device_names"] = (*net.device_labels, *own)
        changed: _Self = net.replace(**changes)
        return changed

    def without_devices(self: _Self, *devices: int | str | Iterable[int | str]) -> _Self:
        """The network without some devices, and without what they inject in the case.

        What was set of the network, by its name, stays as in the case.

        Args:
          *devices: ids or names, one by one or in lists.

        Raises:
          NetworkError: there is no such device, or it is a slack.
        """
        net: Any = self
        asked: list[int | str] = []
        for one in devices:
            asked += [one] if isinstance(one, (int, str, np.integer)) else list(one)
        faults, gone = [], set()
        set_ones = () if net.settings is None else net.settings.names
        for one in asked:
            k = net.device_position(one)
            if one in set_ones:
                continue
            if k is None:
                known = ", ".join(map(str, (*set_ones, *net.device_labels[:12])))
                more = f" and {net.n_device - 12} more" if net.n_device > 12 else ""
                faults.append(
                    Fault("network", "device", one, f"must be the id or the name of one: {known}{more}")
                )
            elif net.device_kind[k] == tables.SLACK:
                faults.append(Fault("network", "device", one, "must not be a slack: a grid needs one"))
            else:
                gone.add(k)
        if faults:
            raise NetworkError(faults)
        kept = [k for k in range(net.n_device) if k not in gone]
        per_device = [*OF_DEVICES, *(n for n in ("p_device", "q_device") if getattr(net, n) is not None)]
        changes: dict[str, Any] = {name: np.asarray(getattr(net, name))[..., kept] for name in per_device}
        for name in ("device_ids", "device_bus", "device_kind", "device_names"):
            values = getattr(net, name)
            changes[name] = tuple(values[k] for k in kept) if values else ()
        if net.flexibility is not None:
            own = [k for k, device in enumerate(net.flexible) if device not in gone]
            owed, cost = (
                np.asarray(x)[..., own] for x in (net.flexibility.most_owed, net.flexibility.unserved_cost)
            )
            changes["flexibility"] = Flexibility(owed, cost) if own else None
        if net.settings is not None:
            changes["settings"] = without_settings(net.settings, {*map(str, asked)})
        for of in "pq":
            if getattr(net, f"{of}_device") is not None:
                injected = np.array(getattr(net, of))
                for k in gone:
                    injected[..., net.device_bus[k]] -= np.asarray(getattr(net, f"{of}_device"))[..., k]
                changes[of] = injected
        changed: _Self = net.replace(**changes)
        return changed

    def with_limits(
        self: _Self,
        *,
        v_min: float | Mapping[int | str, float] | None = None,
        v_max: float | Mapping[int | str, float] | None = None,
        rating: float | Mapping[int | str, float] | None = None,
    ) -> _Self:
        """The network with other limits.

        Args:
          v_min: p.u., least voltage magnitude: one for all buses but the slacks, which hold their own, or a
            dict by id or name of the bus.
          v_max: p.u., largest voltage magnitude, likewise.
          rating: MVA, largest apparent power: one for all branches, or a dict by row or name of the branch.

        Raises:
          NetworkError: a bus or branch does not exist, or a limit may not be that.
        """
        net: Any = self
        base = float(net.base_mva)
        changes: dict[str, Any] = {}
        faults: list[Fault] = []
        for name, limit in (("v_min", v_min), ("v_max", v_max), ("rating", rating)):
            if limit is None:
                continue
            of_branch = name == "rating"
            values, scale = np.array(getattr(net, name)), base if of_branch else 1.0
            if isinstance(limit, Mapping):
                for element, value in limit.items():
                    k = net.branch_position(element) if of_branch else net.bus_position(element)
                    if k is None:
                        what = (
                            "the row or the name of a branch" if of_branch else "the id or the name of a bus"
                        )
                        faults.append(Fault("network", f"{name}: key", element, f"must be {what}"))
                    else:
                        values[..., k] = _limit(name, element, value, faults) / scale
            else:
                number = _limit(name, "network", limit, faults) / scale
                values[..., [k for k in range(values.shape[-1]) if of_branch or k not in net.slacks]] = number
            changes[name] = values
        if faults:
            raise NetworkError(faults)
        changed: _Self = net.replace(**changes)
        return changed

    def bus_position(self, bus: int | str) -> int | None:
        """Position of a bus in the bus arrays, by its id or its name; None where there is none."""
        return _position(bus, self.bus_ids, self.bus_names)

    def device_position(self, device: int | str) -> int | None:
        """Position of a device in the device arrays, by its id or its name; None where there is none."""
        return _position(device, self.device_ids, self.device_labels)

    def branch_position(self, branch: int | str) -> int | None:
        """Position of a branch in the branch arrays, by its row or its name; None where there is none."""
        return _position(branch, tuple(range(len(self.from_bus))), self.branch_names)


def _position(element: int | str, ids: tuple[int, ...], names: tuple[str, ...]) -> int | None:
    known: tuple[Any, ...] = names if isinstance(element, str) else ids
    return known.index(element) if element in known else None


def _limit(name: str, element: int | str, value: Any, faults: list[Fault]) -> float:
    """A number >= 0, with a fault where it is none."""
    number = to_number(value)
    if number is None or not tables.NON_NEGATIVE_OR_INF.contains(number):
        faults.append(Fault(str(element), name, value, "must be a number >= 0"))
        return 0.0
    return number
