"""Safety layer: the action nearest to the one asked for that keeps voltages and branch flows within limits.

    minimise    |a - a0|^2 + cost (sum of the violations of the linearised limits)
    subject to  the (P, Q) of every device in its region,
                v_min <= |V| + d|V|/da (a - a*) <= v_max,
                u'(S + dS/da (a - a*)) <= cos(15 deg) rating  for five unit vectors u, 30 deg apart,

a and a0 in p.u., a* the point of linearisation, S the (P, Q) that enters a branch at the end where it is
larger. The derivatives are those of the AC power flow at a*, exact. S is linearised and not |S|, whose slope
turns with S: a polygon inscribed in the circle |S| = rating, around the direction of S, takes its place.
Limits of the network are soft, so that there is always an answer: a violation costs so much that none is left
where the linearised limits can be met.

Reference: Dalal et al., "Safe Exploration in Continuous Action Spaces", arXiv:1801.08757 (2018), for the
layer; Molzahn & Hiskens, "A Survey of Relaxations and Approximations of the Power Flow Equations",
Foundations and Trends in Electric Energy Systems 4 (2019), sec. 5, for power flow linearised at a point.
"""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.grid.network import Network
from anmjax.powerflow import phasor
from anmjax.powerflow.gather import evaluated
from anmjax.powerflow.power_flow import branch_powers, power_flow
from anmjax.projection.controls import (
    Reach,
    as_action,
    by_bus,
    by_device,
    controlled_devices,
    reach,
    set_points,
)
from anmjax.projection.device_region import project_to_device_region, region_inequalities
from anmjax.projection.qp import solve_qp

# p.u. squared distance a p.u. of violation.
DEFAULT_VIOLATION_COST = 100.0
# Linearisations, and margins in p.u. and as a share of the rating. Through random days of ANM6Easy-v0 the AC
# power flow puts 15 % of the actions that the layer finds limits in reach for beyond one after one
# linearisation, 0.4 % after two and 0.5 % after three; after a step far beyond the limits 2.4 % and 0.4 %.
DEFAULT_NUM_LINEARISATIONS = 2
DEFAULT_VOLTAGE_MARGIN, DEFAULT_FLOW_MARGIN = 2e-3, 5e-3
# Steps of the interior point method: with 12 the mean distance that actions are moved is 0.2 % less.
DEFAULT_NUM_ITERS = 10
# rad, from the direction of S to the normal of each side of the polygon.
NORMALS = np.deg2rad((-60, -30, 0, 30, 60))


@struct.dataclass
class SafeProjection:
    """Outcome of ``project_safe``."""

    action: jax.Array  # (n_action,) MW and MVAr, in the order of the action that was asked for
    distance: jax.Array  # () p.u., from the action that was asked for
    violation: jax.Array  # () p.u., by which the linearised limits are still exceeded, summed
    converged: jax.Array  # () bool, the quadratic program was solved to 1e-4


class _Found(NamedTuple):
    """The answer so far."""

    a: jax.Array  # (2 n_controlled,) p.u., P and then Q
    violation: jax.Array  # () p.u.
    converged: jax.Array  # () bool


class _Linearised(NamedTuple):
    """The limited quantities near an action."""

    vm: jax.Array  # (n_bus - 1,) p.u., |V| but the slack's
    s: jax.Array  # (2, n_branch) p.u., (P, Q) into the end of each branch where it is larger
    vm_slope: jax.Array  # (n_bus - 1, 2 n_controlled)
    s_slope: jax.Array  # (2, n_branch, 2 n_controlled)


