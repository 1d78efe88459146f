"""Which method solves which lanes of a batch: all at once, or on a CPU in blocks that fit its cache.

On a CPU a lane that needs ten Newton iterations does not make its neighbours wait: a block is left when few
of its lanes still move, and these stragglers are gathered and finished apart. Many lanes of one
network share the Jacobian of its base case, factorised once, in the chord method; what it does not solve,
Newton's method does, from the start again. No lane depends on another: the base case belongs to the network.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from anmjax.lanes import phasor
from anmjax.lanes.blocks import (
    LINE_LANES,
    by_platform,
    even_blocks,
    map_blocks,
    num_lanes,
    set_lanes,
    take_lanes,
)
from anmjax.lanes.gather import take
from anmjax.powerflow.admittance import Admittance, BranchParameters, Shunts, admittance
from anmjax.powerflow.chord import Ended, iterate_chord
from anmjax.powerflow.connectivity import all_energised, angles_of_slacks
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.solver import LinearSolver, looped, unrolled
from anmjax.powerflow.jacobian import factorise, transposed_voltage_change, voltage_change
from anmjax.powerflow.newton import (
    FurtherSlacks,
    Iterate,
    Problem,
    Schedule,
    bus_power,
    deviation,
    flat_start,
    iterate_newton,
    moving,
    of_lanes,
    polar_deviation,
    rounding_floor,
    start_at,
    voltage,
)

# Bytes of a block's matrices in Newton's method, about a core's L2 cache: there the cost of the loops
# and the cost of missing the cache balance.
BLOCK_BYTES = 1_100_000
# Lanes of a block at least, in bytes of a row: below, loops of a few lanes cost more than missing the cache.
MIN_ROW_BYTES = 256
# A block is left when no more than one lane in so many still moves.
STRAGGLER_SHARE = 12
# So few lanes wait for their slowest: a second, narrower copy of the method takes seconds to compile.
MAX_LANES_TOGETHER = 256
# Bytes of a block in the chord method, which holds vectors only.
CHORD_BLOCK_BYTES = 2_000_000
# From this many lanes on they share a Jacobian: that of the base case after so many updates.
MIN_LANES_TO_SHARE, BASE_UPDATES = 128, 2
# Lanes that the chord method leaves unsolved are finished together, in so many bytes of a row.
FINISH_ROW_BYTES = 192


class Inputs(NamedTuple):
    """What a power flow depends on; every leaf ``[component, *batch]``, axes of size one are shared."""

    branch: BranchParameters
    shunts: Shunts
    v_set: jax.Array  # (n_bus, *batch) p.u., by bus index; that of PQ buses does not matter
    p: jax.Array  # (n_bus, *batch) p.u., active injections by bus index; those of slacks do not matter
    q: jax.Array  # (n_bus, *batch) p.u., reactive injections; those of slacks and PV buses do not matter
    start: jax.Array | None  # (2, n_bus, *batch) angle and excess to start from; None: flat
    base: jax.Array | None  # (2, n_bus, *batch) p and q near those of most lanes; None: Newton's method alone
    # (n_slack - 1, *batch) rad, angles held at slacks after the first, counted from its; None: there is one
    apart: jax.Array | None = None
    current: tuple[jax.Array, jax.Array] | None = None  # (n_bus, *batch) p.u., P and Q at 1 p.u. of voltage

    @property
    def s(self) -> jax.Array:
        """(2, n_bus, *batch) p.u., injections."""
        return phasor.stack(self.p, self.q)


class Result(NamedTuple):
    """Where the iteration ended."""

    d: jax.Array  # (2, n_bus, *batch) p.u., voltage deviations V - 1 in the first slack's frame, by bus index
    mismatch: jax.Array  # (*batch) p.u., largest error of the equations
    converged: jax.Array  # (*batch) bool
    iterations: jax.Array  # (*batch) int, updates made


def problem_of(plan: SolverPlan, inputs: Inputs) -> Problem:
    """The equations of a batch."""
    adm = admittance(plan, inputs.branch, inputs.shunts)
    excess = take(inputs.v_set, plan.order) - 1
    further = None
    if inputs.apart is not None:
        d = phasor.stack(*polar_deviation(inputs.apart, excess[plan.n_unknown + 1 :]))
        angle = jnp.concatenate([jnp.zeros_like(inputs.apart[:1]), inputs.apart])
        further = FurtherSlacks(d, angles_of_slacks(plan, inputs.branch.in_service, angle))
    return Problem(adm, excess, _unknown(plan, inputs.s), further, unknown_current(plan, inputs.current))


def unknown_current(plan: SolverPlan, current: tuple[jax.Array, jax.Array] | None) -> jax.Array | None:
    """Loads of constant current in the plan's order, (2, n_unknown, *batch), of all by bus index."""
    return None if current is None else _unknown(plan, phasor.stack(*current))


