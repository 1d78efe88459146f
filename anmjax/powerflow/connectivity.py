"""Which buses have a path to the slack through branches in service."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from anmjax.powerflow.gather import gather_sum, take
from anmjax.powerflow.plan import SolverPlan


def all_energised(plan: SolverPlan, in_service: jax.Array) -> jax.Array:
    """True where every bus has a path to the slack; an island has no power flow.

    The Jacobian of an island is singular only up to rounding, so that a lane could pass for solved.

    Args:
      plan: solver plan.
      in_service: (n_branch, *batch) 0 where a branch is open.

    Returns:
      (*batch) bool.
    """
    closed = in_service != 0
    n_bus = len(plan.order)

    def spread(_: None) -> jax.Array:
        weight = jnp.concatenate([closed, closed]).astype(in_service.dtype)
        edge = gather_sum(plan.branch_to_edge, weight)
        start = jnp.zeros((n_bus, *closed.shape[1:]), in_service.dtype).at[-1].set(1)

        def step(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            reached, _ = carry
            arriving = gather_sum(plan.edge_to_bus, edge * take(reached, plan.edge_head))
            more = jnp.where(arriving > 0, 1, reached)
            return more, (more != reached).any()

        reached = jax.lax.while_loop(lambda carry: carry[1], step, (start, jnp.array(True)))[0]
        return (reached > 0).all(axis=0)

    def as_planned(_: None) -> jax.Array:
        return jnp.full(closed.shape[1:], plan.connected)

    return jax.lax.cond(closed.all(), as_planned, spread, None)
