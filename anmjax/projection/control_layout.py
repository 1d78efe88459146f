"""ControlLayout: the order of an action, and of the devices that it controls.

Stated once, in ``GROUPS``; spaces, set-points, projection, planners and policies read it here. It stands on
this floor as the lowest that knows set-points: a power flow has injections at buses, a grid has devices.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.grid.network import Network


class Group(NamedTuple):
    """A stretch of the action: one quantity of one kind of device, by device id."""

    quantity: str  # "p" or "q", as the names of its limits in ``Network`` begin
    kind: str  # one of ``KINDS``
    unit: str


# Kinds of controlled devices: the property of ``Network`` with their positions, and what they are called.
KINDS = {"generators": "generators", "storage": "storage units"}
# The action. Another kind of device that is controlled is a line above and two here.
GROUPS = (
    Group("p", "generators", "mw"),
    Group("q", "generators", "mvar"),
    Group("p", "storage", "mw"),
    Group("q", "storage", "mvar"),
)


@dataclass(frozen=True)
class ControlLayout:
    """Where each controlled device stands: static, hashable, NumPy on the host.

    There are two orders. An action has one of ``GROUPS`` after the other, then the P of flexible loads and
    chargers, then what is set of the network. An array with an entry for each
    controlled device, such as the P of all, (n_controlled, ..), has one of ``KINDS`` after the other.
    """

    positions: tuple[tuple[int, ...], ...]  # by KINDS, of their devices in the network
    device_ids: tuple[int, ...]  # (n_controlled,)
    flexible: tuple[int, ...] = ()  # (n_flexible,) ids of the loads that may wait, after P and Q in an action
    settings: tuple[str, ...] = ()  # (n_setting,) names of what is set of the network, the end of an action

    @classmethod
    def of(cls, net: Network) -> ControlLayout:
        """The layout of a network, which depends on its static fields alone."""
        positions: tuple[tuple[int, ...], ...] = tuple(getattr(net, kind) for kind in KINDS)
        settings = () if net.settings is None else net.settings.names
        flexible = tuple(net.device_ids[i] for i in net.flexible)
        controlled = tuple(net.device_ids[i] for devices in positions for i in devices)
        return cls(positions, controlled, flexible, settings)

    @property
    def devices(self) -> np.ndarray:
        """(n_controlled,) positions of the controlled devices in the network."""
        return np.array([i for devices in self.positions for i in devices], int)

    @property
    def n_controlled(self) -> int:
        """Number of controlled devices."""
        return len(self.device_ids)

    @property
    def n_power(self) -> int:
        """Length of the part of an action that is P and Q of devices."""
        return sum(self._counts[group.kind] for group in GROUPS)

    @property
    def n_action(self) -> int:
        """Length of an action."""
        return self.n_power + len(self.flexible) + len(self.settings)

    @property
    def kinds(self) -> dict[str, slice]:
        """Where each kind of device stands in an array of controlled devices."""
        return dict(zip(KINDS, _stretches(self._counts.values()), strict=True))

    @property
    def groups(self) -> dict[tuple[str, str], slice]:
        """Where each (quantity, kind) stands in an action."""
        sizes = (self._counts[group.kind] for group in GROUPS)
        return dict(zip(((group.quantity, group.kind) for group in GROUPS), _stretches(sizes), strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """(n_action,) names of an action's components: "p_mw_2" is P of the device with id 2, in MW.

        What is set of the network goes by its own name.
        """
        kinds = self.kinds
        of_devices = (
            f"{group.quantity}_{group.unit}_{device}"
            for group in GROUPS
            for device in self.device_ids[kinds[group.kind]]
        )
        return (*of_devices, *(f"p_mw_{device}" for device in self.flexible), *self.settings)

    @property
    def owners(self) -> tuple[int | None, ...]:
        """(n_action,) id of the device of each component; None: it is set of the network."""
        kinds = self.kinds
        of_devices = (device for group in GROUPS for device in self.device_ids[kinds[group.kind]])
        return (*of_devices, *self.flexible, *[None] * len(self.settings))

    @property
    def description(self) -> str:
        """The order of an action in words."""
        of = {kind: f"{self._counts[kind]} {called}" for kind, called in KINDS.items()}
        parts = [f"{group.quantity.upper()} of {of.pop(group.kind, 'them')}" for group in GROUPS]
        parts += [f"P of {len(self.flexible)} flexible loads and chargers"] if self.flexible else []
        return ", ".join(parts + ([f"settings {', '.join(self.settings)}"] if self.settings else []))

    def split(self, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """P and Q of the controlled devices, each (n_controlled, ..), of an action, (n_action, ..)."""
        # Its derivative is one concatenation; that of slices is a sum of padded arrays.
        action = action[: self.n_power] if self.n_action > self.n_power else action
        parts = jnp.split(action, [stretch.stop for stretch in self.groups.values()][:-1])
        of = dict(zip(self.groups, parts, strict=True))
        p, q = (jnp.concatenate([of[quantity, kind] for kind in KINDS]) for quantity in "pq")
        return p, q

    def join(self, p: jax.Array, q: jax.Array) -> jax.Array:
        """The part of an action, (n_power, ..), that P and Q are, each (n_controlled, ..)."""
        kinds, of = self.kinds, {"p": p, "q": q}
        return jnp.concatenate([of[group.quantity][kinds[group.kind]] for group in GROUPS])

    def bounds(self, net: Network) -> tuple[jax.Array, jax.Array]:
        """Least and largest P and Q of an action, each (n_power,) MW and MVAr; infinite without a limit."""
        where = {kind: np.array(devices, int) for kind, devices in zip(KINDS, self.positions, strict=True)}
        low, high = (
            jnp.concatenate([getattr(net, f"{group.quantity}_{side}")[where[group.kind]] for group in GROUPS])
            * net.base_mva
            for side in ("min", "max")
        )
        return low, high

    @property
    def _counts(self) -> dict[str, int]:
        return {kind: len(devices) for kind, devices in zip(KINDS, self.positions, strict=True)}


def _stretches(sizes: Iterable[int]) -> list[slice]:
    """Stretches of these sizes, one after the other."""
    ends = np.cumsum([0, *sizes]).tolist()
    return [slice(start, end) for start, end in itertools.pairwise(ends)]
