"""MultiAgent: one agent for each controlled device, or for each bus that has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.envs.observation import Observed, bounds, observe, parse_observation
from anmjax.envs.quantities import QUANTITIES, Point
from anmjax.envs.records import State
from anmjax.envs.spaces import Box
from anmjax.grid.network import Network
from anmjax.grid.settings import SHUNT
from anmjax.projection.control_layout import ControlLayout
from anmjax.projection.settings import settled
from anmjax.wrappers.wrapper import Wrapper

KINDS_OF_AGENTS = ("device", "bus")


class MultiAgent(Wrapper):
    """A task whose action is put together from the actions of several agents, which share its reward.

    - Agents are named "device_2" or "bus_3", after ids; one of a bus has all controlled devices there. What
      is set of the network, such as a tap, is an agent by its own name, or of the bus where it is (a branch's
      from end). Of a dict, agents have the names of its keys.
    - Action of an agent: P of its devices, then Q of them, then its settings, in the order of the task's
      action and its units.
    - Observation of an agent: P, Q of its devices (MW, MVAr), charge of its storage units (MWh), potential of
      its generators (MW), voltage magnitudes of its buses and of the ends of its branches (p.u.), the
      auxiliary variables; all 0 after a collapse. ``state.obs`` is the whole task's, for a central critic.

    Args:
      env: the task, or wrappers around it.
      by: "device", "bus", or a dict of agents: each a list of ids or names of devices, and names of
        settings. Every one that is controlled is of one agent.

    Raises:
      ValueError: ``by`` is none of these, something is controlled by none or by two, or nothing is.
    """

    by: Any = struct.field(pytree_node=False, default="device")

    def __post_init__(self) -> None:
        if isinstance(self.by, Mapping):
            object.__setattr__(self, "by", _checked_groups(self.env.network, self.by))
        elif self.by not in KINDS_OF_AGENTS and not isinstance(self.by, tuple):
            raise ValueError(
                f"MultiAgent: by is {self.by!r}, but must be one of {KINDS_OF_AGENTS}, or a dict of agents"
            )
        if not self.agents:
            raise ValueError("MultiAgent: the network has no device that is controlled")

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents, by id; of a dict, in its order."""
        return tuple(self._owned)

    @property
    def action_spaces(self) -> dict[str, Box]:
        """Bounds of each agent's action."""
        box = self.env.action_space
        return {name: Box(box.low[rows], box.high[rows]) for name, rows in self.rows.items()}

    @property
    def observation_spaces(self) -> dict[str, Box]:
        """Bounds of each agent's observation."""
        free = np.tile([-np.inf, np.inf], (self.env.K, 1))
        of_aux = free if self.env.aux_bounds is None else self.env.aux_bounds
        return {
            name: Box(*bounds(seen, self.env.network, of_aux)) for name, seen in self._observed_by.items()
        }

    def step(self, state: State, action: Any) -> State:
        """Takes the actions of all agents.

        Args:
          state: current state of the lane.
          action: of every agent, by its name.

        Raises:
          ValueError: an agent's action is missing, unknown, or has the wrong shape.
        """
        return self.env.step(self._inner(state), self.joined(action))

    def joined(self, actions: Mapping[str, jax.Array]) -> jax.Array:
        """The task's action, (n_action,), of those of all agents."""
        rows = self.rows
        if wrong := sorted(set(rows) ^ set(actions)):
            raise ValueError(
                f"MultiAgent: agent {wrong[0]!r} has no action or is none, agents are {self.agents}"
            )
        for name, entries in rows.items():
            if jnp.shape(actions[name]) != (len(entries),):
                raise ValueError(
                    f"MultiAgent: the action of {name} has shape {jnp.shape(actions[name])}, but must have "
                    f"({len(entries)},)"
                )
        order = np.argsort(np.concatenate(list(rows.values())))
        return jnp.concatenate([jnp.asarray(actions[name]) for name in rows])[order]

    def observations(self, state: State) -> dict[str, jax.Array]:
        """What each agent sees of a state."""
        v = state.grid.v
        net = settled(self.env.network, state.grid.settings)
        at = Point(net, state.grid, jnp.stack([v.real - 1, v.imag]), state.aux)
        found = {}
        for name, space in self.observation_spaces.items():
            seen = jnp.clip(observe(self._observed_by[name], at), space.low, space.high)
            found[name] = jnp.where(state.terminated, jnp.zeros_like(seen), seen)
        return found

    @property
    def _owned(self) -> dict[str, tuple[int | str, ...]]:
        """What each agent has: ids of devices, names of settings."""
        if isinstance(self.by, tuple):
            return dict(self.by)
        net = self.env.network
        controlled = (*ControlLayout.of(net).devices.tolist(), *net.flexible)
        at = {net.device_ids[i]: net.device_bus[i] for i in controlled}
        found: dict[Any, list[int | str]] = {}
        for device in sorted(at):
            found.setdefault(device if self.by == "device" else net.bus_ids[at[device]], []).append(device)
        named: dict[str, list[int | str]] = {}
        buses_of = _buses_of(net)
        for name in () if net.settings is None else net.settings.names:
            if self.by == "device":
                named[name] = [name]
            else:
                found.setdefault(net.bus_ids[buses_of[name][0]], []).append(name)
        of_ids = {f"{self.by}_{i}": tuple(owned) for i, owned in sorted(found.items())}
        return of_ids | {name: tuple(owned) for name, owned in named.items()}

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """Where the components of each agent's action stand in the task's."""
        owners = _owners(self.env.network)
        return {
            name: np.array([k for k, one in enumerate(owners) if one in owned], int)
            for name, owned in self._owned.items()
        }

    @property
    def views(self) -> dict[str, np.ndarray]:
        """Which entries of the task's own observation each agent may see.

        What is of its devices, of its buses, or of nobody, as auxiliary variables are; of branches nothing.

        Raises:
          ValueError: the observation is a function, which does not say what its entries are.
        """
        net: Any = self.env.network
        entries = self.env._observed
        if callable(entries):
            raise ValueError("MultiAgent: the task's observation is a function, with entries without names")
        buses_of = _buses_of(net)
        found = {}
        for name, owned in self._owned.items():
            buses = {net.bus_ids[bus] for one in owned for bus in buses_of[one]}
            known = {"bus": buses, "branch": set(), "aux": set(range(self.env.K))}
            seen = []
            for quantity, rows, _ in entries:
                elements = QUANTITIES[quantity].elements(net, self.env.K)
                mine = known.get(quantity.split("_")[0], set(owned))
                seen += [elements[row] in mine for row in rows]
            found[name] = np.flatnonzero(seen)
        return found

    @property
    def _observed_by(self) -> dict[str, tuple[Observed, ...]]:
        net: Any = self.env.network
        buses_of = _buses_of(net)
        storage, generators, flexible = (
            {net.device_ids[i] for i in kind} for kind in (net.storage, net.generators, net.flexible)
        )
        seen = {}
        for name, owned in self._owned.items():
            devices = [one for one in owned if not isinstance(one, str)]
            entries = [
                ("dev_p", devices),
                ("dev_q", devices),
                ("des_soc", [device for device in devices if device in storage]),
                ("gen_p_max", [device for device in devices if device in generators]),
                ("flex_owed", [device for device in devices if device in flexible]),
                ("bus_v_magn", sorted({net.bus_ids[bus] for one in owned for bus in buses_of[one]})),
                ("aux", "all"),
            ]
            seen[name] = parse_observation(entries, net, self.env.K)
        return seen