def project_safe(
    network: Network,
    grid: Any,
    action: jax.Array,
    *,
    delta_t: float,
    p_load: jax.Array | None = None,
    p_potential: jax.Array | None = None,
    voltage_margin: float | jax.Array = DEFAULT_VOLTAGE_MARGIN,
    flow_margin: float | jax.Array = DEFAULT_FLOW_MARGIN,
    violation_cost: float | jax.Array = DEFAULT_VIOLATION_COST,
    num_linearisations: int = DEFAULT_NUM_LINEARISATIONS,
    num_iters: int = DEFAULT_NUM_ITERS,
    smoothing: float | jax.Array = 0.0,
) -> SafeProjection:
    """Moves an action to the nearest one within the limits of devices and network.

    Args:
      network: network.
      grid: present operating point, a ``GridState``.
      action: (n_action,) MW and MVAr, as for ``env.step``: P of the non-slack generators, their Q, P of the
        storage units, their Q.
      delta_t: h, length of the step, for what storage can take and give.
      p_load: (n_load,) p.u., demand over the next step; None: as at present.
      p_potential: (n_generator,) p.u., P that the generators could give then; None: as at present.
      voltage_margin: p.u., by which voltages stay away from their limits.
      flow_margin: share of the rating that branches keep free.
      violation_cost: p.u. squared distance that a p.u. of violation costs.
      num_linearisations: the first is at the present operating point, each other one at the AC power flow of
        the action found so far. Fewer are faster, and good enough for small moves.
      num_iters: steps of the interior point method for each.
      smoothing: of the derivatives, see ``solve_qp``.

    Returns:
      The action, which every device can follow, whether the network's limits can be met or not. Where the
      present operating point has no power flow, only the devices' limits are seen.

    Raises:
      ValueError: ``action``, ``p_load`` or ``p_potential`` has the wrong shape, or ``num_linearisations`` is
        no number of them.
    """
    net = jax.tree.map(jnp.asarray, network)
    asked = jnp.concatenate(set_points(net, action))
    generators, loads = np.array(net.generators, int), np.array(net.loads, int)
    for name, given, n in (("p_load", p_load, len(loads)), ("p_potential", p_potential, len(generators))):
        if given is not None and jnp.shape(given) != (n,):
            raise ValueError(f"{name} has shape {jnp.shape(given)}, expected ({n},)")
    if not isinstance(num_linearisations, numbers.Integral) or num_linearisations < 0:
        raise ValueError(
            f"num_linearisations is {num_linearisations!r}, expected a whole number, not negative"
        )
    present = jnp.concatenate([grid.p[controlled_devices(net)], grid.q[controlled_devices(net)]])
    now = grid.p[loads]
    ahead = now if p_load is None else jnp.clip(p_load, net.p_min[loads], net.p_max[loads])
    potential = grid.p_potential if p_potential is None else p_potential
    potential = jnp.clip(potential, net.p_min[generators], net.p_max[generators])
    devices = reach(net, grid.soc, potential, delta_t=delta_t)

    region, bound = _device_limits(devices)
    eye = jnp.eye(len(asked), dtype=net.dtype)

    def closer(k: jax.Array, found: _Found) -> _Found:
        """The answer of one more linearisation."""
        at, load = (jnp.where(k == 0, x, y) for x, y in ((present, found.a), (now, ahead)))
        near = _linearise(net, at, load, found.a, ahead)
        rows, room = evaluated(_network_limits)(net, near, voltage_margin, flow_margin)
        room = room + rows @ (found.a - asked)
        hard = jnp.full(len(region), jnp.inf, net.dtype)
        program = solve_qp(
            2 * eye,
            jnp.zeros_like(asked),
            G=jnp.concatenate([region, rows]),
            h=jnp.concatenate([bound - region @ asked, room]),
            violation_cost=jnp.concatenate([hard, jnp.full(len(rows), violation_cost, net.dtype)]),
            num_iters=num_iters,
            smoothing=smoothing,
            refinements=0,
            tol=1e-4,
        )
        # The rounding of the program, which regions without an interior feel, is taken back.
        a = _onto_devices(devices, asked + program.x)
        return _Found(a, jnp.maximum(rows @ (a - asked) - room, 0).sum(), program.converged)

    begin = _Found(_onto_devices(devices, asked), jnp.zeros((), net.dtype), jnp.array(True))
    safe, violation, converged = jax.lax.fori_loop(0, num_linearisations, closer, begin)
    return SafeProjection(
        action=as_action(net, *jnp.split(safe, 2)),
        distance=jnp.sqrt(((safe - asked) ** 2).sum()),
        violation=violation,
        converged=converged,
    )


