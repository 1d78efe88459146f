"""Observation vectors: which electrical quantities, of which elements, in which units.

An observation is a list of (quantity, ids or "all"[, unit]). Quantities and units, the default first:

    bus_p           MW, pu        active power injected at a bus
    bus_q           MVAr, pu      reactive power injected at a bus
    bus_v_magn      pu, kV        voltage magnitude
    bus_v_ang       degree, rad   voltage angle
    bus_i_magn      pu, kA        magnitude of the current injected at a bus
    bus_i_ang       degree, rad   its angle
    dev_p           MW, pu        active power of a device
    dev_q           MVAr, pu      reactive power of a device
    des_soc         MWh, pu       state of charge of a storage unit
    gen_p_max       MW, pu        P that a non-slack generator could give
    branch_p        MW, pu        active power entering a branch at its from end
    branch_q        MVAr, pu      reactive power entering a branch at its from end
    branch_s        MVA, pu       apparent power, the larger of the two ends, signed as branch_p
    branch_i_magn   pu            magnitude of the current at the from end, signed as its real part
    branch_i_ang    degree, rad   its angle
    aux             (none)        auxiliary variable of the task, by index

A branch is named by (from bus id, to bus id), with a third number 0, 1, .. between parallel branches.

Three of gym-anm 2.0.1's bounds and units are wrong and right here: the upper bound of gen_p_max in MW
(it uses QMAX), kA (it leaves out the square root of 3), and a load's PMAX (not divided by baseMVA).

Reference: gym-anm documentation, "Observation space"; gym-anm 2.0.1, constants.py and simulator.py.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.records import GridState
from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.powerflow.branches import branch_currents, branch_powers
from anmjax.powerflow.equations import voltage

UNITS: dict[str, tuple[str | None, ...]] = {
    "bus_p": ("MW", "pu"),
    "bus_q": ("MVAr", "pu"),
    "bus_v_magn": ("pu", "kV"),
    "bus_v_ang": ("degree", "rad"),
    "bus_i_magn": ("pu", "kA"),
    "bus_i_ang": ("degree", "rad"),
    "dev_p": ("MW", "pu"),
    "dev_q": ("MVAr", "pu"),
    "des_soc": ("MWh", "pu"),
    "gen_p_max": ("MW", "pu"),
    "branch_p": ("MW", "pu"),
    "branch_q": ("MVAr", "pu"),
    "branch_s": ("MVA", "pu"),
    "branch_i_magn": ("pu",),
    "branch_i_ang": ("degree", "rad"),
    "aux": (None,),
}


class Observed(NamedTuple):
    """One entry of an observation: a quantity, the rows of its elements and a unit."""

    quantity: str
    rows: tuple[int, ...]
    unit: str | None


STATE_QUANTITIES = ("dev_p", "dev_q", "des_soc", "gen_p_max", "aux")


class ObservationError(ValueError):
    """An observation names something that does not exist."""


def parse_observation(observation: Sequence[Any], net: Network, num_aux: int) -> tuple[Observed, ...]:
    """Resolves ids to rows and fills in the default units.

    Args:
      observation: sequence of (quantity, ids or "all"[, unit]).
      net: network.
      num_aux: number of auxiliary variables of the task.

    Raises:
      ObservationError: naming the entry, what is wrong with it and what is allowed.
    """
    if isinstance(observation, str) or not isinstance(observation, Sequence):
        raise ObservationError(
            f"observation is {observation!r}, but must be 'state', a list of "
            "(quantity, ids or 'all'[, unit]) or a function of the state vector"
        )
    return tuple(_parse_entry(entry, net, num_aux) for entry in observation)


def _parse_entry(entry: Any, net: Network, num_aux: int) -> Observed:
    if isinstance(entry, str) or not isinstance(entry, Sequence) or len(entry) not in (2, 3):
        raise ObservationError(f"observation entry {entry!r} must be (quantity, ids or 'all'[, unit])")
    quantity, ids, unit = (*entry, None)[:3]
    if quantity not in UNITS:
        near = difflib.get_close_matches(str(quantity), UNITS, 1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise ObservationError(f"unknown quantity {quantity!r}{hint} (known: {', '.join(UNITS)})")
    if unit is None:
        unit = UNITS[quantity][0]
    if unit not in UNITS[quantity]:
        raise ObservationError(f"{quantity} is not available in {unit!r}, only in {UNITS[quantity]}")
    known = _element_ids(quantity, net, num_aux)
    if isinstance(ids, str) and ids == "all":
        return Observed(quantity, tuple(range(len(known))), unit)
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise ObservationError(f"{quantity}: ids are a list or 'all', not {ids!r}")
    rows = []
    for element in ids:
        name = tuple(element) if isinstance(element, (list, tuple, np.ndarray)) else element
        if name not in known:
            raise ObservationError(f"{quantity}: no element {name!r} (known: {known})")
        rows.append(known.index(name))
    return Observed(quantity, tuple(rows), unit)


def _element_ids(quantity: str, net: Network, num_aux: int) -> list[Any]:
    if quantity == "aux":
        return list(range(num_aux))
    if quantity == "des_soc":
        return [net.device_ids[i] for i in net.storage]
    if quantity == "gen_p_max":
        return [net.device_ids[i] for i in net.generators]
    if quantity.startswith("dev_"):
        return list(net.device_ids)
    if quantity.startswith("bus_"):
        return list(net.bus_ids)
    ends = [(net.bus_ids[f], net.bus_ids[t]) for f, t in zip(net.from_bus, net.to_bus, strict=True)]
    return [pair if ends.count(pair) == 1 else (*pair, ends[:k].count(pair)) for k, pair in enumerate(ends)]


def observe(
    entries: tuple[Observed, ...], net: Network, grid: GridState, d: jax.Array, aux: jax.Array
) -> jax.Array:
    """Values of the entries at an operating point, (n_obs,).

    Args:
      entries: what is observed.
      net: network.
      grid: operating point.
      d: (2, n_bus) its voltage deviations V - 1: in float32 the currents of short branches would be lost
        in the rounding of the voltages themselves.
      aux: (K,) auxiliary variables.
    """
    parts = []
    for quantity, rows, unit in entries:
        value = _value(quantity, net, grid, d, aux)
        scale = _unit_scale(quantity, unit, net)
        parts.append((value * scale)[np.array(rows, int)])
    return jnp.concatenate(parts) if parts else jnp.zeros(0, net.dtype)


def bounds(
    entries: tuple[Observed, ...], net: Network, aux_bounds: np.ndarray | None
) -> tuple[jax.Array, jax.Array]:
    """Least and largest value of each observed quantity, both (n_obs,)."""
    low, high = [jnp.zeros(0, net.dtype)], [jnp.zeros(0, net.dtype)]
    for quantity, rows, unit in entries:
        scale = _unit_scale(quantity, unit, net)
        for side, limit in zip((low, high), _limits(quantity, net, aux_bounds), strict=True):
            side.append((jnp.asarray(limit, net.dtype) * scale)[np.array(rows, int)])
    return jnp.concatenate(low), jnp.concatenate(high)


def _value(quantity: str, net: Network, grid: GridState, d: jax.Array, aux: jax.Array) -> jax.Array:
    direct = {"dev_p": grid.p, "dev_q": grid.q, "des_soc": grid.soc, "gen_p_max": grid.p_potential}
    direct["aux"] = aux
    if quantity in direct:
        return direct[quantity]
    if quantity in ("bus_p", "bus_q"):
        x = grid.p if quantity == "bus_p" else grid.q
        # The slack device carries the whole injection of its bus, see ``transition.advance``.
        total = jnp.zeros(net.n_bus, x.dtype).at[np.array(net.device_bus)].add(x)
        return total.at[net.slack].set(x[net.slack_device])
    if quantity.startswith("bus_v"):
        return _polar(voltage(d), quantity)
    i_from, i_to = branch_currents(net, d)
    if quantity.startswith("bus_i"):
        total = jnp.zeros_like(d)
        for ends, i in ((net.from_bus, i_from), (net.to_bus, i_to)):
            total = total.at[:, np.array(ends)].add(i)
        return _polar(total, quantity)
    if quantity == "branch_i_magn":
        return jnp.sign(i_from[0]) * phasor.magnitude(i_from)
    if quantity == "branch_i_ang":
        return _polar(i_from, quantity)
    s_from, s_to = branch_powers(net, d)
    if quantity == "branch_s":
        return jnp.sign(s_from[0]) * jnp.maximum(phasor.magnitude(s_from), phasor.magnitude(s_to))
    return s_from[0] if quantity == "branch_p" else s_from[1]


def _polar(x: jax.Array, quantity: str) -> jax.Array:
    return phasor.magnitude(x) if quantity.endswith("_magn") else jnp.arctan2(x[1], x[0])


def _unit_scale(quantity: str, unit: str | None, net: Network) -> jax.Array:
    """Factor from p.u. and radians to the unit: a scalar (1,) or one per bus."""
    if unit in ("MW", "MVAr", "MVA", "MWh"):
        return jnp.asarray(net.base_mva, net.dtype)[None]
    if unit == "kV":
        return jnp.asarray(net.base_kv, net.dtype)
    if unit == "kA":
        return jnp.asarray(net.base_mva / (np.sqrt(3) * net.base_kv), net.dtype)
    if unit == "degree":
        return jnp.full(1, 180 / np.pi, net.dtype)
    return jnp.ones(1, net.dtype)


def _limits(quantity: str, net: Network, aux_bounds: np.ndarray | None) -> tuple[Any, Any]:
    """Bounds in p.u. and radians, one per element."""
    if quantity in ("bus_p", "bus_q"):
        axis = quantity[-1]
        sides = (getattr(net, f"{axis}_min"), getattr(net, f"{axis}_max"))
        low, high = (jnp.zeros(net.n_bus, net.dtype).at[np.array(net.device_bus)].add(x) for x in sides)
        return low, high
    if quantity in ("dev_p", "dev_q"):
        axis = quantity[-1]
        return getattr(net, f"{axis}_min"), getattr(net, f"{axis}_max")
    if quantity == "des_soc":
        storage = np.array(net.storage, int)
        return net.soc_min[storage], net.soc_max[storage]
    if quantity == "gen_p_max":
        generators = np.array(net.generators, int)
        return net.p_min[generators], net.p_max[generators]
    if quantity == "aux":
        return (-np.inf, np.inf) if aux_bounds is None else (aux_bounds[:, 0], aux_bounds[:, 1])
    size = net.n_bus if quantity.startswith("bus_") else net.n_branch
    is_slack = np.arange(size) == (net.slack if quantity.startswith("bus_v") else -1)
    if quantity == "bus_v_magn":
        return np.where(is_slack, 1.0, -np.inf), np.where(is_slack, 1.0, np.inf)
    if quantity.endswith("_ang"):
        widest = np.where(is_slack, 0.0, np.pi)
        return -widest, widest
    return np.full(size, -np.inf), np.full(size, np.inf)
