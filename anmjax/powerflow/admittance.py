"""Branch model: the pi equivalent with an ideal transformer at the from side.

With series admittance y = 1/(r + jx), shunt y_sh = (g + jb)/2 at each end and ratio t = tap e^(j shift):

    I_from = (y + y_sh) V_f / |t|^2 - y V_t / conj(t)
    I_to   = (y + y_sh) V_t         - y V_f / t

A branch that differs from end to end (``BranchAsymmetry``) has a y and a y_sh for each of the two currents.
Every admittance scales with ``in_service``, so that a branch can be switched under ``jax.vmap``.
Complex quantities are phasors ``[2, component, *batch]``.

Reference: Zimmerman & Murillo-Sanchez, *MATPOWER User's Manual*, sec. 3.2.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from anmjax.grid.asymmetry import BranchAsymmetry
from anmjax.lanes import phasor
from anmjax.lanes.gather import gather_sum, take
from anmjax.powerflow.elimination.plan import SolverPlan


class BranchParameters(NamedTuple):
    """Branch data, each (n_branch, *batch)."""

    r: jax.Array  # p.u., series resistance
    x: jax.Array  # p.u., series reactance
    g: jax.Array  # p.u., total shunt conductance
    b: jax.Array  # p.u., total charging susceptance
    tap: jax.Array  # ratio magnitude at the from side
    shift: jax.Array  # rad, ratio angle at the from side
    in_service: jax.Array  # 1 in service, 0 switched off
    asymmetry: BranchAsymmetry | None = None  # what the to end has more of; None: nothing


class TwoPort(NamedTuple):
    """Two-port admittances of each branch, each (2, n_branch, *batch) p.u.

    I_from = -transfer_from (V_f - V_t) + shunt_from V_f, and the same with from and to exchanged:
    what flows between the ends apart from what leaks to earth, so that neither loses its digits.
    """

    transfer_from: jax.Array  # -y / conj(t)
    transfer_to: jax.Array  # -y / t
    shunt_from: jax.Array  # (y + y_sh) / |t|^2 - y / conj(t)
    shunt_to: jax.Array  # y + y_sh - y / t


class Shunts(NamedTuple):
    """Bus shunts by bus index, each (n_bus, *batch)."""

    g: jax.Array  # p.u., conductance
    b: jax.Array  # p.u., susceptance


class Admittance(NamedTuple):
    """Bus admittance matrix, parallel branches summed, in the plan's numbering, p.u."""

    edge: jax.Array  # (2, n_edge, *batch) Y[tail, head]
    row: jax.Array  # (2, n_bus, *batch) sum of row i of Y: what bus i leaks to earth
    diagonal: jax.Array  # (2, n_bus, *batch) Y[i, i]


def two_port(branch: BranchParameters) -> TwoPort:
    """Admittances of each branch from its parameters."""
    leaves, treedef = jax.tree.flatten(branch)
    branch = jax.tree.unflatten(treedef, jnp.broadcast_arrays(*leaves))  # lanes may share some of them
    y = y_to = _series(branch.r, branch.x, branch.in_service)
    half_shunt = half_shunt_to = jnp.stack([branch.g, branch.b]) * (0.5 * branch.in_service)[None]
    if (more := branch.asymmetry) is not None:
        y_to = _series(branch.r + more.r, branch.x + more.x, branch.in_service)
        half_shunt_to = half_shunt + jnp.stack([more.g, more.b]) * (0.5 * branch.in_service)[None]
    # 1/|t|^2 - 1/conj(t) and 1 - 1/t by way of 1 - cos(shift) = 2 sin^2(shift/2), so that they keep
    # their digits near tap 1, shift 0.
    inverse_tap = 1 / branch.tap
    sine, half_sine = jnp.sin(branch.shift), jnp.sin(0.5 * branch.shift)
    versine = 2 * half_sine * half_sine
    inverse_conj_t = jnp.stack([1 - versine, sine]) * inverse_tap[None]
    from_excess = jnp.stack([(1 - branch.tap) * inverse_tap + versine, -sine]) * inverse_tap[None]
    to_excess = jnp.stack([branch.tap - 1 + versine, sine]) * inverse_tap[None]
    return TwoPort(
        transfer_from=-phasor.multiply(y, inverse_conj_t),
        transfer_to=-phasor.multiply(y_to, phasor.conj(inverse_conj_t)),
        shunt_from=phasor.multiply(y, from_excess) + half_shunt * (inverse_tap * inverse_tap)[None],
        shunt_to=phasor.multiply(y_to, to_excess) + half_shunt_to,
    )


def _series(r: jax.Array, x: jax.Array, in_service: jax.Array) -> jax.Array:
    """Series admittance 1 / (r + jx), (2, n_branch, *batch)."""
    scale = in_service / (r * r + x * x)
    return jnp.stack([r, -x]) * scale[None]


def admittance(plan: SolverPlan, branch: BranchParameters, shunts: Shunts) -> Admittance:
    """Bus admittance matrix of a network, by ordered pairs of connected buses."""
    port = two_port(branch)

    def by_bus(from_end: jax.Array, to_end: jax.Array) -> jax.Array:
        return gather_sum(plan.branch_to_bus, jnp.concatenate([from_end, to_end], 1), 1)

    transfer = jnp.concatenate([port.transfer_from, port.transfer_to], 1)
    shunt = take(phasor.stack(shunts.g, shunts.b), plan.order, 1)
    row = by_bus(port.shunt_from, port.shunt_to) + shunt
    return Admittance(
        edge=gather_sum(plan.branch_to_edge, transfer, 1),
        row=row,
        diagonal=row - by_bus(port.transfer_from, port.transfer_to),
    )
