"""The network's limits near an operating point, linear in what the controlled devices do.

    v_min <= |V| + d|V|/da (a - a*) <= v_max,
    u'(S + dS/da (a - a*)) <= h rating  for some unit vectors u around the direction of S,

a the P and Q of the controlled devices in p.u., a* the point of linearisation, S the (P, Q) that enters a
branch at the end where it is larger. The derivatives are those of the AC power flow at a*, exact. S is
linearised and not |S|, whose slope turns with S: a polygon inscribed in the circle |S| = rating takes its
place.

Reference: Molzahn & Hiskens, "A Survey of Relaxations and Approximations of the Power Flow Equations",
Foundations and Trends in Electric Energy Systems 4 (2019), sec. 5, for power flow linearised at a point.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.kernels import evaluated
from anmjax.powerflow.branches import branch_powers
from anmjax.powerflow.power_flow import power_flow
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
    """The quantities that the network limits, or how they change."""

    vm: jax.Array  # (n_bus - 1, ..) p.u., |V| but the slack's
    s: jax.Array  # (2, n_branch, ..) p.u., (P, Q) into the end of each branch where it is larger


def deviations(net: Network, a: jax.Array, p_load: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Voltages of the AC power flow of one lane.

    Args:
      net: network.
      a: (2 n_controlled,) p.u., P and then Q of the controlled devices.
      p_load: (n_load,) p.u., active power of the loads.

    Returns:
      (2, n_bus) p.u., V - 1, that of the flat start where there is no solution; whether there is one.
    """
    p, q = jnp.split(a, 2)
    q_load = p_load * net.qp_ratio[np.array(net.loads, int)]
    of_devices = (by_device(net, *x) for x in ((p_load, p), (q_load, q)))
    solved = power_flow(net, *injected(net, *of_devices))
    return jnp.stack([solved.v.real - 1, solved.v.imag]), solved.converged


def limited(net: Network, d: jax.Array) -> Limited:
    """What the network limits, of voltages V - 1, (2, n_bus) p.u."""
    s_from, s_to = branch_powers(net, d)
    larger = phasor.magnitude(s_from) >= phasor.magnitude(s_to)
    vm = phasor.magnitude(d + jnp.array([1, 0], d.dtype)[:, None])
    return Limited(vm[buses_but_the_slack(net)], jnp.where(larger[None], s_from, s_to))


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
      slope: their derivatives, with a last axis for the 2 n_controlled entries of the change.
      voltage_margin: p.u., by which voltages are to stay away from their limits.
      rating: (n_branch,) p.u., apparent power up to which branches are to be used.
      polygon: what takes the place of the circle of that size.

    Returns:
      (m, 2 n_controlled) p.u. per p.u., first the voltages', then the branches', and (m,) p.u.
    """
    others = buses_but_the_slack(net)
    v_max, v_min = net.v_max[others] - voltage_margin, net.v_min[others] + voltage_margin
    # u'S and u'dS/da of a unit vector u, turned from S by an angle, are cos |S| and cos along + sin across.
    size, along, across = evaluated(by_direction)(at.s, slope.s)
    cos, sin = (jnp.asarray(f(polygon.normals), size.dtype)[:, None] for f in (np.cos, np.sin))
    distances = jnp.asarray(polygon.distances, size.dtype)[:, None]
    sides = cos[..., None] * along[None] + sin[..., None] * across[None]
    room = [v_max - at.vm, at.vm - v_min, (distances * rating[None] - cos * size[None]).reshape(-1)]
    rows = [slope.vm, -slope.vm, sides.reshape(len(room[-1]), sides.shape[-1])]
    return jnp.concatenate(rows), jnp.concatenate(room)


def by_direction(s: jax.Array, s_slope: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """|S|, and the parts of dS/da, with a further last axis, along S and across it."""
    size = phasor.magnitude(s)
    ahead = s / jnp.maximum(size, jnp.finfo(size.dtype).tiny)[None]
    return size, *phasor.unstack(phasor.multiply(phasor.conj(ahead)[..., None], s_slope))


def buses_but_the_slack(net: Network) -> np.ndarray:
    """The buses whose voltages are limited, in the order of ``Limited.vm``."""
    return np.delete(np.arange(net.n_bus), net.slacks)
