"""Which method solves which lanes of a batch, by its schedule.

All at once, every lane makes the same number of Newton updates; in the loops of a GPU's kernel, as many as
the slowest of its block. In blocks, a block is left when few of its
lanes still move, and these stragglers are gathered and finished apart. Many lanes of one network share the
Jacobian of its base case, factorised once, in the chord method; what it does not solve, Newton's method does,
from the start again. No lane depends on another: the base case belongs to the network.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from anmjax.lanes import phasor
from anmjax.lanes.blocks import map_blocks, num_lanes, set_lanes, take_lanes
from anmjax.lanes.gather import take
from anmjax.lanes.row_kernel import on_gpu
from anmjax.lanes.schedule import AllAtOnce, CPUBlocks, Fit, Schedule, scheduled, with_lanes
from anmjax.powerflow.admittance import Admittance
from anmjax.powerflow.chord import End, iterate_chord
from anmjax.powerflow.connectivity import all_energised
from anmjax.powerflow.elimination.plan import SolverPlan, plan_of_least_fill
from anmjax.powerflow.elimination.solver import linear_solver
from anmjax.powerflow.equations import Equations, bus_power, deviation, given_of, rounding_floor, voltage
from anmjax.powerflow.inputs import Inputs, equations_of, of_unknown, unknown_current, unknown_hold
from anmjax.powerflow.jacobian import factorise, transposed_voltage_change, voltage_change
from anmjax.powerflow.jacobian_rows import voltage_change_rows
from anmjax.powerflow.newton import (
    Iterate,
    Stopping,
    flat_start,
    iterate_newton,
    moving,
    of_lanes,
    start_at,
)
from anmjax.powerflow.newton_rows import iterate_rows, with_slacks

# Of a core's L2 cache: the matrices of a block in Newton's method, where the cost of the loops and that of
# missing the cache balance; the vectors of a block in the chord method.
NEWTON_SHARE, CHORD_SHARE = 1.1, 2.0
# Lanes of a block at least, in bytes of a row: below, loops of a few lanes cost more than missing the cache.
MIN_ROW_BYTES = 256
# Lanes that the chord method leaves unsolved are finished together, in so many cache lines of a row.
FINISH_LINES = 3
# Newton updates that lead to the base case whose Jacobian lanes share.
BASE_UPDATES = 2


class Solution(NamedTuple):
    """Where the iteration ended, by bus index.

    Outside ``batch_trailing`` the batch comes first, and stacking two parts there costs as much as a Newton
    update of a small network: so the deviations are kept in parts.
    """

    re: jax.Array  # (n_bus, *batch) p.u., real part of V - 1 in the first slack's frame
    im: jax.Array  # (n_bus, *batch) p.u., imaginary part
    mismatch: jax.Array  # (*batch) p.u., largest error of the equations
    converged: jax.Array  # (*batch) bool
    iterations: jax.Array  # (*batch) int, updates made

    @property
    def d(self) -> jax.Array:
        """(2, n_bus, *batch) p.u., voltage deviations V - 1."""
        return phasor.stack(self.re, self.im)


def solve_lanes(plan: SolverPlan, stopping: Stopping, schedule: Schedule | None, inputs: Inputs) -> Solution:
    """Solves every lane of a batch; not differentiable by itself, see ``implicit.py``.

    A lane without a solution ends at the flat start.
    """

    def run(schedule: Schedule, inputs: Inputs) -> Solution:
        if isinstance(schedule, AllAtOnce):
            return _solve_all_at_once(plan, stopping, schedule, inputs)
        solve = _solve_by_chord if _share_jacobian(schedule, inputs) else _solve_by_newton
        return with_lanes(functools.partial(solve, plan, stopping, schedule), inputs, inputs.p.ndim - 1)

    return scheduled(run, inputs, schedule)


class _JacobianArgs(NamedTuple):
    adm: Admittance
    d: jax.Array  # solution
    converged: jax.Array  # which lanes have one
    rhs: jax.Array
    current: tuple[jax.Array, jax.Array] | None
    hold: jax.Array | None


def solve_jacobian_lanes(
    plan: SolverPlan,
    transposed: bool,
    schedule: Schedule | None,
    adm: Admittance,
    d: jax.Array,
    converged: jax.Array,
    rhs: jax.Array,
    current: tuple[jax.Array, jax.Array] | None = None,
    hold: jax.Array | None = None,
) -> jax.Array:
    """Solves with the equations' derivative by the voltages at ``d``, or its transpose.

    Args:
      plan: solver plan.
      transposed: which of the two.
      schedule: how the lanes are worked through; None: as the platform wants it.
      adm: bus admittance matrix.
      d: (2, n_bus, *batch) p.u., voltage deviations by bus index.
      converged: (*batch) bool.
      rhs: (2, n_bus, *batch) by bus index.
      current: P and Q of loads of constant current, (n_bus, *batch) p.u. by bus index; None: there is none.
      hold: (n_bus, *batch) bool, PV buses that hold their voltage, by bus index; None: all.

    Returns:
      (2, n_bus, *batch) by bus index, at slacks the right-hand side's; zero where not converged.
    """

    def run(schedule: Schedule, args: _JacobianArgs) -> jax.Array:
        whole = functools.partial(_solve_jacobian, plan, _voltage_change(plan, transposed, schedule))
        if not isinstance(schedule, AllAtOnce):
            num_axes = args.rhs.ndim - 2
            return with_lanes(lambda x: map_blocks(whole, x, newton_block(plan, schedule, x)), args, num_axes)
        if not _in_rows(plan, schedule, args, args.rhs.ndim - 2):
            return whole(args)
        own, interpreted = plan_of_least_fill(plan), schedule.interpreted == "cuda"
        change = functools.partial(voltage_change_rows, own, transposed, interpreted=interpreted)
        in_rows = functools.partial(_solve_jacobian, own, change)
        return in_rows(args) if interpreted else on_gpu(in_rows, whole, args)

    return scheduled(run, _JacobianArgs(adm, d, converged, rhs, current, hold), schedule)


def _voltage_change(plan: SolverPlan, transposed: bool, schedule: Schedule) -> Callable[..., jax.Array]:
    """``voltage_change_rows`` of a plan by the linear solver of a schedule."""

    def change(adm: Admittance, d: jax.Array, rhs: jax.Array, *given: jax.Array | None) -> jax.Array:
        linear = linear_solver(plan, schedule)
        jac = factorise(plan, linear, adm, voltage(d), bus_power(plan, adm, d), *given)
        return (transposed_voltage_change if transposed else voltage_change)(plan, linear, jac, rhs)

    return change


def _solve_jacobian(plan: SolverPlan, change: Callable[..., jax.Array], args: _JacobianArgs) -> jax.Array:
    """By bus index, with what ``change`` makes of the unknown buses."""
    adm, d, converged, rhs, current, hold = args
    given = unknown_current(plan, current), unknown_hold(plan, hold)
    x = change(adm, take(d, plan.order, 1), of_unknown(plan, rhs), *given)
    held = take(rhs, plan.order[plan.n_unknown :], 1)
    x = jnp.concatenate([x, jnp.broadcast_to(held, (2, plan.n_slack, *x.shape[2:]))], 1)
    return jnp.where(converged[None, None], take(x, plan.position, 1), 0)


def _start(plan: SolverPlan, inputs: Inputs, equations: Equations) -> jax.Array:
    return flat_start(plan, equations) if inputs.start is None else of_unknown(plan, inputs.start)


def _finish(
    plan: SolverPlan, stopping: Stopping, equations: Equations, end: End, energised: jax.Array
) -> Solution:
    allowed = stopping.tol + rounding_floor(plan, equations, end[0])
    return solution_of(plan, equations, end, allowed, energised)


def solution_of(
    plan: SolverPlan, equations: Equations, end: End, allowed: jax.Array, energised: jax.Array
) -> Solution:
    """What is told of lanes, by bus index; those without a solution end at the flat start.

    Args:
      plan: solver plan.
      equations: the equations.
      end: where the lanes ended.
      allowed: (1, 1, *batch) p.u., largest error of a solution.
      energised: (*batch) bool, every bus has a path to a slack.
    """
    d, largest, updates = end
    solved = (largest <= allowed)[0, 0] & energised
    mismatch = jnp.where(jnp.isfinite(largest), largest, jnp.finfo(d.dtype).max)
    flat = deviation(plan, equations, flat_start(plan, equations))
    d = take(jnp.where(solved[None, None], d, flat), plan.position, 1)
    return Solution(*phasor.unstack(d), mismatch[0, 0], solved, updates[0, 0])


def _end(at: Iterate) -> End:
    return at.d, at.largest, at.updates


def _solve_all_at_once(plan: SolverPlan, stopping: Stopping, schedule: AllAtOnce, inputs: Inputs) -> Solution:
    """Newton's method for all lanes: in whole arrays, or bus by bus in one kernel of a GPU.

    The latter takes whatever the former does, see ``_in_rows``.
    """
    whole = functools.partial(_solve_in_levels, plan, stopping, schedule)
    if not _in_rows(plan, schedule, inputs, inputs.p.ndim - 1):
        return whole(inputs)
    interpreted = schedule.interpreted == "cuda"
    in_rows = functools.partial(_solve_in_rows, plan_of_least_fill(plan), stopping, interpreted)
    return in_rows(inputs) if interpreted else on_gpu(in_rows, whole, inputs)


def _in_rows(plan: SolverPlan, schedule: AllAtOnce, args: Any, num_axes: int) -> bool:
    """Whether a GPU may solve in rows: enough lanes by the schedule, and neighbours to eliminate."""
    return num_axes == 1 and len(plan.levels) > 1 and schedule.in_rows(num_lanes(args), plan.n_unknown)


def _solve_in_levels(plan: SolverPlan, stopping: Stopping, schedule: AllAtOnce, inputs: Inputs) -> Solution:
    """As many updates for every lane, and every level of the elimination at once."""
    equations = equations_of(plan, inputs)
    at = start_at(plan, equations, _start(plan, inputs, equations))
    at = iterate_newton(plan, linear_solver(plan, schedule), equations, at, stopping)
    return _finish(plan, stopping, equations, _end(at), all_energised(plan, inputs.branch.in_service))


def _solve_in_rows(plan: SolverPlan, stopping: Stopping, interpreted: bool, inputs: Inputs) -> Solution:
    """As many updates as the slowest lane of a block takes."""
    equations = equations_of(plan, inputs)
    start = with_slacks(plan, equations, _start(plan, inputs, equations), inputs.apart)
    end = iterate_rows(plan, stopping, equations, start, interpreted=interpreted)
    return _finish(plan, stopping, equations, end, all_energised(plan, inputs.branch.in_service))


def _solve_by_newton(plan: SolverPlan, stopping: Stopping, schedule: CPUBlocks, inputs: Inputs) -> Solution:
    """Newton's method in blocks; the stragglers of each are finished apart from the others."""
    linear, size = linear_solver(plan, schedule), newton_block(plan, schedule, inputs)
    left = schedule.stragglers(num_lanes(inputs), size)

    def block(own: Inputs) -> Solution:
        equations = equations_of(plan, own)
        at = start_at(plan, equations, _start(plan, own, equations))
        at = iterate_newton(plan, linear, equations, at, stopping, leave=left)
        if left:
            waiting = moving(at, stopping)[0, 0]
            at = jax.lax.cond(waiting.any(), lambda: finish(equations, at, waiting), lambda: at)
        return _finish(plan, stopping, equations, _end(at), all_energised(plan, own.branch.in_service))

    def finish(equations: Equations, at: Iterate, waiting: jax.Array) -> Iterate:
        (index,) = jnp.nonzero(waiting, size=left, fill_value=size)
        late = iterate_newton(plan, linear, *take_lanes((equations, at), index), stopping, leave=0)
        return set_lanes(at, late, index)

    return map_blocks(block, inputs, size)