def _onto_devices(devices: Reach, a: jax.Array) -> jax.Array:
    """The nearest point of the devices' regions, (2 n_controlled,) P and then Q."""
    p, q = jnp.split(a, 2)
    return jnp.concatenate(project_to_device_region(p, q, *devices))


def _device_limits(devices: Reach) -> tuple[jax.Array, jax.Array]:
    """The devices' regions as rows: ``region @ a <= bound``."""
    a_p, a_q, bound = region_inequalities(*devices)
    eye = jnp.eye(a_p.shape[1], dtype=a_p.dtype)[None]
    region = jnp.concatenate([a_p[..., None] * eye, a_q[..., None] * eye], -1)
    return region.reshape(-1, region.shape[-1]), bound.reshape(-1)


def _buses_but_the_slack(net: Network) -> np.ndarray:
    return np.delete(np.arange(net.n_bus), net.slack)


def _linearise(
    net: Network, at: jax.Array, load_at: jax.Array, to: jax.Array, load_to: jax.Array
) -> _Linearised:
    """Limited quantities at the action and the loads ``to`` by their derivatives at those ``at``."""
    n = len(at) // 2
    others = _buses_but_the_slack(net)
    qp_ratio = net.qp_ratio[np.array(net.loads, int)]

    def limited(a: jax.Array, load: jax.Array) -> tuple[jax.Array, jax.Array]:
        p = by_bus(net, by_device(net, load, a[:n]))
        q = by_bus(net, by_device(net, load * qp_ratio, a[n:]))
        v = power_flow(net, p, q).v
        v = jnp.stack([v.real, v.imag])
        s_from, s_to = branch_powers(net, v - jnp.array([1, 0], v.dtype)[:, None])
        larger = phasor.magnitude(s_from) >= phasor.magnitude(s_to)
        return phasor.magnitude(v)[others], jnp.where(larger[None], s_from, s_to)

    (vm, s), push = jax.linearize(limited, at, load_at)
    ways = jnp.eye(2 * n, dtype=at.dtype), jnp.zeros((2 * n, len(load_at)), at.dtype)
    vm_slope, s_slope = jax.vmap(push, out_axes=-1)(*ways)
    dvm, ds = push(to - at, load_to - load_at)
    return _Linearised(vm + dvm, s + ds, vm_slope, s_slope)


def _by_direction(s: jax.Array, s_slope: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """|S|, and the parts of dS/da along S and across it."""
    size = phasor.magnitude(s)
    ahead = s / jnp.maximum(size, jnp.finfo(size.dtype).tiny)[None]
    return size, *phasor.unstack(phasor.multiply(phasor.conj(ahead)[..., None], s_slope))


def _network_limits(
    net: Network, near: _Linearised, voltage_margin: float | jax.Array, flow_margin: float | jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The network's limits as rows on the change of the action: ``rows @ change <= room``."""
    others = _buses_but_the_slack(net)
    v_max, v_min = net.v_max[others] - voltage_margin, net.v_min[others] + voltage_margin
    # u'S and u'dS/da of a unit vector u, turned from S by an angle, are cos |S| and cos along + sin across.
    size, along, across = evaluated(_by_direction)(near.s, near.s_slope)
    cos, sin = (jnp.asarray(f(NORMALS), size.dtype)[:, None] for f in (np.cos, np.sin))
    sides = cos[..., None] * along[None] + sin[..., None] * across[None]
    inscribed = float(np.cos((NORMALS[1] - NORMALS[0]) / 2)) * net.rating * (1 - flow_margin)
    rows = [near.vm_slope, -near.vm_slope, sides.reshape(-1, sides.shape[-1])]
    room = [v_max - near.vm, near.vm - v_min, (inscribed[None] - cos * size[None]).reshape(-1)]
    return jnp.concatenate(rows), jnp.concatenate(room)
