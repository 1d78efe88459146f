"""Safety layer: the action nearest to the one asked for that keeps voltages and branch flows within limits.

    minimise    |a - a0|^2 + cost (sum of the violations of the linearised limits)
    subject to  the (P, Q) of every device in its region, and the limits of ``network_limits``,

a and a0 in p.u. Limits of the network are soft, so that there is always an answer: a violation costs so much
that none is left where the linearised limits can be met.

Reference: Dalal et al., "Safe Exploration in Continuous Action Spaces", arXiv:1801.08757 (2018).
"""

from __future__ import annotations

import functools
import numbers
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.grid.network import Network
from anmjax.lanes.empty import made_here
from anmjax.lanes.kernels import evaluated
from anmjax.lanes.varying import as_varying, tangents_of
from anmjax.projection.control_layout import ControlLayout
from anmjax.projection.controls import Reach, as_action, reach, set_points
from anmjax.projection.device_region import project_to_device_region, region_inequalities
from anmjax.projection.network_limits import Limited, deviations, inscribed, limit_rows, limited
from anmjax.projection.settings import reachable_settings, settled
from anmjax.qp.solve_qp import solve_qp

# p.u. squared distance a p.u. of violation.
DEFAULT_VIOLATION_COST = 100.0
# Linearisations, and margins in p.u. and as a share of the rating. Through random days of ANM6Easy-v0 the AC
# power flow puts 15 % of the actions that the layer finds limits in reach for beyond one after one
# linearisation, 0.4 % after two and 0.5 % after three; after a step far beyond the limits 2.4 % and 0.4 %.
DEFAULT_NUM_LINEARISATIONS = 2
DEFAULT_VOLTAGE_MARGIN, DEFAULT_FLOW_MARGIN = 2e-3, 5e-3
# Steps of the interior point method: with 12 the mean distance that actions are moved is 0.2 % less.
DEFAULT_NUM_ITERS = 10
POLYGON = inscribed(-75, -45, -15, 15, 45, 75)


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
      action: (n_action,) MW and MVAr, as for ``env.step``: P of the non-slack generators, Q of them, P of the
        storage units, Q of them; what it asks of flexible loads and sets of the network stays.
      delta_t: h, length of the step, for what storage can take and give.
      p_load: (n_load,) p.u., P of the loads over the next step; None: as at present.
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
    net = jax.tree.map(jnp.asarray, made_here(network, grid, action))
    wanted = set_points(net, action)
    asked, settings = jnp.concatenate([wanted.p, wanted.q]), wanted.settings
    if settings is not None:
        settings = reachable_settings(net, settings)
        net = settled(net, settings)
    generators, loads = np.array(net.generators, int), np.array(net.loads, int)
    for name, given, n in (("p_load", p_load, len(loads)), ("p_potential", p_potential, len(generators))):
        if given is not None and jnp.shape(given) != (n,):
            raise ValueError(f"{name} has shape {jnp.shape(given)}, expected ({n},)")
    if not isinstance(num_linearisations, numbers.Integral) or num_linearisations < 0:
        raise ValueError(
            f"num_linearisations is {num_linearisations!r}, expected a whole number, not negative"
        )
    controlled = ControlLayout.of(net).devices
    present = jnp.concatenate([grid.p[controlled], grid.q[controlled]])
    now = grid.p[loads]
    ahead = now if p_load is None else jnp.clip(p_load, net.p_min[loads], net.p_max[loads])
    potential = grid.p_potential if p_potential is None else p_potential
    potential = jnp.clip(potential, net.p_min[generators], net.p_max[generators])
    devices = reach(net, grid.soc, potential, delta_t=delta_t)
    # What is asked for is in every part of the answer.
    options = voltage_margin, flow_margin, violation_cost, smoothing
    asked = as_varying(asked, (net, grid, ahead, potential, options))

    region, bound = _device_limits(devices)
    eye = jnp.eye(len(asked), dtype=net.dtype)
    own_limits = functools.partial(limit_rows, polygon=POLYGON)

    def closer(k: jax.Array, found: _Found) -> _Found:
        """The answer of one more linearisation."""
        at, load = (jnp.where(k == 0, x, y) for x, y in ((present, found.a), (now, ahead)))
        near, slope = _linearise(net, at, load, found.a, ahead)
        rows, room = evaluated(own_limits)(net, near, slope, voltage_margin, net.rating * (1 - flow_margin))
        room = room + rows @ (found.a - asked)
        if not len(asked):  # nothing to control: nothing to solve
            return found._replace(violation=jnp.maximum(-room, 0).sum())
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

    none_yet = as_varying((jnp.zeros((), net.dtype), jnp.array(True)), asked)
    begin = _Found(_onto_devices(devices, asked), *none_yet)
    safe, violation, converged = jax.lax.fori_loop(0, num_linearisations, closer, begin)
    return SafeProjection(
        action=as_action(net, *jnp.split(safe, 2), wanted.p_flexible, settings),
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
    return region.reshape(bound.size, region.shape[-1]), bound.reshape(-1)


def _linearise(
    net: Network, at: jax.Array, load_at: jax.Array, to: jax.Array, load_to: jax.Array
) -> tuple[Limited, Limited]:
    """Limited quantities at the action and the loads ``to``, and slopes, by derivatives at those ``at``."""

    def solved(a: jax.Array, load: jax.Array) -> Limited:
        return limited(net, deviations(net, a, load)[0])

    here, push = jax.linearize(solved, at, load_at)
    each = jnp.eye(len(at), dtype=at.dtype), jnp.zeros((len(at), len(load_at)), at.dtype)
    slope = jax.vmap(push, out_axes=-1)(*tangents_of((at, load_at), each))
    return jax.tree.map(jnp.add, here, push(to - at, load_to - load_at)), slope
