"""Where the iteration starts: the unknowns of given voltages, or of the DC power flow.

The DC power flow is B theta = P + (what the phase shifts drive), B made of the branches' susceptances
alone: one linear solve, exact where every phase shift is large and every load small.

Reference: Zimmerman & Murillo-Sanchez, *MATPOWER User's Manual*, sec. 3.7.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.powerflow.admittance import BranchParameters
from anmjax.powerflow.gather import gather_sum, take
from anmjax.powerflow.linear import LinearSolver, looped, unrolled
from anmjax.powerflow.plan import SolverPlan
from anmjax.powerflow.trailing import batch_trailing


def polar(v: jax.Array) -> jax.Array:
    """Angle in rad and |V| - 1 in p.u., (2, n_bus, *batch), of voltages in the slack's frame."""
    return jnp.stack([jnp.arctan2(v[1], v[0]), jnp.hypot(v[0], v[1]) - 1])


@functools.lru_cache(maxsize=256)
def dc_angles(plan: SolverPlan) -> Callable[[BranchParameters, jax.Array], jax.Array]:
    """The DC power flow of a topology, under any nesting of ``jax.vmap``; not differentiable.

    Returns:
      ``angles(branch, p)`` by bus index, (n_bus,) rad from the slack's, of active injections (n_bus,) p.u.
    """

    def run(branch: BranchParameters, p: jax.Array) -> jax.Array:
        b = branch.in_service * branch.x / ((branch.r * branch.r + branch.x * branch.x) * branch.tap)
        driven = b * branch.shift
        both = jnp.concatenate([b, b])
        edge, own = gather_sum(plan.branch_to_edge, both), gather_sum(plan.branch_to_bus, both)
        p = take(p, plan.order) + gather_sum(plan.branch_to_bus, jnp.concatenate([driven, -driven]))
        # The angle equations in the first row and column of 2x2 blocks, ones in the second.
        first, second = (
            np.diag(ones).reshape(2, 2, *[1] * b.ndim).astype(p.dtype) for ones in ([1, 0], [0, 1])
        )
        edges, diagonal = -edge[None, None] * first, own[None, None, :-1] * first + second
        rhs = jnp.stack([p[:-1], jnp.zeros_like(p[:-1])])

        def solve(linear: LinearSolver) -> Callable[..., jax.Array]:
            return lambda edges, diagonal, rhs: linear.solve(linear.factor(edges, diagonal), rhs)

        angle = jax.lax.platform_dependent(
            edges, diagonal, rhs, cpu=solve(looped(plan)), default=solve(unrolled(plan))
        )[0]
        angle = jnp.concatenate([angle, jnp.zeros_like(angle[:1])])
        return take(jnp.where(jnp.isfinite(angle), angle, 0), plan.position)

    return batch_trailing(run)
