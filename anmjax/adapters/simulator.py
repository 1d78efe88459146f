"""Simulator: gym-anm's view of a grid, by quantity, unit and id."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.quantities import QUANTITIES, SCALES, Point
from anmjax.envs.records import GridState
from anmjax.envs.simulator_names import SimulatorNames
from anmjax.grid.network import Network
from anmjax.projection.settings import settled

ById: TypeAlias = dict[Any, Any]

# Units that can be read here and not observed: gym-anm has bounds of branch currents in kA.
_FURTHER = {"branch_i_magn": ("kA",)}
_NAMES = tuple(name for name in QUANTITIES if name != "aux")


def _units(quantity: str) -> tuple[Any, ...]:
    return (*QUANTITIES[quantity].units, *_FURTHER.get(quantity, ()))


def _names(net: Network) -> list[str]:
    """What the simulator tells of; gym-anm's networks have nothing that may wait."""
    return [name for name in _NAMES if name != "flex_owed" or net.flexible]


def _scale(net: Network, quantity: str, unit: Any) -> jax.Array:
    """From p.u. and radians to a unit: (1,) or one for each element."""
    scale = SCALES[unit](net)
    by_bus = scale.shape[0] == net.n_bus and unit in ("kV", "kA")
    return scale[np.array(net.from_bus, int)] if by_bus and quantity.startswith("branch") else scale


@jax.jit
def _values(net: Network, grid: GridState) -> dict[str, dict[str, jax.Array]]:
    d = jnp.stack([grid.v.real - 1, grid.v.imag])
    at = Point(settled(net, grid.settings), grid, d, jnp.zeros(0, net.dtype))
    found = {}
    for name in _names(net):
        value = QUANTITIES[name].value(at)
        found[name] = {unit: value * _scale(net, name, unit) for unit in _units(name)}
    return found


@dataclasses.dataclass(frozen=True)
class Simulator(SimulatorNames):
    """The simulator of gym-anm as its users read it.

    kA, and the bounds that gym-anm has wrong, are right here, see ``anmjax.envs.observation``.
    """

    delta_t: float  # h, length of a step
    lamb: float  # weight of violated limits in the reward
    grid: GridState | None = None  # of one lane; None before the first reset

    @property
    def pfe_converged(self) -> bool | None:
        """Whether the last power flow had a solution."""
        return None if self.grid is None else bool(self.grid.converged)

    @property
    def state(self) -> dict[str, dict[str, ById]] | None:
        """Values as ``state[quantity][unit][id]``; after a collapse 0, with voltages of 1 p.u."""
        if self.grid is None:
            return None
        values = jax.device_get(_values(self.network, self.grid))
        return {
            name: {
                unit: dict(zip(self._ids(name), array.tolist(), strict=True)) for unit, array in units.items()
            }
            for name, units in values.items()
        }

    @property
    def state_bounds(self) -> dict[str, dict[Any, dict[str, tuple[float, float]]]]:
        """Least and largest value as ``state_bounds[quantity][id][unit]``."""
        found: dict[str, dict[Any, dict[str, tuple[float, float]]]] = {}
        for name in _names(self.network):
            found[name] = {element: {} for element in self._ids(name)}
            sides = QUANTITIES[name].limits(self.network, np.zeros((0, 2)))
            for unit in _units(name):
                scale = np.asarray(_scale(self.network, name, unit))
                low, high = (np.asarray(side) * scale for side in sides)
                for element, *pair in zip(self._ids(name), low.tolist(), high.tolist(), strict=True):
                    found[name][element][unit] = (pair[0], pair[1])
        return found

    def get_action_space(self) -> tuple[ById, ById, ById, ById]:
        """(low, high) by device id: P (MW) and Q (MVAr) of the generators, P and Q of the storage units."""
        bounds, net = self.state_bounds, self.network
        generators, storage = ([net.device_ids[i] for i in kind] for kind in (net.generators, net.storage))
        p, q = bounds["dev_p"], bounds["dev_q"]
        return (
            {i: p[i]["MW"] for i in generators},
            {i: q[i]["MVAr"] for i in generators},
            {i: p[i]["MW"] for i in storage},
            {i: q[i]["MVAr"] for i in storage},
        )

    def get_rendering_specs(self) -> dict[str, dict[Any, Any]]:
        """What the grid should be kept within: ``state_bounds`` with limits of voltages and branches."""
        net, bounds = self.network, self.state_bounds
        v_min, v_max, base_kv = (np.asarray(x).tolist() for x in (net.v_min, net.v_max, net.base_kv))
        rating, base_mva = np.asarray(net.rating).tolist(), float(net.base_mva)
        return {
            **{name: bounds[name] for name in ("bus_p", "bus_q", "dev_p", "dev_q", "des_soc")},
            "bus_v": {
                bus: {"pu": (low, high), "kV": (low * kv, high * kv)}
                for bus, low, high, kv in zip(net.bus_ids, v_min, v_max, base_kv, strict=True)
            },
            "dev_type": dict(zip(net.device_ids, net.device_kind, strict=True)),
            "branch_s": {
                branch: {"MVA": (0, rate * base_mva), "pu": (0, rate)}
                for branch, rate in zip(self._ids("branch_s"), rating, strict=True)
            },
        }

    def _ids(self, quantity: str) -> list[Any]:
        return QUANTITIES[quantity].elements(self.network, 0)
