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
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.records import GridState
from anmjax.grid.network import Network
from anmjax.powerflow import phasor
from anmjax.powerflow.power_flow import branch_flows

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
    if isinstance(ids, str):
        if ids != "all":
            raise ObservationError(f"{quantity}: ids are a list or 'all', not {ids!r}")
        return Observed(quantity, tuple(range(len(known))), unit)
    rows = []
    for element in ids:
        name = tuple(element) if isinstance(element, Sequence) else element
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


def observe(entries: tuple[Observed, ...], net: Network, grid: GridState, aux: jax.Array) -> jax.Array:
    """Values of the entries at an operating point, (n_obs,)."""
    parts = []
    for quantity, rows, unit in entries:
        value = _value(quantity, net, grid, aux)
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


def _value(quantity: str, net: Network, grid: GridState, aux: jax.Array) -> jax.Array:
    buses, slack = np.array(net.device_bus), net.slack
    if quantity in ("bus_p", "bus_q"):
        x = grid.p if quantity == "bus_p" else grid.q
        # The slack device carries the whole injection of its bus, see ``transition.advance``.
        total = jnp.zeros(net.n_bus, x.dtype).at[buses].add(x)
        return total.at[slack].set(x[net.slack_device])
    if quantity in ("bus_v_magn", "bus_v_ang"):
        return _magnitude(grid.v) if quantity == "bus_v_magn" else jnp.angle(grid.v)
    direct = {"dev_p": grid.p, "dev_q": grid.q, "des_soc": grid.soc, "gen_p_max": grid.p_potential}
    direct["aux"] = aux
    if quantity in direct:
        return direct[quantity]
    flows = branch_flows(net, grid.v)
    f, t = np.array(net.from_bus), np.array(net.to_bus)
    i_from, i_to = jnp.conj(flows.s_from / grid.v[f]), jnp.conj(flows.s_to / grid.v[t])
    if quantity in ("bus_i_magn", "bus_i_ang"):
        i = jnp.zeros(net.n_bus, grid.v.dtype).at[f].add(i_from).at[t].add(i_to)
        return _magnitude(i) if quantity == "bus_i_magn" else jnp.angle(i)
    if quantity in ("branch_p", "branch_q"):
        return flows.s_from.real if quantity == "branch_p" else flows.s_from.imag
    if quantity == "branch_s":
        larger = jnp.maximum(_magnitude(flows.s_from), _magnitude(flows.s_to))
        return jnp.sign(flows.s_from.real) * larger
    return jnp.sign(i_from.real) * _magnitude(i_from) if quantity == "branch_i_magn" else jnp.angle(i_from)


def _magnitude(z: jax.Array) -> jax.Array:
    return phasor.magnitude(jnp.stack([z.real, z.imag]))


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
