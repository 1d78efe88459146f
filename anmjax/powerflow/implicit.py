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

from anmjax.lanes import phasor
from anmjax.lanes.gather import take
from anmjax.lanes.schedule import Schedule
from anmjax.lanes.trailing import batch_trailing, jvp_of_perturbed
from anmjax.lanes.varying import as_varying, tangents_of
from anmjax.powerflow.admittance import Admittance, admittance
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.equations import asked, bus_power, polar_deviation
from anmjax.powerflow.inputs import Inputs, unknown_current, unknown_hold
from anmjax.powerflow.newton import Stopping
from anmjax.powerflow.solve import Solution, solve_jacobian_lanes, solve_lanes

_Pair = tuple[jax.Array, jax.Array]


@functools.lru_cache(maxsize=256)
def differentiable_solve(
    plan: SolverPlan, stopping: Stopping, schedule: Schedule | None = None
) -> Callable[[Inputs], Solution]:
    """The power flow as a function of its inputs with every derivative.

    Forward, reverse and second derivatives, under any nesting of ``jax.vmap``.

    Args:
      plan: solver plan.
      stopping: when to stop.
      schedule: how lanes are worked through; None: as the platform wants it.

    Returns:
      ``solve(inputs)``.
    """
    lane = batch_trailing(functools.partial(solve_lanes, plan, stopping, schedule), schedule)

    def lane_jacobian(
        transposed: bool,
        at: tuple[Admittance, _Pair, _Pair | None, jax.Array | None],
        converged: jax.Array,
        rhs: _Pair,
    ) -> _Pair:
        adm, d, current, hold = at
        given = phasor.stack(*d), converged, phasor.stack(*rhs), current, hold
        return phasor.unstack(solve_jacobian_lanes(plan, transposed, schedule, adm, *given))

    lane_solve = {
        transposed: _of_columns(functools.partial(lane_jacobian, transposed), schedule)
        for transposed in (False, True)
    }

    @jax.custom_jvp
    def solve(inputs: Inputs) -> Solution:
        return lane(inputs)

    slacks = plan.order[plan.n_unknown :]
    at_slack = np.isin(np.arange(len(plan.order)), slacks)
    is_pv = np.append(plan.is_pv, [False] * plan.n_slack)[plan.position]

    def asked_by_bus(adm: Admittance, current: _Pair | None, hold: jax.Array | None, d: _Pair) -> _Pair:
        """What voltages ask for, by bus index; zeros at slacks."""
        by_plan = take(phasor.stack(*d), plan.order, 1)
        drawn, holding = unknown_current(plan, current), unknown_hold(plan, hold)
        by_plan = asked(plan, drawn, by_plan, bus_power(plan, adm, by_plan), hold=holding)
        padded = jnp.pad(by_plan, [(0, 0), (0, plan.n_slack), *[(0, 0)] * (by_plan.ndim - 2)])
        return phasor.unstack(take(padded, plan.position, 1))

    def held_at_slacks(inputs: Inputs) -> _Pair:
        """Deviations that the slacks are held at, by bus index; what stands at other buses has no meaning."""
        re = inputs.v_set - 1
        im = jnp.zeros_like(re)
        if inputs.apart is None:
            return re, im
        d = polar_deviation(inputs.apart, re[slacks[1:]])
        return re.at[slacks[1:]].set(d[0]), im.at[slacks[1:]].set(d[1])

    def at_slack_or_not(own: _Pair, others: _Pair) -> _Pair:
        slack = at_slack.reshape(-1, *[1] * (others[0].ndim - 1))
        return jnp.where(slack, own[0], others[0]), jnp.where(slack, own[1], others[1])

    @jax.jit
    def equations_change(
        adm: Admittance, current: _Pair | None, hold: jax.Array | None, d: _Pair, dv: _Pair
    ) -> _Pair:
        """Change of the equations with the voltages; at slacks the voltages' own."""
        moved = at_slack_or_not(jax.tree.map(jnp.zeros_like, dv), dv)
        out = jax.jvp(functools.partial(asked_by_bus, adm, current, hold), (d,), (moved,))[1]
        return at_slack_or_not(dv, out)

    def rule(primals: tuple[Inputs], tangents: tuple[Inputs]) -> tuple[Solution, Solution]:
        (inputs,) = primals
        result = solve(inputs)
        d, converged = (result.re, result.im), result.converged
        # custom_linear_solve casts what its functions close over, but not those functions: second derivatives
        # want closures that vary as the solution does, and constants inside a function of their own.
        adm = admittance(plan, inputs.branch, inputs.shunts)
        adm, current, hold = as_varying((adm, inputs.current, inputs.hold), result)
        held = is_pv.reshape(-1, *[1] * (result.re.ndim - 1))
        held = held if hold is None else held & hold

        def error(inputs: Inputs) -> _Pair:
            excess, of_slacks = inputs.v_set - 1, held_at_slacks(inputs)
            given = inputs.p, jnp.where(held, excess, inputs.q) if is_pv.any() else inputs.q
            adm = admittance(plan, inputs.branch, inputs.shunts)
            got = asked_by_bus(adm, inputs.current, hold, at_slack_or_not(of_slacks, d))
            missed = jax.tree.map(jnp.subtract, got, given)
            return at_slack_or_not(jax.tree.map(jnp.negative, of_slacks), missed)

        def jacobian_solve(transposed: bool, _: Callable, rhs: _Pair) -> _Pair:
            at = jax.lax.stop_gradient((adm, d, current, hold))
            return lane_solve[transposed](at, converged, rhs)

        _, (re, im) = jvp_of_perturbed(error, primals, tangents)
        # Both parts have to be functions of the tangents for custom_linear_solve to be transposed.
        rhs = -jnp.where(False, im, re), -jnp.where(False, re, im)
        dre, dim = jax.lax.custom_linear_solve(
            functools.partial(equations_change, adm, current, hold, d),
            rhs,
            solve=functools.partial(jacobian_solve, False),
            transpose_solve=functools.partial(jacobian_solve, True),
        )
        no_tangent: Any = np.zeros(converged.shape, jax.dtypes.float0)
        change = Solution(dre, dim, jnp.zeros_like(result.mismatch), no_tangent, no_tangent)
        return result, tangents_of(result, change)

    solve.defjvp(rule, symbolic_zeros=True)
    return solve


