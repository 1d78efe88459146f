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
from anmjax.powerflow.newton import Schedule, balance
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
        x, converged = result.x, result.converged
        problem = problem_of(plan, inputs)

        def to_excess(angle_and_log: jax.Array) -> jax.Array:
            return jnp.stack([angle_and_log[0], (1 + x[1]) * angle_and_log[1]])

        def matvec(angle_and_log: jax.Array) -> jax.Array:
            balance_of = functools.partial(balance, plan, problem)
            return jax.jvp(balance_of, (x,), (to_excess(angle_and_log),))[1]

        def jacobian_solve(transposed: bool, _: Callable, rhs: jax.Array) -> jax.Array:
            at = jax.lax.stop_gradient((inputs._replace(start=None, base=None), x))
            return lane_jacobian[transposed](*at, converged, rhs)

        def balance_at_x(inputs: Inputs) -> jax.Array:
            return balance(plan, problem_of(plan, inputs), x)

        _, residual = jvp_of_perturbed(balance_at_x, primals, tangents)
        step = jax.lax.custom_linear_solve(
            matvec,
            jnp.where(converged[None, None], -residual, 0),
            solve=functools.partial(jacobian_solve, False),
            transpose_solve=functools.partial(jacobian_solve, True),
        )
        no_tangent: Any = np.zeros(converged.shape, jax.dtypes.float0)
        return result, Result(to_excess(step), jnp.zeros_like(result.mismatch), no_tangent, no_tangent)

    solve.defjvp(rule, symbolic_zeros=True)
    return solve
