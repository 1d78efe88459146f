"""The network's limits near an operating point, linear in what the controlled devices do.

    v_min <= |V| + d|V|/da (a - a*) <= v_max,
    u'(S + dS/da (a - a*)) <= h rating  for some unit vectors u around the direction of S,

a the P and Q of the controlled devices in p.u., a* the point of linearisation, S the (P, Q) that enters a
branch at the end where it is larger. The derivatives are those of the AC power flow at a*, exact. S is
linearised and not |S|, whose slope turns with S: a polygon inscribed in the circle |S| = rating takes its
place. Arrays are ``[component, *batch]``, see ``anmjax.lanes.trailing``.

Reference: Molzahn & Hiskens, "A Survey of Relaxations and Approximations of the Power Flow Equations",
Foundations and Trends in Electric Energy Systems 4 (2019), sec. 5, for power flow linearised at a point.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.gather import take
from anmjax.lanes.kernels import evaluated
from anmjax.lanes.varying import tangents_of
from anmjax.powerflow.branches import at_ends, branch_powers, end_powers
from anmjax.powerflow.equations import voltage
from anmjax.powerflow.power_flow import DEFAULT_NUM_ITERS, DEFAULT_TOL, solve_voltages
from anmjax.projection.controls import by_device, injected


class Polygon(NamedTuple):
    """Sides of a polygon inscribed in a circle of radius one, those around the direction of S."""

    normals: np.ndarray  # (k,) rad, from the direction of S to the normal of each side
    distances: np.ndarray  # (k,) of each side from the centre


def inscribed(*vertices: float) -> Polygon:
    """The polygon with vertices at the given angles from the direction of S, deg, ascending."""
    angles = np.deg2rad(vertices)
    return Polygon((angles[1:] + angles[:-1]) / 2, np.cos(np.diff(angles) / 2))


class Limited(NamedTuple):
    """The quantities that the network limits, or their derivatives: those by ``a`` along a further axis."""

    vm: jax.Array  # (n_bus - 1, (2 n_controlled,) *batch) p.u., |V| but the slack's
    # (2, n_branch, (2 n_controlled,) *batch) p.u., (P, Q) into the end of each branch where it is larger
    s: jax.Array


def deviations(net: Network, a: jax.Array, p_load: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Voltages of the AC power flow.

    Args:
      net: network.
      a: (2 n_controlled, *batch) p.u., P and then Q of the controlled devices.
      p_load: (n_load, *batch) p.u., active power of the loads.

    Returns:
      (2, n_bus, *batch) p.u., V - 1 in the first slack's frame, that of the flat start where there is no
      solution; whether there is one, (*batch).
    """
    p, q = jnp.split(a, 2)
    q_load = p_load * take(net.qp_ratio, np.array(net.loads, int))
    of_devices = (by_device(net, *x) for x in ((p_load, p), (q_load, q)))
    at_buses = phasor.unstack(injected(net, *of_devices))
    options: dict[str, Any] = {"num_iters": DEFAULT_NUM_ITERS, "tol": DEFAULT_TOL, "pv": net.pv}
    solved = solve_voltages(net, *at_buses, base=phasor.stack(net.p, net.q), **options)
    return solved.d, solved.converged


def limited(net: Network, d: jax.Array) -> Limited:
    """What the network limits, of voltages V - 1, (2, n_bus, *batch) p.u."""
    s_from, s_to = branch_powers(net, d)
    larger = phasor.magnitude(s_from) >= phasor.magnitude(s_to)
    vm = phasor.magnitude(voltage(d))
    return Limited(take(vm, buses_but_the_slack(net)), jnp.where(larger[None], s_from, s_to))


def limited_slopes(net: Network, d: jax.Array, slope: jax.Array) -> Limited:
    """How what the network limits follows the voltages.

    Args:
      net: network.
      d: (2, n_bus, *batch) p.u., V - 1.
      slope: (2, n_bus, c, *batch), derivatives of them.
    """
    v = voltage(d)
    ahead = v / jnp.maximum(phasor.magnitude(v), jnp.finfo(v.dtype).tiny)[None]
    vm = functools.reduce(jnp.add, phasor.unstack(jnp.expand_dims(ahead, 2) * slope))
    parts = [part for end in at_ends(net, slope) for part in phasor.unstack(end)]
    by_part = evaluated(functools.partial(_flow_slopes, net))(d)
    s = sum(jnp.expand_dims(x, 2) * part[None] for x, part in zip(by_part, parts, strict=True))
    return Limited(take(vm, buses_but_the_slack(net)), jnp.asarray(s))


