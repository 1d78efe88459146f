"""Derivatives of the power flow by the implicit function theorem.

At a solution F(x, y) = 0 of the power balance, x the voltages and y the injections and branch
parameters, ``dx = -(dF/dx)^-1 (dF/dy) dy``: one more solve with the Jacobian that Newton uses, or with
its transpose in reverse mode. Newton is never unrolled. A lane without a solution has derivative zero.

Reference: Blondel et al., "Efficient and Modular Implicit Differentiation", NeurIPS 2022.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.powerflow.admittance import BranchParameters, admittance
from anmjax.powerflow.newton import NewtonResult, newton, power_excess, solve_jacobian
from anmjax.powerflow.plan import SolverPlan
from anmjax.powerflow.trailing import batch_trailing, jvp_of_perturbed


@functools.lru_cache(maxsize=256)
def differentiable_newton(
    plan: SolverPlan, num_iters: int, tol: float
) -> Callable[[BranchParameters, jax.Array], NewtonResult]:
    """Newton's method as a function of (branch parameters, injections) with every derivative.

    Forward, reverse and second derivatives, under any nesting of ``jax.vmap``.

    Args:
      plan: solver plan.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of a solution.

    Returns:
      ``solve(branch, s)`` with ``branch`` of (n_branch, *batch) arrays and ``s`` of shape
      (2, n_pq, *batch), p.u. in the plan's order.
    """

    def run(branch: BranchParameters, s: jax.Array) -> NewtonResult:
        return newton(plan, admittance(plan, branch), s, num_iters=num_iters, tol=tol)

    def run_jacobian(
        transposed: bool, branch: BranchParameters, x: jax.Array, converged: jax.Array, rhs: jax.Array
    ) -> jax.Array:
        step = solve_jacobian(plan, admittance(plan, branch), x, rhs, transposed=transposed)
        return jnp.where(converged[None, None], step, 0)

    lane = batch_trailing(run)
    lane_jacobian = {
        transposed: batch_trailing(functools.partial(run_jacobian, transposed))
        for transposed in (False, True)
    }

    @jax.custom_jvp
    def solve(branch: BranchParameters, s: jax.Array) -> NewtonResult:
        return lane(branch, s)

    def rule(
        primals: tuple[BranchParameters, jax.Array], tangents: tuple[BranchParameters, jax.Array]
    ) -> tuple[NewtonResult, NewtonResult]:
        branch, s = primals
        result = solve(branch, s)
        x, converged = result.x, result.converged
        adm = admittance(plan, branch)

        def to_excess(angle_and_log: jax.Array) -> jax.Array:
            return jnp.stack([angle_and_log[0], (1 + x[1]) * angle_and_log[1]])

        def matvec(angle_and_log: jax.Array) -> jax.Array:
            balance = functools.partial(power_excess, plan, adm, s=s)
            return jax.jvp(balance, (x,), (to_excess(angle_and_log),))[1]

        def jacobian_solve(transposed: bool, _: Callable, rhs: jax.Array) -> jax.Array:
            at = jax.lax.stop_gradient((branch, x))
            return lane_jacobian[transposed](*at, converged, rhs)

        def balance_at_x(branch: BranchParameters, s: jax.Array) -> jax.Array:
            return power_excess(plan, admittance(plan, branch), x, s)

        _, residual = jvp_of_perturbed(balance_at_x, primals, tangents)
        step = jax.lax.custom_linear_solve(
            matvec,
            jnp.where(converged[None, None], -residual, 0),
            solve=functools.partial(jacobian_solve, False),
            transpose_solve=functools.partial(jacobian_solve, True),
        )
        no_tangent: Any = np.zeros(converged.shape, jax.dtypes.float0)
        return result, NewtonResult(to_excess(step), jnp.zeros_like(result.mismatch), no_tangent)

    solve.defjvp(rule, symbolic_zeros=True)
    return solve