def _share_jacobian(schedule: CPUBlocks, inputs: Inputs) -> bool:
    """Whether there are many lanes of one network, with a base case."""
    if inputs.base is None or inputs.p.ndim == 1:
        return False
    network = inputs._replace(p=inputs.p[..., :1], q=inputs.q[..., :1], start=None)
    return num_lanes(network) == 1 and num_lanes(inputs) >= schedule.min_lanes_to_share


def _solve_by_chord(plan: SolverPlan, stopping: Stopping, schedule: CPUBlocks, inputs: Inputs) -> Solution:
    """Chord method in blocks, with the Jacobian of the base case; Newton's for the lanes that it leaves."""
    lanes, linear = num_lanes(inputs), linear_solver(plan, schedule)
    assert inputs.base is not None
    alone = inputs._replace(p=inputs.base[0], q=inputs.base[1], start=None)
    of_base = equations_of(plan, alone)
    energised = all_energised(plan, inputs.branch.in_service)
    base = start_at(plan, of_base, flat_start(plan, of_base))
    base = iterate_newton(plan, linear, of_base, base, Stopping(BASE_UPDATES, 0.0), leave=0)
    held = of_base.current, of_base.hold
    jac = factorise(plan, linear, of_base.adm, voltage(base.d), base.sent, *held)

    def begin(s: jax.Array, start: jax.Array | None) -> tuple[Equations, jax.Array]:
        given = given_of(plan, of_unknown(plan, s), of_base.excess, of_base.hold)
        equations = of_base._replace(given=given)
        return equations, flat_start(plan, equations) if start is None else of_unknown(plan, start)

    def block(own: tuple[jax.Array, jax.Array | None]) -> Solution:
        equations, x = begin(*own)
        end = iterate_chord(plan, linear, equations, x, jac, stopping.tol)
        return _finish(plan, stopping, equations, end, energised)

    solutions = map_blocks(block, (inputs.s, inputs.start), chord_block(plan, schedule, inputs))
    width = min(FINISH_LINES * schedule.line_bytes // inputs.p.dtype.itemsize, lanes)

    def finish(carry: tuple[jax.Array, Solution]) -> tuple[jax.Array, Solution]:
        waiting, solutions = carry
        (index,) = jnp.nonzero(waiting, size=width, fill_value=lanes)
        s, start, done = take_lanes((inputs.s, inputs.start, solutions.iterations), index)
        equations, x = begin(s, start)
        at = of_lanes(start_at(plan, equations, x))  # they are few: not worth another copy of the method
        at = iterate_newton(plan, linear, equations, at, stopping, leave=0)
        solution = _finish(plan, stopping, equations, _end(at), energised)
        solution = solution._replace(iterations=solution.iterations + done)
        return waiting.at[index].set(False, mode="drop"), set_lanes(solutions, solution, index)

    return jax.lax.while_loop(
        lambda carry: carry[0].any(), finish, (~solutions.converged & energised, solutions)
    )[1]


def newton_block(plan: SolverPlan, schedule: Schedule, args: Any) -> int:
    """Lanes of a block of Newton's method."""
    matrices = 4 * sum(level.entries.stop - level.entries.start for level in plan.levels)
    return _block(schedule, args, matrices, NEWTON_SHARE)


def chord_block(plan: SolverPlan, schedule: Schedule, args: Any) -> int:
    """Lanes of a block of the chord method, which holds some numbers a bus and the currents of the edges."""
    return _block(schedule, args, 12 * len(plan.order) + 4 * len(plan.edge_tail), CHORD_SHARE)


def _block(schedule: Schedule, args: Any, numbers: int, share: float) -> int:
    itemsize = max(x.dtype.itemsize for x in jax.tree.leaves(args))
    return schedule.block(num_lanes(args), itemsize * numbers, Fit(share, MIN_ROW_BYTES // itemsize))