def _unknown(plan: SolverPlan, x: jax.Array) -> jax.Array:
    """Buses but the slacks in the plan's order, (2, n_unknown, *batch), of all by bus index."""
    return take(x, plan.order[: plan.n_unknown], 1)


def solve_lanes(plan: SolverPlan, schedule: Schedule, inputs: Inputs) -> Result:
    """Solves every lane of a batch; not differentiable by itself, see ``implicit.py``.

    A lane without a solution ends at the flat start.
    """

    def whole(inputs: Inputs) -> Result:
        problem = problem_of(plan, inputs)
        linear = unrolled(plan)
        at = start_at(plan, problem, _start(plan, inputs))
        at = iterate_newton(plan, linear, problem, at, schedule)
        return _finish(plan, schedule, problem, at, all_energised(plan, inputs.branch.in_service))

    def blocks(inputs: Inputs) -> Result:
        return (_solve_by_chord if _share_jacobian(inputs) else _solve_by_newton)(plan, schedule, inputs)

    return by_platform(blocks, whole, inputs, inputs.p.ndim - 1)


class _JacobianArgs(NamedTuple):
    adm: Admittance
    d: jax.Array  # solution
    converged: jax.Array  # which lanes have one
    rhs: jax.Array
    current: tuple[jax.Array, jax.Array] | None


def solve_jacobian_lanes(
    plan: SolverPlan,
    transposed: bool,
    adm: Admittance,
    d: jax.Array,
    converged: jax.Array,
    rhs: jax.Array,
    current: tuple[jax.Array, jax.Array] | None = None,
) -> jax.Array:
    """Solves with the equations' derivative by the voltages at ``d``, or its transpose.

    Args:
      plan: solver plan.
      transposed: which of the two.
      adm: bus admittance matrix.
      d: (2, n_bus, *batch) p.u., voltage deviations by bus index.
      converged: (*batch) bool.
      rhs: (2, n_bus, *batch) by bus index.
      current: P and Q of loads of constant current, (n_bus, *batch) p.u. by bus index; None: there is none.

    Returns:
      (2, n_bus, *batch) by bus index, at slacks the right-hand side's; zero where not converged.
    """

    def solved(linear: LinearSolver, args: _JacobianArgs) -> jax.Array:
        adm, d, converged, rhs, current = args
        d, given = take(d, plan.order, 1), rhs
        drawn = unknown_current(plan, current)
        jac = factorise(plan, linear, adm, voltage(d), bus_power(plan, adm, d), drawn)
        change = transposed_voltage_change if transposed else voltage_change
        x = change(plan, linear, jac, _unknown(plan, rhs))
        held = take(given, plan.order[plan.n_unknown :], 1)
        x = jnp.concatenate([x, jnp.broadcast_to(held, (2, plan.n_slack, *x.shape[2:]))], 1)
        return jnp.where(converged[None, None], take(x, plan.position, 1), 0)

    def whole(args: _JacobianArgs) -> jax.Array:
        return solved(unrolled(plan), args)

    def blocks(args: _JacobianArgs) -> jax.Array:
        return map_blocks(functools.partial(solved, looped(plan)), args, newton_block_size(plan, args))

    return by_platform(blocks, whole, _JacobianArgs(adm, d, converged, rhs, current), rhs.ndim - 2)


def _start(plan: SolverPlan, inputs: Inputs) -> jax.Array:
    if inputs.start is None:
        return flat_start(plan, problem_of(plan, inputs))
    return _unknown(plan, inputs.start)


def _finish(
    plan: SolverPlan, schedule: Schedule, problem: Problem, at: Iterate | Ended, energised: jax.Array
) -> Result:
    allowed = schedule.tol + rounding_floor(plan, problem, at.d)
    solved = (at.largest <= allowed)[0, 0] & energised
    mismatch = jnp.where(jnp.isfinite(at.largest), at.largest, jnp.finfo(at.d.dtype).max)
    flat = deviation(plan, problem, flat_start(plan, problem))
    d = take(jnp.where(solved[None, None], at.d, flat), plan.position, 1)
    return Result(d, mismatch[0, 0], solved, at.updates[0, 0])


def _share_jacobian(inputs: Inputs) -> bool:
    """Whether there are many lanes of one network, with a base case."""
    network = inputs._replace(p=inputs.p[..., :1], q=inputs.q[..., :1], start=None)
    return inputs.base is not None and num_lanes(network) == 1 and num_lanes(inputs) >= MIN_LANES_TO_SHARE


