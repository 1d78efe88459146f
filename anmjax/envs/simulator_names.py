"""Sizes and devices of a network under the names gym-anm uses, so that its tasks port unchanged."""

from __future__ import annotations

import dataclasses

import jax

from anmjax.grid.network import Network


@dataclasses.dataclass(frozen=True)
class DeviceNames:
    """One device's limits, p.u., under gym-anm's attribute names."""

    dev_id: int
    type: int
    qp_ratio: jax.Array
    p_max: jax.Array
    p_min: jax.Array
    q_max: jax.Array
    q_min: jax.Array
    soc_max: jax.Array
    soc_min: jax.Array
    eff: jax.Array


@dataclasses.dataclass(frozen=True)
class SimulatorNames:
    """What a ported ``init_state`` or ``next_vars`` reads from gym-anm's ``self.simulator``."""

    network: Network

    @property
    def baseMVA(self) -> jax.Array:
        """MVA, base power."""
        return self.network.base_mva

    @property
    def N_bus(self) -> int:
        """Number of buses."""
        return self.network.n_bus

    @property
    def N_device(self) -> int:
        """Number of devices."""
        return self.network.n_device

    @property
    def N_load(self) -> int:
        """Number of loads."""
        return len(self.network.loads)

    @property
    def N_non_slack_gen(self) -> int:
        """Number of generators, the slack left out."""
        return len(self.network.generators)

    @property
    def N_des(self) -> int:
        """Number of storage units."""
        return len(self.network.storage)

    @property
    def N_gen_rer(self) -> int:
        """Number of renewable generators."""
        return len(self.network.renewables)

    @property
    def devices(self) -> dict[int, DeviceNames]:
        """Devices by id."""
        net = self.network
        fields = [f.name for f in dataclasses.fields(DeviceNames)][2:]
        return {
            dev_id: DeviceNames(dev_id, kind, *(getattr(net, name)[i] for name in fields))
            for i, (dev_id, kind) in enumerate(zip(net.device_ids, net.device_kind, strict=True))
        }
