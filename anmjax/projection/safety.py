"""Safety layer: the action nearest to the one asked for that keeps voltages and branch flows within limits.

    minimise    |a - a0|^2 + cost (sum of the violations of the linearised limits)
    subject to  the (P, Q) of every device in its region, and the limits of ``network_limits``,

a and a0 in p.u. Limits of the network are soft, so that there is always an answer: a violation costs so much
that none is left where the linearised limits can be met.

Reference: Dalal et al., "Safe Exploration in Continuous Action Spaces", arXiv:1801.08757 (2018).
"""

from __future__ import annotations

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.grid.network import Network
from anmjax.lanes.empty import made_here
from anmjax.projection.control_layout import ControlLayout
from anmjax.projection.controls import as_action, reach, set_points
from anmjax.projection.safe_lanes import Situation, safe_lanes
from anmjax.projection.settings import reachable_settings, settled

# p.u. squared distance a p.u. of violation.
DEFAULT_VIOLATION_COST = 100.0
# Linearisations, and margins in p.u. and as a share of the rating. Through random days of ANM6Easy-v0 the AC
# power flow puts 15 % of the actions that the layer finds limits in reach for beyond one after one
# linearisation, 0.4 % after two and 0.5 % after three; after a step far beyond the limits 2.4 % and 0.4 %.
DEFAULT_NUM_LINEARISATIONS = 2
DEFAULT_VOLTAGE_MARGIN, DEFAULT_FLOW_MARGIN = 2e-3, 5e-3
# Steps of the active set method, where most lanes need less than five and the slowest met 28.
DEFAULT_NUM_ITERS = 60


@struct.dataclass
class SafeProjection:
    """Outcome of ``project_safe``."""

    action: jax.Array  # (n_action,) MW and MVAr, in the order of the action that was asked for
    distance: jax.Array  # () p.u., from the action that was asked for
    violation: jax.Array  # () p.u., by which the linearised limits are still exceeded, summed
    converged: jax.Array  # () bool, the last quadratic program was solved


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

    An action that, moved to what the devices can do, keeps the limits by the AC power flow is left there.

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
      num_iters: steps of the active set method for each, at most.
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
    now = grid.p[loads]
    potential = grid.p_potential if p_potential is None else p_potential
    potential = jnp.clip(potential, net.p_min[generators], net.p_max[generators])
    smooth = None if isinstance(smoothing, numbers.Real) and smoothing == 0 else smoothing
    options = voltage_margin, flow_margin, violation_cost, smooth
    situation = Situation(
        asked,
        jnp.concatenate([grid.p[controlled], grid.q[controlled]]),
        now,
        now if p_load is None else jnp.clip(p_load, net.p_min[loads], net.p_max[loads]),
        reach(net, grid.soc, potential, delta_t=delta_t),
        *(None if x is None else jnp.asarray(x, net.dtype) for x in options),
    )
    found = safe_lanes(int(num_linearisations), int(num_iters))(net, situation)
    return SafeProjection(
        action=as_action(net, *jnp.split(found.a, 2), wanted.p_flexible, settings),
        distance=jnp.sqrt(((found.a - asked) ** 2).sum()),
        violation=found.violation,
        converged=found.converged,
    )