def _of_columns(solve: Callable[..., _Pair], schedule: Schedule | None) -> Callable[..., _Pair]:
    """A linear solve for one lane that factorises once where ``jax.vmap`` is over right-hand sides alone.

    Args:
      solve: of a system's data, whether it has a solution, () bool, and a right-hand side, batch trailing.
      schedule: how lanes are worked through; None: as the platform wants it.
    """
    one = batch_trailing(solve, schedule)

    def together(at: Any, converged: jax.Array, rhs: _Pair) -> _Pair:
        """Of right-hand sides (n, columns, *batch)."""
        axes = converged.ndim

        def of_all(x: jax.Array) -> jax.Array:
            return jnp.expand_dims(x, x.ndim - axes)

        return solve(jax.tree.map(of_all, at), of_all(converged), rhs)

    of_many = batch_trailing(together, schedule)
    column = jax.custom_batching.custom_vmap(one)

    @column.def_vmap
    def of_vmap(axis_size: int, in_batched: list[Any], *args: Any) -> tuple[_Pair, Any]:
        if any(jax.tree.leaves(in_batched[:2])) or not all(jax.tree.leaves(in_batched[2])):
            axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(in_batched))
            out = jax.vmap(one, axes, axis_size=axis_size)(*args)
        else:
            at, converged, rhs = args
            out = of_many(at, converged, jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), rhs))
            out = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), out)
        return out, jax.tree.map(lambda _: True, out)

    return column
