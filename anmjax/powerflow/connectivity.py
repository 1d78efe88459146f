"""Which buses have a path to a slack through branches in service, and to which."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes.gather import gather_sum, take
from anmjax.lanes.varying import as_varying
from anmjax.powerflow.elimination.plan import SolverPlan


def all_energised(plan: SolverPlan, in_service: jax.Array) -> jax.Array:
    """True where every bus has a path to a slack; an island without one has no power flow.

    The Jacobian of such an island is singular only up to rounding, so that a lane could pass for solved.

    Args:
      plan: solver plan.
      in_service: (n_branch, *batch) 0 where a branch is open.

    Returns:
      (*batch) bool.
    """
    closed = in_service != 0

    def spread(_: None) -> jax.Array:
        edge = _closed_edges(plan, closed, in_service.dtype)
        start = jnp.zeros((len(plan.order), *closed.shape[1:]), in_service.dtype)
        return (reached_from(plan, edge, start.at[plan.n_unknown :].set(1)) > 0).all(axis=0)

    def as_planned(_: None) -> jax.Array:
        return as_varying(jnp.full(closed.shape[1:], plan.connected), closed)

    return jax.lax.cond(closed.all(), as_planned, spread, None)


def _closed_edges(plan: SolverPlan, closed: jax.Array, dtype: np.dtype) -> jax.Array:
    """Branches in service of every edge, (n_edge, *batch), counted."""
    return gather_sum(plan.branch_to_edge, jnp.concatenate([closed, closed]).astype(dtype))


def reached_from(plan: SolverPlan, edge: jax.Array, start: jax.Array) -> jax.Array:
    """1 at the buses that have a path to a marked one, 0 elsewhere.

    Args:
      plan: solver plan.
      edge: (n_edge, *batch) positive where an edge leads on, otherwise 0.
      start: (n_bus, *batch) 1 at the marked buses, otherwise 0, in the plan's numbering.
    """

    def step(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        reached, _ = carry
        arriving = gather_sum(plan.edge_to_bus, edge * take(reached, plan.edge_head))
        more = jnp.where(arriving > 0, 1, reached)
        return more, (more != reached).any()

    begin = as_varying((start, jnp.array(True)), (edge, start))
    return jax.lax.while_loop(lambda carry: carry[1], step, begin)[0]


def bridges(plan: SolverPlan, ends: np.ndarray) -> np.ndarray:
    """Branches without which a bus has no path to a slack when all others are in service, (n_branch,) bool.

    Bridges of the graph of which all slacks are one vertex, by a depth-first search that counts how early a
    vertex each subtree reaches (Tarjan, "A Note on Finding the Bridges of a Graph", 1974).

    Args:
      plan: solver plan.
      ends: (2, n_branch) from and to buses, by bus index.
    """
    vertex = np.minimum(plan.position[ends], plan.n_unknown)
    at: list[list[tuple[int, int]]] = [[] for _ in range(plan.n_unknown + 1)]
    for k, (f, t) in enumerate(vertex.T.tolist()):
        at[f].append((t, k))
        at[t].append((f, k))
    found = np.zeros(ends.shape[1], bool)
    seen = [-1] * len(at)
    reach = [0] * len(at)
    count = 0
    for root in (plan.n_unknown, *range(plan.n_unknown)):
        if seen[root] >= 0:
            continue
        seen[root] = reach[root] = count
        stack = [(root, -1, iter(at[root]))]
        while stack:
            here, by, around = stack[-1]
            for there, k in around:
                if k == by:
                    continue
                if seen[there] >= 0:
                    reach[here] = min(reach[here], seen[there])
                else:
                    count += 1
                    seen[there] = reach[there] = count
                    stack.append((there, k, iter(at[there])))
                    break
            else:
                stack.pop()
                if stack:
                    above = stack[-1][0]
                    reach[above] = min(reach[above], reach[here])
                    found[by] = reach[here] > seen[above]
    return found


def buses_of_slacks(plan: SolverPlan, in_service: jax.Array) -> jax.Array:
    """Which buses have a path to which slack, (n_bus, n_slack) bool by bus index.

    Args:
      plan: solver plan.
      in_service: (n_branch,) 0 where a branch is open.
    """
    start = jnp.concatenate([jnp.zeros((plan.n_unknown, plan.n_slack)), jnp.eye(plan.n_slack)])
    edge = _closed_edges(plan, in_service != 0, start.dtype)[:, None]
    return take(reached_from(plan, edge, start) > 0, plan.position)


def angles_of_slacks(plan: SolverPlan, in_service: jax.Array, angle: jax.Array) -> jax.Array:
    """For every unknown bus the angle of the slack that is the fewest branches in service away.

    Args:
      plan: solver plan.
      in_service: (n_branch, *batch) 0 where a branch is open.
      angle: (n_slack, *batch) rad.

    Returns:
      (n_unknown, *batch) rad; the mean where several are equally near, 0 where none has a path.
    """
    closed = in_service != 0
    batch = jnp.broadcast_shapes(closed.shape[1:], angle.shape[1:])
    angle = jnp.broadcast_to(angle, (plan.n_slack, *batch))

    def spread(_: None) -> jax.Array:
        edge = _closed_edges(plan, closed, angle.dtype)

        def step(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
            reached, angle, _ = carry
            weight = edge * take(reached, plan.edge_head)
            count = gather_sum(plan.edge_to_bus, weight)
            total = gather_sum(plan.edge_to_bus, weight * take(angle, plan.edge_head))
            new = (count > 0) & (reached == 0)
            angle = jnp.where(new, total / jnp.where(new, count, 1), angle)
            return jnp.where(new, 1, reached), angle, new.any()

        unknown = jnp.zeros((plan.n_unknown, *batch), angle.dtype)
        reached = jnp.concatenate([unknown, jnp.ones_like(angle)])
        begin = reached, jnp.concatenate([unknown, angle]), jnp.array(True)
        begin = as_varying(begin, (edge, angle))
        return jax.lax.while_loop(lambda carry: carry[2], step, begin)[1][: plan.n_unknown]

    def as_planned(_: None) -> jax.Array:
        return as_varying(take(angle, plan.nearest_slack), (closed, angle))

    return jax.lax.cond(closed.all(), as_planned, spread, None)
