"""A small meshed grid with every kind of device, and a task on it whose demand is scripted by its state."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax import ANMEnv, GridState, Network

# A ring of four buses; device columns as in gym-anm (MW, MVAr, MWh).
NETWORK: dict[str, Any] = {
    "baseMVA": 10,
    "bus": [[0, 0, 33, 1, 1], [1, 1, 33, 1.04, 0.98], [2, 1, 11, 1.04, 0.98], [3, 1, 33, 1.04, 0.98]],
    "device": [
        [0, 0, 0, None, 300, -300, 300, -300, *[None] * 7],
        [1, 1, -1, 0.2, 0, -500, *[None] * 9],
        [2, 2, 2, None, 8, 0, 4, -4, 6, None, 2, -2, None, None, None],
        [3, 3, 1, None, 5, 0.5, 3, -3, *[None] * 7],
        [4, 3, 3, None, 4, -4, 3, -3, 3, -3, 1, -1, 8, 1, 0.9],
    ],
    "branch": [
        [0, 1, 0.02, 0.05, 0.01, 6, 1, 0],
        [1, 2, 0.03, 0.06, 0.0, 4, 0.98, 1],
        [2, 3, 0.02, 0.04, 0.02, 4, 1, 0],
        [3, 0, 0.03, 0.07, 0.0, 6, 1, 0],
    ],
}
COLLAPSE_MW = -400.0
RENEWABLE, CLASSICAL, STORAGE = 2, 3, 4  # positions of the devices


class Feeder(ANMEnv):
    """Auxiliary variables: hour, demand (MW), potential (MW). The next demand and potential are these two."""

    def __init__(self, observation: Any = "state", **options: Any) -> None:
        defaults = {"K": 3, "delta_t": 0.5, "gamma": 0.9, "lamb": 50, "costs_clipping": (0.3, 20)}
        super().__init__(NETWORK, observation, **{**defaults, **options})
        self.collapse_share = jnp.asarray(0.8, self.network.dtype)
        self.noise = jnp.asarray(0.0, self.network.dtype)

    def init_state(self, key: jax.Array) -> jax.Array:
        """A start that often collapses."""
        key_collapse, key_demand = jax.random.split(key)
        demand = -8 * jax.random.uniform(key_demand, dtype=self.network.dtype)
        collapse = jax.random.uniform(key_collapse, dtype=self.network.dtype) < self.collapse_share
        return start(demand=jnp.where(collapse, COLLAPSE_MW, demand), soc=4.0, dtype=self.network.dtype)

    def next_vars(self, key: jax.Array, state: jax.Array) -> jax.Array:
        """The scripted demand, noise added, and potentials."""
        hour, demand, potential = state[-3:]
        noise = self.noise * jax.random.normal(key, dtype=state.dtype)
        five = jnp.full_like(hour, 5)
        return jnp.stack([demand + noise, potential, five, (hour + 1) % 24, demand, potential])


def start(
    *, demand: Any = -5.0, potential: Any = 6.0, storage: Any = 0.0, soc: Any = 4.0, dtype: Any = float
) -> jax.Array:
    """A start state vector (MW, MVAr, MWh): generators at 1 MW, the storage unit at ``storage`` MW."""
    demand, potential, storage, soc = (jnp.asarray(x, dtype) for x in (demand, potential, storage, soc))
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    p, q = [zero, demand, one, one, storage], [zero, 0.2 * demand, zero, zero, zero]
    return jnp.stack([*p, *q, soc, potential, 5 * one, zero, demand, potential])


def bus_admittance(net: Network, in_service: np.ndarray | None = None) -> np.ndarray:
    """Y of a network (n_bus, n_bus), by the textbook."""
    Y = np.zeros((net.n_bus, net.n_bus), complex)
    for k, (f, t) in enumerate(zip(net.from_bus, net.to_bus, strict=True)):
        if in_service is not None and not in_service[k]:
            continue
        y, shunt = 1 / complex(net.r[k], net.x[k]), 0.5j * float(net.b[k])
        ratio = float(net.tap[k]) * np.exp(1j * float(net.shift[k]))
        Y[f, f] += (y + shunt) / abs(ratio) ** 2
        Y[t, t] += y + shunt
        Y[f, t] -= y / np.conj(ratio)
        Y[t, f] -= y / ratio
    return Y


def branch_ends(net: Network, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Complex power (..., n_branch) p.u. entering the branches at their two ends, by the textbook."""
    f, t = np.array(net.from_bus), np.array(net.to_bus)
    y, shunt = 1 / (np.asarray(net.r) + 1j * np.asarray(net.x)), 0.5j * np.asarray(net.b)
    ratio = np.asarray(net.tap) * np.exp(1j * np.asarray(net.shift))
    v_from, v_to = v[..., f], v[..., t]
    i_from = (y + shunt) * v_from / np.abs(ratio) ** 2 - y * v_to / np.conj(ratio)
    i_to = (y + shunt) * v_to - y * v_from / ratio
    return v_from * np.conj(i_from), v_to * np.conj(i_to)


def bus_injections(net: Network, grid: GridState) -> np.ndarray:
    """Complex power (..., n_bus) p.u. that the devices inject."""
    incidence = np.zeros((net.n_device, net.n_bus))
    incidence[np.arange(net.n_device), net.device_bus] = 1
    return (np.asarray(grid.p) + 1j * np.asarray(grid.q)) @ incidence
