"""Where the iteration starts: the unknowns of given voltages, or of the DC power flow.

The DC power flow is B theta = P - (what shunts and loads of constant current take at 1 p.u.) + (what the
phase shifts drive): one linear solve, exact where every phase shift is large and every load small. B is made
of 1/x of the branches alone, as MATPOWER's and pandapower's, not of x / (r^2 + x^2): that would be right
between buses that hold their voltage, but between others the power P turns the angle by x P, whatever r.

Reference: Zimmerman & Murillo-Sanchez, *MATPOWER User's Manual*, sec. 3.7.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes.gather import gather_sum, take
from anmjax.lanes.schedule import Schedule, scheduled
from anmjax.lanes.trailing import batch_trailing
from anmjax.powerflow.admittance import BranchParameters
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.solver import linear_solver


def polar(v: jax.Array) -> jax.Array:
    """Angle in rad and |V| - 1 in p.u., (2, n_bus, *batch), of voltages in the slack's frame."""
    return jnp.stack([jnp.arctan2(v[1], v[0]), jnp.hypot(v[0], v[1]) - 1])


# Reactance that a branch without any is given, over its resistance: it turns next to no angle.
_LEAST_REACTANCE = 0.01


class DCInputs(NamedTuple):
    """What the DC power flow depends on; every leaf ``[component, *batch]``."""

    branch: BranchParameters
    g_shunt: jax.Array  # (n_bus, *batch) p.u.
    p: jax.Array  # (n_bus, *batch) p.u., active injections; those of slacks do not matter
    # As in ``inputs.Inputs``.
    apart: jax.Array | None
    current: tuple[jax.Array, jax.Array] | None


@functools.lru_cache(maxsize=256)
def dc_angles(plan: SolverPlan, schedule: Schedule | None = None) -> Callable[[DCInputs], jax.Array]:
    """The DC power flow of a topology, under any nesting of ``jax.vmap``; not differentiable.

    Returns:
      ``angles(inputs)`` by bus index, (n_bus,) rad from the first slack's.
    """

    def run(inputs: DCInputs) -> jax.Array:
        b, n = dc_susceptance(inputs.branch), plan.n_unknown
        driven = b * inputs.branch.shift
        system, edge = dc_system(plan, b)
        p = take(inputs.p - _taken(plan, inputs), plan.order)
        p = p + gather_sum(plan.branch_to_bus, jnp.concatenate([driven, -driven]))
        held = jnp.zeros((plan.n_slack, *p.shape[1:]), p.dtype)
        if inputs.apart is not None:
            held = jnp.concatenate([held[:1], jnp.broadcast_to(inputs.apart, held[1:].shape)])
            all_ = jnp.concatenate([jnp.zeros((n, *held.shape[1:]), p.dtype), held])
            p = p + gather_sum(plan.edge_to_bus, edge * take(all_, plan.edge_head))
        angle = scheduled(functools.partial(dc_solved, plan), (*system, p[:n]), schedule)
        angle = jnp.concatenate([angle, jnp.broadcast_to(held, (plan.n_slack, *angle.shape[1:]))])
        return take(jnp.where(jnp.isfinite(angle), angle, 0), plan.position)

    return batch_trailing(run, schedule)


def dc_susceptance(branch: BranchParameters) -> jax.Array:
    """The active power that a branch takes a radian between its ends, (n_branch, *batch) p.u."""
    x = jnp.where(branch.x == 0, _LEAST_REACTANCE * jnp.abs(branch.r), branch.x)
    return branch.in_service / (x * branch.tap)


def dc_system(plan: SolverPlan, b: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    """The matrix B of the angles, by the susceptances of the branches, (n_branch, *batch) p.u.

    Returns:
      Its 2x2 blocks of edges and on the diagonal, the angle equations in the first row and column and ones
      in the second; and the susceptances of the edges.
    """
    both = jnp.concatenate([b, b])
    edge, own = gather_sum(plan.branch_to_edge, both), gather_sum(plan.branch_to_bus, both)
    first, second = (np.diag(ones).reshape(2, 2, *[1] * b.ndim).astype(b.dtype) for ones in ([1, 0], [0, 1]))
    return (-edge[None, None] * first, own[None, None, : plan.n_unknown] * first + second), edge


def dc_solved(plan: SolverPlan, schedule: Schedule, args: tuple[jax.Array, ...]) -> jax.Array:
    """The angles B^-1 p, (n_unknown, *batch) rad, of the blocks of B and p, (n_unknown, *batch) p.u."""
    linear, (edges, diagonal, p) = linear_solver(plan, schedule), args
    return linear.solve(linear.factor(edges, diagonal), jnp.stack([p, jnp.zeros_like(p)]))[0]


def _taken(plan: SolverPlan, inputs: DCInputs) -> jax.Array:
    """Active power that does not depend on the angles and is no injection, (n_bus, *batch) p.u. at 1 p.u."""
    branch = inputs.branch
    more = 0 if branch.asymmetry is None else branch.asymmetry.g
    g = 0.5 * branch.in_service
    at_ends = jnp.concatenate([g * branch.g / (branch.tap * branch.tap), g * (branch.g + more)])
    leaking = take(gather_sum(plan.branch_to_bus, at_ends), plan.position)
    drawn = 0 if inputs.current is None else inputs.current[0]
    return inputs.g_shunt + leaking + drawn
