"""The power flow after each of many outages of one branch.

An outage leaves the network as it is but for one branch, between the buses f and t. So all outages share the
solution x0 and the factorised Jacobian J of the intact network. With E the unit vectors of the equations of f
and t, S the power that branch k takes there and D = dS / dx of the unknowns there, equations and Jacobian of
its outage are

    F_k(x) = F(x) - E S(x),        J_k = J - E D E',

and a system with J_k costs one with J and a 4x4 system of its own (Sherman, Morrison and Woodbury):

    J_k^-1 r = z + W (1 - D C)^-1 D E' z,   z = J^-1 r,   W = J^-1 E,   C = E' W.

The first update from x0 needs no z, as F_k(x0) = -E S; further ones are the chord method's with J_k
(``compensated_chord.py``), which converges fast, as few outages move the voltages far. What it does not
solve, Newton's method does, from x0 with Jacobians of its own.

Reference: Alsac, Stott & Tinney, "Sparsity-Oriented Compensation Methods for Modified Network Solutions",
IEEE Trans. PAS-102 (1983).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes.blocks import map_blocks, set_lanes, take_lanes
from anmjax.lanes.schedule import Fit, Schedule, scheduled
from anmjax.lanes.varying import as_varying
from anmjax.powerflow.compensated_chord import chord_of_outages
from anmjax.powerflow.compensation import (
    Compensation,
    Correction,
    Outages,
    columns_of,
    correction_of,
    outages_of,
)
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.solver import LinearSolver, linear_solver
from anmjax.powerflow.equations import rounding_floor, voltage
from anmjax.powerflow.inputs import Inputs, equations_of, of_unknown
from anmjax.powerflow.jacobian import factorise
from anmjax.powerflow.newton import Iterate, Stopping, flat_start, iterate_newton, of_lanes, start_at
from anmjax.powerflow.solve import Solution, solution_of

# Of a core's L2 cache, that the vectors of a block may fill.
CACHE_SHARE, MIN_ROW_BYTES = 0.75, 256
# Outages that Newton's method finishes together.
FINISH = 16


def solve_outages(
    plan: SolverPlan,
    stopping: Stopping,
    schedule: Schedule | None,
    inputs: Inputs,
    branch: jax.Array,
    ends: np.ndarray,
) -> tuple[Solution, jax.Array]:
    """The power flow after each outage; not differentiable by itself.

    Args:
      plan: solver plan.
      stopping: when to stop.
      schedule: how the outages are worked through; None: as the platform wants it.
      inputs: of the intact network, every leaf ``[component, 1]``.
      branch: (m,) int, the branch that is out, by row.
      ends: (2, n_branch) from and to buses of the branches, by bus index.

    Returns:
      The solutions, by bus index, and whether an outage leaves a bus without a path to a slack, (m,) bool.
    """

    def run(schedule: Schedule, args: tuple[Inputs, jax.Array]) -> tuple[Solution, jax.Array]:
        inputs, branch = args[0], args[1].astype(jnp.int32)
        linear = linear_solver(plan, schedule)
        equations = equations_of(plan, inputs)
        start = flat_start(plan, equations) if inputs.start is None else of_unknown(plan, inputs.start)
        base = of_lanes(start_at(plan, equations, start))
        base = iterate_newton(plan, linear, equations, base, stopping, leave=0)
        held = equations.current, equations.hold
        jac = factorise(plan, linear, equations.adm, voltage(base.d), base.sent, *held)
        # An update need not be more exact than this: the equations say what is left.
        jac = jax.tree.map(lambda x: x.astype(jnp.float32), jac)
        columns = columns_of(plan, linear, jac)
        outages, size = outages_of(plan, inputs, branch, ends), _block(plan, schedule, inputs, branch)
        corrections = map_blocks(
            lambda own: correction_of(plan, columns.among(own), own, base.d), outages, size
        )
        # Those that move the voltages as far are worked through together.
        order = jnp.argsort(-corrections.size)
        allowed = stopping.tol + rounding_floor(plan, equations, base.d)

        def block(own: tuple[Outages, Correction]) -> Solution:
            without = Compensation(columns.of(own[0]), *own)
            end = chord_of_outages(plan, linear, equations, base.d, jac, without, stopping.tol)
            return solution_of(plan, equations, end, allowed, ~own[0].islanded)

        solutions = map_blocks(block, take_lanes((outages, corrections), order), size)
        solutions = take_lanes(solutions, jnp.argsort(order))
        return _finished(plan, linear, stopping, inputs, base, allowed, outages, solutions), outages.islanded

    return scheduled(run, (inputs, branch), schedule)


def _block(plan: SolverPlan, schedule: Schedule, inputs: Inputs, branch: jax.Array) -> int:
    """Outages of a block."""
    itemsize = inputs.p.dtype.itemsize
    numbers = 24 * len(plan.order)
    return schedule.block(len(branch), itemsize * numbers, Fit(CACHE_SHARE, MIN_ROW_BYTES // itemsize))


def _finished(
    plan: SolverPlan,
    linear: LinearSolver,
    stopping: Stopping,
    inputs: Inputs,
    base: Iterate,
    allowed: jax.Array,
    outages: Outages,
    solutions: Solution,
) -> Solution:
    """Newton's method for the outages that the chord method left unsolved."""
    n_branch, lanes = inputs.branch.r.shape[0], len(outages.branch)
    width = min(FINISH, lanes)

    def finish(carry: tuple[jax.Array, Solution]) -> tuple[jax.Array, Solution]:
        waiting, solutions = carry
        (index,) = jnp.nonzero(waiting, size=width, fill_value=lanes)
        out = (
            jnp.arange(n_branch, dtype=jnp.int32)[:, None] == outages.branch.at[index].get(mode="clip")[None]
        )
        in_service = jnp.where(out, 0, inputs.branch.in_service)
        own = equations_of(plan, inputs._replace(branch=inputs.branch._replace(in_service=in_service)))
        at = of_lanes(start_at(plan, own, base.x))
        at = as_varying(at, at)
        at = iterate_newton(plan, linear, own, at, stopping, leave=0)
        updates = at.updates + solutions.iterations.at[index].get(mode="clip")[None, None]
        found = solution_of(plan, own, (at.d, at.largest, updates), allowed, jnp.ones(width, bool))
        return waiting.at[index].set(False, mode="drop"), set_lanes(solutions, found, index)

    waiting = ~solutions.converged & ~outages.islanded
    return jax.lax.while_loop(lambda carry: carry[0].any(), finish, (waiting, solutions))[1]