def _owners(net: Network) -> tuple[int | str, ...]:
    """(n_action,) what each component of an action is of: the id of a device, the name of a setting."""
    layout = ControlLayout.of(net)
    return tuple(
        name if device is None else device for name, device in zip(layout.names, layout.owners, strict=True)
    )


def _buses_of(net: Network) -> dict[int | str, tuple[int, ...]]:
    """Indices of the buses of each device, by id, and of each setting: its own, or the ends of its branch."""
    found: dict[int | str, tuple[int, ...]] = {
        device: (bus,) for device, bus in zip(net.device_ids, net.device_bus, strict=True)
    }
    if (settings := net.settings) is not None:
        for name, quantity, at in zip(settings.names, settings.quantity, settings.element, strict=True):
            found[name] = (at,) if quantity == SHUNT else (net.from_bus[at], net.to_bus[at])
    return found


def _checked_groups(net: Any, by: Mapping[str, Any]) -> tuple[tuple[str, tuple[int | str, ...]], ...]:
    """The agents of a dict, with ids in the place of names of devices."""
    wanted = set(_owners(net))
    groups, owner = [], dict[int | str, str]()
    for agent, members in by.items():
        owned = []
        for member in [members] if isinstance(members, (int, str)) else members:
            place = None if member in wanted else net.device_position(member)
            one = member if place is None else net.device_ids[place]
            if one not in wanted:
                raise ValueError(f"MultiAgent: agent {agent!r} has {member!r}, which is not controlled")
            if one in owner:
                raise ValueError(f"MultiAgent: {member!r} is of {owner[one]!r} and of {agent!r}")
            owner[one] = agent
            owned.append(one)
        groups.append((str(agent), tuple(owned)))
    if missing := sorted(wanted - owner.keys(), key=str):
        raise ValueError(f"MultiAgent: {missing[0]!r} is controlled and of no agent")
    return tuple(groups)
