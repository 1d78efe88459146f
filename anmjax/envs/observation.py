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
    flex_owed       MWh, pu       energy owed to a load that may wait, or to the car at a charger
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

from anmjax.envs.quantities import QUANTITIES, SCALES, Point
from anmjax.grid.network import Network


class Observed(NamedTuple):
    """One entry of an observation: a quantity, the rows of its elements and a unit."""

    quantity: str
    rows: tuple[int, ...]
    unit: str | None


STATE_QUANTITIES = ("dev_p", "dev_q", "des_soc", "gen_p_max", "flex_owed", "aux")


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
    if quantity not in QUANTITIES:
        near = difflib.get_close_matches(str(quantity), QUANTITIES, 1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        raise ObservationError(f"unknown quantity {quantity!r}{hint} (known: {', '.join(QUANTITIES)})")
    units = QUANTITIES[quantity].units
    if unit is None:
        unit = units[0]
    if unit not in units:
        raise ObservationError(f"{quantity} is not available in {unit!r}, only in {units}")
    known = QUANTITIES[quantity].elements(net, num_aux)
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


def _with_rows(entries: tuple[Observed, ...]) -> list[Observed]:
    """The entries with elements: what has none, a program is not to capture."""
    return [entry for entry in entries if entry.rows]


def observe(entries: tuple[Observed, ...], at: Point) -> jax.Array:
    """Values of the entries at an operating point, (n_obs,)."""
    parts = []
    for quantity, rows, unit in _with_rows(entries):
        value, scale = QUANTITIES[quantity].value(at), SCALES[unit](at.net)
        parts.append((value * scale)[np.array(rows, int)])
    return jnp.concatenate(parts) if parts else jnp.zeros(0, at.net.dtype)


def bounds(entries: tuple[Observed, ...], net: Network, aux_bounds: Any) -> tuple[jax.Array, jax.Array]:
    """Least and largest value of each observed quantity, both (n_obs,).

    Args:
      entries: what is observed.
      net: network.
      aux_bounds: (K, 2) least and largest value of each auxiliary variable.
    """
    low, high = [jnp.zeros(0, net.dtype)], [jnp.zeros(0, net.dtype)]
    for quantity, rows, unit in _with_rows(entries):
        scale = SCALES[unit](net)
        for side, limit in zip((low, high), QUANTITIES[quantity].limits(net, aux_bounds), strict=True):
            side.append((jnp.asarray(limit, net.dtype) * scale)[np.array(rows, int)])
    return jnp.concatenate(low), jnp.concatenate(high)
