"""Derivatives of the power flow by the implicit function theorem.

At a solution F(x, y) = 0 of the power balance, x the voltages and y the injections, set-points, shunts and
branch parameters, ``dx = -(dF/dx)^-1 (dF/dy) dy``: one more solve with the Jacobian at the solution, or
with its transpose in reverse mode. The iteration is never unrolled. A lane without a solution has
derivative zero, and so has the start of the iteration.

Reference: Blondel et al., "Efficient and Modular Implicit Differentiation", NeurIPS 2022.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.powerflow.admittance import Admittance, admittance
from anmjax.powerflow.gather import take
from anmjax.powerflow.lanes import Inputs, Result, solve_jacobian_lanes, solve_lanes
from anmjax.powerflow.newton import Schedule, equations
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

    at_slack = np.arange(len(plan.order)) == plan.order[-1]
    is_pv = np.append(plan.is_pv, False)[plan.position]

    def equations_by_bus(adm: Admittance, d: jax.Array) -> jax.Array:
        """The equations by bus index; zeros at the slack."""
        by_plan = equations(plan, adm, take(d, plan.order, 1))
        return take(jnp.pad(by_plan, [(0, 0), (0, 1), *[(0, 0)] * (d.ndim - 2)]), plan.position, 1)

    def rule(primals: tuple[Inputs], tangents: tuple[Inputs]) -> tuple[Result, Result]:
        (inputs,) = primals
        result = solve(inputs)
        d, converged = result.d, result.converged
        adm = admittance(plan, inputs.branch, inputs.shunts)
        slack = at_slack.reshape(-1, *[1] * (d.ndim - 2))
        held = np.stack([np.zeros_like(is_pv), is_pv]).reshape(2, *slack.shape)

        def error(inputs: Inputs) -> jax.Array:
            excess = inputs.v_set - 1
            of_slack = jnp.stack([excess, jnp.zeros_like(excess)])
            given = jnp.where(held, excess, inputs.s) if is_pv.any() else inputs.s
            given = jnp.where(slack, of_slack, given)
            moved = jnp.where(slack, of_slack, d)
            return equations_by_bus(admittance(plan, inputs.branch, inputs.shunts), moved) - given

        def matvec(dv: jax.Array) -> jax.Array:
            of_equations = functools.partial(equations_by_bus, adm)
            out = jax.jvp(of_equations, (d,), (jnp.where(slack, 0, dv),))[1]
            return jnp.where(slack, dv, out)

        def jacobian_solve(transposed: bool, _: Callable, rhs: jax.Array) -> jax.Array:
            return lane_jacobian[transposed](*jax.lax.stop_gradient((adm, d)), converged, rhs)

        _, residual = jvp_of_perturbed(error, primals, tangents)
        dv = jax.lax.custom_linear_solve(
            matvec,
            jnp.where(converged, -residual, 0),
            solve=functools.partial(jacobian_solve, False),
            transpose_solve=functools.partial(jacobian_solve, True),
        )
        no_tangent: Any = np.zeros(converged.shape, jax.dtypes.float0)
        return result, Result(dv, jnp.zeros_like(result.mismatch), no_tangent, no_tangent)

    solve.defjvp(rule, symbolic_zeros=True)
    return solve