def _solve_by_chord(plan: SolverPlan, schedule: Schedule, inputs: Inputs) -> Result:
    """Chord method in blocks, with the Jacobian of the base case; Newton's for the lanes that it leaves."""
    lanes, linear = num_lanes(inputs), looped(plan)
    assert inputs.base is not None
    alone = inputs._replace(p=inputs.base[0], q=inputs.base[1], start=None)
    base_problem = problem_of(plan, alone)
    energised = all_energised(plan, inputs.branch.in_service)
    base = start_at(plan, base_problem, flat_start(plan, base_problem))
    base = iterate_newton(plan, linear, base_problem, base, Schedule(BASE_UPDATES, 0.0), leave=0)
    jac = factorise(plan, linear, base_problem.adm, voltage(base.d), base.sent, base_problem.current)
    size = chord_block_size(plan, inputs)

    def begin(s: jax.Array, start: jax.Array | None) -> tuple[Problem, jax.Array]:
        problem = base_problem._replace(s=_unknown(plan, s))
        return problem, flat_start(plan, problem) if start is None else _unknown(plan, start)

    def block(own: tuple[jax.Array, jax.Array | None]) -> Result:
        problem, x = begin(*own)
        at = iterate_chord(plan, linear, problem, x, jac, schedule.tol)
        return _finish(plan, schedule, problem, at, energised)

    results = map_blocks(block, (inputs.s, inputs.start), size)
    width = min(FINISH_ROW_BYTES // inputs.p.dtype.itemsize, lanes)

    def finish(carry: tuple[jax.Array, Result]) -> tuple[jax.Array, Result]:
        waiting, results = carry
        (index,) = jnp.nonzero(waiting, size=width, fill_value=lanes)
        s, start, done = take_lanes((inputs.s, inputs.start, results.iterations), index)
        problem, x = begin(s, start)
        at = of_lanes(start_at(plan, problem, x))  # they are few: not worth another copy of the method
        at = iterate_newton(plan, linear, problem, at, schedule, leave=0)
        result = _finish(plan, schedule, problem, at, energised)
        result = result._replace(iterations=result.iterations + done)
        return waiting.at[index].set(False, mode="drop"), set_lanes(results, result, index)

    return jax.lax.while_loop(
        lambda carry: carry[0].any(), finish, (~results.converged & energised, results)
    )[1]


def _solve_by_newton(plan: SolverPlan, schedule: Schedule, inputs: Inputs) -> Result:
    """Newton's method in blocks; the stragglers of each are finished apart from the others."""
    linear, size = looped(plan), newton_block_size(plan, inputs)
    share = size // STRAGGLER_SHARE if num_lanes(inputs) > MAX_LANES_TOGETHER else 0
    share -= share % LINE_LANES if share > LINE_LANES else 0

    def block(own: Inputs) -> Result:
        problem = problem_of(plan, own)
        at = start_at(plan, problem, _start(plan, own))
        at = iterate_newton(plan, linear, problem, at, schedule, leave=share)
        if share:
            waiting = moving(at, schedule)[0, 0]
            at = jax.lax.cond(waiting.any(), lambda: finish(problem, at, waiting), lambda: at)
        return _finish(plan, schedule, problem, at, all_energised(plan, own.branch.in_service))

    def finish(problem: Problem, at: Iterate, waiting: jax.Array) -> Iterate:
        (index,) = jnp.nonzero(waiting, size=share, fill_value=size)
        late = iterate_newton(plan, linear, *take_lanes((problem, at), index), schedule, leave=0)
        return set_lanes(at, late, index)

    return map_blocks(block, inputs, size)


def newton_block_size(plan: SolverPlan, args: Any) -> int:
    """Lanes of a block of Newton's method."""
    itemsize = max(x.dtype.itemsize for x in jax.tree.leaves(args))
    blocks = sum(level.entries.stop - level.entries.start for level in plan.levels)
    fits = max(BLOCK_BYTES // max(4 * itemsize * blocks, 1), MIN_ROW_BYTES // itemsize)
    return even_blocks(num_lanes(args), fits)


def chord_block_size(plan: SolverPlan, args: Any) -> int:
    """Lanes of a block of the chord method, which holds some numbers a bus and the currents of the edges."""
    itemsize = max(x.dtype.itemsize for x in jax.tree.leaves(args))
    numbers = 12 * len(plan.order) + 4 * len(plan.edge_tail)
    fits = max(CHORD_BLOCK_BYTES // (itemsize * numbers), MIN_ROW_BYTES // itemsize)
    return even_blocks(num_lanes(args), fits)
