"""Derivatives of the power flow by the implicit function theorem.

At a solution F(x, y) = 0 of the power balance, x the voltages and y the injections, set-points, shunts and
branch parameters, ``dx = -(dF/dx)^-1 (dF/dy) dy``: one more solve with the Jacobian that Newton uses, or
with its transpose in reverse mode. Newton is never unrolled. A lane without a solution has derivative zero,
and so has the start of the iteration.

Reference: Blondel et al., "Efficient and Modular Implicit Differentiation", NeurIPS 2022.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.powerflow.lanes import Inputs, Result, problem_of, solve_jacobian_lanes, solve_lanes
from anmjax.powerflow.newton import Schedule, equations, held_rows
from anmjax.powerflow.plan import SolverPlan
from anmjax.powerflow.trailing import batch_trailing, jvp_of_perturbed


@functools.lru_cache(maxsize=256)
def differentiable_newton(plan: SolverPlan, schedule: Schedule) -> Callable[[Inputs], Result]:
    """The power flow as a function of its inputs with every derivative.

    Forward, reverse and second derivatives, under any nesting of ``jax.vmap``.

    Args:
      plan: solver plan.
      schedule: when to stop.

    Returns:
      ``solve(inputs)``.
    """
    lane = batch_trailing(functools.partial(solve_lanes, plan, schedule))
    lane_jacobian = {
        transposed: batch_trailing(functools.partial(solve_jacobian_lanes, plan, transposed))
        for transposed in (False, True)
    }

    @jax.custom_jvp
    def solve(inputs: Inputs) -> Result:
        return lane(inputs)

    def rule(primals: tuple[Inputs], tangents: tuple[Inputs]) -> tuple[Result, Result]:
        (inputs,) = primals
        result = solve(inputs)
        d, converged = result.d, result.converged
        adm = problem_of(plan, inputs).adm

        def with_slack(dv: jax.Array, slack: jax.Array) -> jax.Array:
            return jnp.concatenate([dv, jnp.broadcast_to(slack, (2, 1, *dv.shape[2:]))], 1)

        def matvec(dv: jax.Array) -> jax.Array:
            tangent = with_slack(dv, jnp.zeros((2, 1), d.dtype))
            return jax.jvp(functools.partial(equations, plan, adm), (d,), (tangent,))[1]

        def jacobian_solve(transposed: bool, _: Callable, rhs: jax.Array) -> jax.Array:
            return lane_jacobian[transposed](*jax.lax.stop_gradient((adm, d)), converged, rhs)

        def error(inputs: Inputs) -> tuple[jax.Array, jax.Array]:
            problem = problem_of(plan, inputs)
            slack = jnp.stack([problem.excess[-1:], jnp.zeros_like(problem.excess[-1:])])
            given = problem.s
            if plan.is_pv.any():
                given = jnp.where(held_rows(plan, given), problem.excess[None, :-1], given)
            return equations(plan, problem.adm, with_slack(d[:, :-1], slack)) - given, slack

        _, (residual, of_slack) = jvp_of_perturbed(error, primals, tangents)
        dv = jax.lax.custom_linear_solve(
            matvec,
            jnp.where(converged[None, None], -residual, 0),
            solve=functools.partial(jacobian_solve, False),
            transpose_solve=functools.partial(jacobian_solve, True),
        )
        no_tangent: Any = np.zeros(converged.shape, jax.dtypes.float0)
        of_slack = jnp.where(converged[None, None], of_slack, 0)
        tangent = Result(with_slack(dv, of_slack), jnp.zeros_like(result.mismatch), no_tangent, no_tangent)
        return result, tangent

    solve.defjvp(rule, symbolic_zeros=True)
    return solve