def _flow_slopes(net: Network, d: jax.Array) -> list[jax.Array]:
    """How the flow in a branch follows the four numbers that it depends on, each (2, n_branch, *batch).

    Real and imaginary part of the voltage at the end "from", then at the end "to".
    """
    ends = at_ends(net, d)
    larger = functools.reduce(jnp.greater_equal, map(phasor.magnitude, end_powers(net, *ends)))

    def flow(*ends: jax.Array) -> jax.Array:
        return jnp.where(larger[None], *end_powers(net, *ends))

    push = jax.linearize(flow, *ends)[1]
    units = (np.array(x, d.dtype).reshape(2, *[1] * (d.ndim - 1)) for x in ([1, 0], [0, 1]))
    one, other = (jnp.broadcast_to(x, ends[0].shape) for x in units)
    none = jnp.zeros_like(one)
    moves = (one, none), (other, none), (none, one), (none, other)
    return [push(*tangents_of(ends, move)) for move in moves]


class LimitRows(NamedTuple):
    """Which rows of ``limit_base`` the rows of the limits are made of: those of row i are of two of them.

    First the upper and the lower voltage limits by bus, then the polygon's sides, one after the other, by
    branch.
    """

    first: np.ndarray  # (m,)
    second: np.ndarray  # (m,)
    alpha: np.ndarray  # (m,) share of the first
    beta: np.ndarray  # (m,) share of the second

    @classmethod
    def of(cls, net: Network, polygon: Polygon) -> LimitRows:
        """The rows of a network's limits."""
        n_vm, n_branch, sides = net.n_bus - net.n_slack, len(net.from_bus), len(polygon.normals)
        bus, branch = np.arange(n_vm), np.tile(np.arange(n_branch), sides)
        one, none, angle = np.ones(n_vm), np.zeros(n_vm), np.repeat(polygon.normals, n_branch)
        return cls(
            np.concatenate([bus, bus, n_vm + branch]),
            np.concatenate([bus, bus, n_vm + n_branch + branch]),
            np.concatenate([one, -one, np.cos(angle)]),
            np.concatenate([none, none, np.sin(angle)]),
        )


def limit_base(at: Limited, slope: Limited) -> jax.Array:
    """What the rows of the limits are made of, (n_bus - 1 + 2 n_branch, 2 n_controlled, *batch) p.u./p.u.

    Derivatives of the voltages and of the flows, these along S and then across it: u'dS/da of a unit vector
    u, turned from S by an angle, is cos along + sin across.
    """
    _, along, across = evaluated(by_direction)(at.s, slope.s)
    return jnp.concatenate([slope.vm, along, across])


def limit_room(
    net: Network,
    at: Limited,
    voltage_margin: float | jax.Array,
    rating: jax.Array,
    polygon: Polygon,
) -> jax.Array:
    """What the limits leave, (m, *batch) p.u., negative where exceeded; in the order of ``LimitRows``.

    Args:
      net: network.
      at: the limited quantities.
      voltage_margin: p.u., by which voltages are to stay away from their limits.
      rating: (n_branch, *batch) p.u., apparent power up to which branches are to be used.
      polygon: what takes the place of the circle of that size.
    """
    others = buses_but_the_slack(net)
    v_max, v_min = take(net.v_max, others) - voltage_margin, take(net.v_min, others) + voltage_margin
    size = phasor.magnitude(at.s)
    shape = -1, *[1] * size.ndim
    cos, distances = (
        jnp.asarray(x, size.dtype).reshape(shape) for x in (np.cos(polygon.normals), polygon.distances)
    )
    sides = distances * rating[None] - cos * size[None]
    return jnp.concatenate([v_max - at.vm, at.vm - v_min, sides.reshape(-1, *sides.shape[2:])])


def limit_rows(
    net: Network,
    at: Limited,
    slope: Limited,
    voltage_margin: float | jax.Array,
    rating: jax.Array,
    polygon: Polygon,
) -> tuple[jax.Array, jax.Array]:
    """The limits as rows on a change of the controlled devices' P and Q: ``rows @ change <= room``.

    Args:
      net: network.
      at: the limited quantities where the change is none.
      slope: their derivatives.
      voltage_margin: as of ``limit_room``; ``rating`` and ``polygon`` too.
      rating: (n_branch, *batch) p.u.
      polygon: for flows.

    Returns:
      (m, 2 n_controlled, *batch) p.u. per p.u., and (m, *batch) p.u.; see ``LimitRows``.
    """
    rows, base = LimitRows.of(net, polygon), limit_base(at, slope)
    shape = -1, *[1] * (base.ndim - 1)
    alpha, beta = (jnp.asarray(x, base.dtype).reshape(shape) for x in (rows.alpha, rows.beta))
    made = alpha * take(base, rows.first) + beta * take(base, rows.second)
    return made, limit_room(net, at, voltage_margin, rating, polygon)


def by_direction(s: jax.Array, s_slope: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """|S|, and the parts of dS/da, with a further axis after the branches', along S and across it."""
    size = phasor.magnitude(s)
    ahead = s / jnp.maximum(size, jnp.finfo(size.dtype).tiny)[None]
    return size, *phasor.unstack(phasor.multiply(jnp.expand_dims(phasor.conj(ahead), 2), s_slope))


def buses_but_the_slack(net: Network) -> np.ndarray:
    """The buses whose voltages are limited, in the order of ``Limited.vm``."""
    return np.delete(np.arange(net.n_bus), net.slacks)
