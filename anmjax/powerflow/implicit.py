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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.powerflow import phasor
from anmjax.powerflow.admittance import Admittance, admittance
from anmjax.powerflow.gather import take
from anmjax.powerflow.lanes import Inputs, solve_jacobian_lanes, solve_lanes
from anmjax.powerflow.newton import Schedule, equations
from anmjax.powerflow.plan import SolverPlan
from anmjax.powerflow.trailing import batch_trailing, jvp_of_perturbed


class Solved(NamedTuple):
    """Solution of a power flow, ``Result`` with the deviations' parts apart.

    Outside ``batch_trailing`` the batch comes first, and stacking two parts there costs as much as a Newton
    update of a small network.
    """

    re: jax.Array  # (n_bus,) p.u., real part of V - 1 in the slack's frame, by bus index
    im: jax.Array  # (n_bus,) p.u., imaginary part
    mismatch: jax.Array  # () p.u., largest error of the equations
    converged: jax.Array  # () bool
    iterations: jax.Array  # () int, updates made


_Pair = tuple[jax.Array, jax.Array]


@functools.lru_cache(maxsize=256)
def differentiable_solve(plan: SolverPlan, schedule: Schedule) -> Callable[[Inputs], Solved]:
    """The power flow as a function of its inputs with every derivative.

    Forward, reverse and second derivatives, under any nesting of ``jax.vmap``.

    Args:
      plan: solver plan.
      schedule: when to stop.

    Returns:
      ``solve(inputs)``.
    """

    @batch_trailing
    def lane(inputs: Inputs) -> Solved:
        result = solve_lanes(plan, schedule, inputs)
        return Solved(*phasor.unstack(result.d), *result[1:])

    def lane_jacobian(transposed: bool, adm: Admittance, d: _Pair, converged: jax.Array, rhs: _Pair) -> _Pair:
        x = solve_jacobian_lanes(plan, transposed, adm, phasor.stack(*d), converged, phasor.stack(*rhs))
        return phasor.unstack(x)

    lane_solve = {
        transposed: batch_trailing(functools.partial(lane_jacobian, transposed))
        for transposed in (False, True)
    }

    @jax.custom_jvp
    def solve(inputs: Inputs) -> Solved:
        return lane(inputs)

    at_slack = np.arange(len(plan.order)) == plan.order[-1]
    is_pv = np.append(plan.is_pv, False)[plan.position]

    def equations_by_bus(adm: Admittance, d: _Pair) -> _Pair:
        """The equations by bus index; zeros at the slack."""
        by_plan = equations(plan, adm, take(phasor.stack(*d), plan.order, 1))
        padded = jnp.pad(by_plan, [(0, 0), (0, 1), *[(0, 0)] * (by_plan.ndim - 2)])
        return phasor.unstack(take(padded, plan.position, 1))

    def rule(primals: tuple[Inputs], tangents: tuple[Inputs]) -> tuple[Solved, Solved]:
        (inputs,) = primals
        result = solve(inputs)
        d, converged = (result.re, result.im), result.converged
        adm = admittance(plan, inputs.branch, inputs.shunts)
        slack, held = (x.reshape(-1, *[1] * (result.re.ndim - 1)) for x in (at_slack, is_pv))

        def at_slack_or_not(own: _Pair, others: _Pair) -> _Pair:
            return jnp.where(slack, own[0], others[0]), jnp.where(slack, own[1], others[1])

        def error(inputs: Inputs) -> _Pair:
            excess = inputs.v_set - 1
            of_slack = excess, jnp.zeros_like(excess)
            given = inputs.p, jnp.where(held, excess, inputs.q) if is_pv.any() else inputs.q
            adm = admittance(plan, inputs.branch, inputs.shunts)
            asked = equations_by_bus(adm, at_slack_or_not(of_slack, d))
            return at_slack_or_not((-excess, of_slack[1]), jax.tree.map(jnp.subtract, asked, given))

        def matvec(dv: _Pair) -> _Pair:
            moved = at_slack_or_not(jax.tree.map(jnp.zeros_like, dv), dv)
            out = jax.jvp(functools.partial(equations_by_bus, adm), (d,), (moved,))[1]
            return at_slack_or_not(dv, out)

        def jacobian_solve(transposed: bool, _: Callable, rhs: _Pair) -> _Pair:
            return lane_solve[transposed](*jax.lax.stop_gradient((adm, d)), converged, rhs)

        _, (re, im) = jvp_of_perturbed(error, primals, tangents)
        # Both parts have to be functions of the tangents for custom_linear_solve to be transposed.
        rhs = -jnp.where(False, im, re), -jnp.where(False, re, im)
        dre, dim = jax.lax.custom_linear_solve(
            matvec,
            rhs,
            solve=functools.partial(jacobian_solve, False),
            transpose_solve=functools.partial(jacobian_solve, True),
        )
        no_tangent: Any = np.zeros(converged.shape, jax.dtypes.float0)
        return result, Solved(dre, dim, jnp.zeros_like(result.mismatch), no_tangent, no_tangent)

    solve.defjvp(rule, symbolic_zeros=True)
    return solve
