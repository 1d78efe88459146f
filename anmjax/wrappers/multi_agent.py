"""MultiAgent: one agent for each controlled device, or for each bus that has one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.envs.observation import Observed, bounds, observe, parse_observation
from anmjax.envs.quantities import Point
from anmjax.envs.records import State
from anmjax.envs.spaces import Box
from anmjax.projection.control_layout import ControlLayout
from anmjax.wrappers.wrapper import Wrapper

KINDS_OF_AGENTS = ("device", "bus")


class MultiAgent(Wrapper):
    """A task whose action is put together from the actions of several agents, which share its reward.

    - Agents are named "device_2" or "bus_3", after ids; one of a bus has all controlled devices there.
    - Action of an agent: P of its devices, then Q of them, in the order of the task's action; MW, MVAr.
    - Observation of an agent: P, Q of its devices (MW, MVAr), charge of its storage units (MWh), potential of
      its generators (MW), voltage magnitude of its bus (p.u.), the auxiliary variables; all 0 after a
      collapse. ``state.obs`` is the whole task's, for a central critic.

    Args:
      env: the task, or wrappers around it.
      by: "device" or "bus".

    Raises:
      ValueError: ``by`` is neither, or nothing is controlled.
    """

    by: str = struct.field(pytree_node=False, default="device")

    def __post_init__(self) -> None:
        if self.by not in KINDS_OF_AGENTS:
            raise ValueError(f"MultiAgent: by is {self.by!r}, but must be one of {KINDS_OF_AGENTS}")
        if not self.agents:
            raise ValueError("MultiAgent: the network has no device that is controlled")

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents, by id."""
        return tuple(f"{self.by}_{i}" for i in self._devices)

    @property
    def action_spaces(self) -> dict[str, Box]:
        """Bounds of each agent's action."""
        box = self.env.action_space
        return {name: Box(box.low[rows], box.high[rows]) for name, rows in self._rows.items()}

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
        rows = self._rows
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
        at = Point(self.env.network, state.grid, jnp.stack([v.real - 1, v.imag]), state.aux)
        found = {}
        for name, space in self.observation_spaces.items():
            seen = jnp.clip(observe(self._observed_by[name], at), space.low, space.high)
            found[name] = jnp.where(state.terminated, jnp.zeros_like(seen), seen)
        return found

    @property
    def _devices(self) -> dict[int, list[int]]:
        """Ids of the controlled devices of each agent, by the agent's id."""
        net = self.env.network
        found: dict[int, list[int]] = {}
        for i in sorted(ControlLayout.of(net).devices.tolist()):
            device = net.device_ids[i]
            found.setdefault(device if self.by == "device" else net.bus_ids[net.device_bus[i]], []).append(
                device
            )
        return dict(sorted(found.items()))

    @property
    def _rows(self) -> dict[str, np.ndarray]:
        """Where the components of each agent's action stand in the task's."""
        # Components are named after quantity, unit and device: "p_mw_2".
        owners = [int(name.rsplit("_", 1)[1]) for name in ControlLayout.of(self.env.network).names]
        return {
            f"{self.by}_{i}": np.flatnonzero(np.isin(owners, devices)) for i, devices in self._devices.items()
        }

    @property
    def _observed_by(self) -> dict[str, tuple[Observed, ...]]:
        net: Any = self.env.network
        bus_of = {device: net.bus_ids[net.device_bus[i]] for i, device in enumerate(net.device_ids)}
        storage, generators = ({net.device_ids[i] for i in kind} for kind in (net.storage, net.generators))
        seen = {}
        for i, devices in self._devices.items():
            entries = [
                ("dev_p", devices),
                ("dev_q", devices),
                ("des_soc", [device for device in devices if device in storage]),
                ("gen_p_max", [device for device in devices if device in generators]),
                ("bus_v_magn", sorted({bus_of[device] for device in devices})),
                ("aux", "all"),
            ]
            seen[f"{self.by}_{i}"] = parse_observation(entries, net, self.env.K)
        return seen
