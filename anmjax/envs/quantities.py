"""The quantities that can be observed: one table, name by name.

Values and limits are in p.u. and radians; ``SCALES`` turns them into the units of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.records import GridState
from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.powerflow.branches import branch_currents, branch_powers
from anmjax.powerflow.equations import voltage


class Point(NamedTuple):
    """An operating point of one lane, as it is observed."""

    net: Network
    grid: GridState
    # (2, n_bus) p.u., voltage deviations V - 1: in float32 the currents of short branches would be lost in
    # the rounding of the voltages themselves.
    d: jax.Array
    aux: jax.Array  # (K,) auxiliary variables


class Quantity(NamedTuple):
    """A quantity that can be observed."""

    units: tuple[str | None, ...]  # the default first
    elements: Callable[[Network, int], list[Any]]  # of a network and K: what each entry is called
    value: Callable[[Point], jax.Array]  # (n_element,)
    # Of a network and (K, 2) bounds of the auxiliary variables: least and largest value, (n_element,) each.
    limits: Callable[[Network, Any], tuple[Any, Any]]


def _branches(net: Network, _: int) -> list[tuple[int, ...]]:
    ends = [(net.bus_ids[f], net.bus_ids[t]) for f, t in zip(net.from_bus, net.to_bus, strict=True)]
    return [pair if ends.count(pair) == 1 else (*pair, ends[:k].count(pair)) for k, pair in enumerate(ends)]


def _buses(net: Network, _: int) -> list[int]:
    return list(net.bus_ids)


def _devices(net: Network, _: int) -> list[int]:
    return list(net.device_ids)


def _storage(net: Network, _: int) -> list[int]:
    return [net.device_ids[i] for i in net.storage]


def _flexible(net: Network, _: int) -> list[int]:
    return [net.device_ids[i] for i in net.flexible]


def _owed(net: Any) -> tuple[Any, Any]:
    """Least and largest energy owed to loads that may wait."""
    most = np.zeros(0) if net.flexibility is None else net.flexibility.most_owed
    return jnp.zeros_like(most), most


def _generators(net: Network, _: int) -> list[int]:
    return [net.device_ids[i] for i in net.generators]


def _at_buses(net: Network, of_devices: jax.Array, fixed: jax.Array | None) -> jax.Array:
    """Sums over the devices at every bus, and what is fixed there."""
    start = jnp.zeros(net.n_bus, net.dtype) if fixed is None else jnp.asarray(fixed)
    return start.at[np.array(net.device_bus)].add(of_devices)


def _injected(at: Point, of_devices: jax.Array, fixed: jax.Array | None) -> jax.Array:
    # The slack device carries the whole injection of its bus, see ``transition.advance``.
    return _at_buses(at.net, of_devices, fixed).at[at.net.slack].set(of_devices[at.net.slack_device])


def _bus_current(at: Point) -> jax.Array:
    """What the branches draw from every bus, (2, n_bus)."""
    total = jnp.zeros_like(at.d)
    for ends, i in zip((at.net.from_bus, at.net.to_bus), branch_currents(at.net, at.d), strict=True):
        total = total.at[:, np.array(ends)].add(i)
    return total


def _branch_current(at: Point) -> jax.Array:
    """What enters every branch at its from end, (2, n_branch)."""
    return branch_currents(at.net, at.d)[0]


def _apparent(at: Point) -> jax.Array:
    s_from, s_to = branch_powers(at.net, at.d)
    return _signed(s_from, jnp.maximum(phasor.magnitude(s_from), phasor.magnitude(s_to)))


def _signed(x: jax.Array, size: jax.Array) -> jax.Array:
    """A size with the sign of a real part: which way it flows."""
    return jnp.sign(x[0]) * size


def _angle(x: jax.Array) -> jax.Array:
    return jnp.arctan2(x[1], x[0])


def _free(size: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(size, -np.inf), np.full(size, np.inf)


def _half_turn(size: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(size, -np.pi), np.full(size, np.pi)


def _but_at_slack(limits: tuple[np.ndarray, np.ndarray], net: Network, held: float) -> tuple[Any, Any]:
    """Limits of the buses, but those of the slack: its voltage is given."""
    is_slack = np.arange(net.n_bus) == net.slack
    return np.where(is_slack, held, limits[0]), np.where(is_slack, held, limits[1])


def _of(net: Network, positions: tuple[int, ...], *names: str) -> tuple[Any, Any]:
    """Two fields of a network, of the devices at the given positions."""
    rows = np.array(positions, int)
    low, high = (getattr(net, name)[rows] for name in names)
    return low, high


QUANTITIES: dict[str, Quantity] = {
    "bus_p": Quantity(
        ("MW", "pu"),
        _buses,
        lambda at: _injected(at, at.grid.p, at.net.p_fixed),
        lambda net, _: (_at_buses(net, net.p_min, net.p_fixed), _at_buses(net, net.p_max, net.p_fixed)),
    ),
    "bus_q": Quantity(
        ("MVAr", "pu"),
        _buses,
        lambda at: _injected(at, at.grid.q, at.net.q_fixed),
        lambda net, _: (_at_buses(net, net.q_min, net.q_fixed), _at_buses(net, net.q_max, net.q_fixed)),
    ),
    "bus_v_magn": Quantity(
        ("pu", "kV"),
        _buses,
        lambda at: phasor.magnitude(voltage(at.d)),
        lambda net, _: _but_at_slack(_free(net.n_bus), net, 1.0),
    ),
    "bus_v_ang": Quantity(
        ("degree", "rad"),
        _buses,
        lambda at: _angle(voltage(at.d)),
        lambda net, _: _but_at_slack(_half_turn(net.n_bus), net, 0.0),
    ),
    "bus_i_magn": Quantity(
        ("pu", "kA"),
        _buses,
        lambda at: phasor.magnitude(_bus_current(at)),
        lambda net, _: _free(net.n_bus),
    ),
    "bus_i_ang": Quantity(
        ("degree", "rad"), _buses, lambda at: _angle(_bus_current(at)), lambda net, _: _half_turn(net.n_bus)
    ),
    "dev_p": Quantity(("MW", "pu"), _devices, lambda at: at.grid.p, lambda net, _: (net.p_min, net.p_max)),
    "dev_q": Quantity(("MVAr", "pu"), _devices, lambda at: at.grid.q, lambda net, _: (net.q_min, net.q_max)),
    "des_soc": Quantity(
        ("MWh", "pu"),
        _storage,
        lambda at: at.grid.soc,
        lambda net, _: _of(net, net.storage, "soc_min", "soc_max"),
    ),
    "flex_owed": Quantity(
        ("MWh", "pu"),
        _flexible,
        lambda at: jnp.zeros(0, at.net.dtype) if at.grid.owed is None else at.grid.owed,
        lambda net, _: _owed(net),
    ),
    "gen_p_max": Quantity(
        ("MW", "pu"),
        _generators,
        lambda at: at.grid.p_potential,
        lambda net, _: _of(net, net.generators, "p_min", "p_max"),
    ),
    "branch_p": Quantity(
        ("MW", "pu"),
        _branches,
        lambda at: branch_powers(at.net, at.d)[0][0],
        lambda net, _: _free(net.n_branch),
    ),
    "branch_q": Quantity(
        ("MVAr", "pu"),
        _branches,
        lambda at: branch_powers(at.net, at.d)[0][1],
        lambda net, _: _free(net.n_branch),
    ),
    "branch_s": Quantity(("MVA", "pu"), _branches, _apparent, lambda net, _: _free(net.n_branch)),
    "branch_i_magn": Quantity(
        ("pu",),
        _branches,
        lambda at: _signed(i := _branch_current(at), phasor.magnitude(i)),
        lambda net, _: _free(net.n_branch),
    ),
    "branch_i_ang": Quantity(
        ("degree", "rad"),
        _branches,
        lambda at: _angle(_branch_current(at)),
        lambda net, _: _half_turn(net.n_branch),
    ),
    "aux": Quantity(
        (None,),
        lambda net, num_aux: list(range(num_aux)),
        lambda at: at.aux,
        lambda net, bounds: (bounds[:, 0], bounds[:, 1]),
    ),
}

# From p.u. and radians to a unit: a factor for all elements, (1,), or one for each bus.
SCALES: dict[str | None, Callable[[Network], jax.Array]] = {
    **dict.fromkeys(("MW", "MVAr", "MVA", "MWh"), lambda net: jnp.asarray(net.base_mva, net.dtype)[None]),
    "kV": lambda net: jnp.asarray(net.base_kv, net.dtype),
    "kA": lambda net: jnp.asarray(net.base_mva / (np.sqrt(3) * net.base_kv), net.dtype),
    "degree": lambda net: jnp.full(1, 180 / np.pi, net.dtype),
    **dict.fromkeys(("pu", "rad", None), lambda net: jnp.ones(1, net.dtype)),
}
