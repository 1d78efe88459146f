"""Newton's method for the AC power flow in polar coordinates: x <- x - dx, where J dx = F.

The equations F and the unknowns x are those of ``equations.py``. An update moves the angles by Im w and the
magnitudes by |V| Re w, with w the relative change of the voltages that solves the system of ``jacobian.py``.
A lane stops at its first iterate within the tolerance and holds it while the others go on.

Reference: Tinney & Hart, "Power Flow Solution by Newton's Method", IEEE Trans. PAS-86 (1967).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes import phasor
from anmjax.lanes.written import in_kernel
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.solver import LinearSolver
from anmjax.powerflow.equations import (
    Equations,
    bus_power,
    column,
    deviation,
    largest_entry,
    residual,
    voltage,
)
from anmjax.powerflow.jacobian import Jacobian, factorise, relative_change


class Iterate(NamedTuple):
    """Voltages and what they imply."""

    x: jax.Array  # (2, n_unknown, *batch) angle in rad, magnitude excess in p.u.
    d: jax.Array  # (2, n_bus, *batch) p.u., voltage deviations
    sent: jax.Array  # (2, n_bus, *batch) p.u., power that each bus sends into the network
    error: jax.Array  # (2, n_unknown, *batch) p.u., residual of the equations
    largest: jax.Array  # (1, 1, *batch) p.u., its largest entry by magnitude; NaN where there is one
    updates: jax.Array  # (1, 1, *batch) int, updates made so far

    @property
    def shared(self) -> bool:
        """Whether lanes share voltages and network, so that there is one Jacobian for all of them."""
        return self.sent.shape[2:] != self.error.shape[2:]


class Stopping(NamedTuple):
    """When to stop."""

    num_iters: int  # updates of a lane at most
    tol: float  # p.u., largest error of a solution


def evaluate(plan: SolverPlan, equations: Equations, x: jax.Array, updates: jax.Array) -> Iterate:
    """Evaluates the equations at ``x``."""
    d = deviation(plan, equations, x)
    sent = bus_power(plan, equations.adm, d)
    error = residual(plan, equations, d, sent, x[1])
    return Iterate(x, d, sent, error, largest_entry(error), updates)


def start_at(plan: SolverPlan, equations: Equations, x: jax.Array) -> Iterate:
    """The iterate at ``x``, which lanes of one network may share: then they share all of it but the error."""
    at = evaluate(plan, equations, x, jnp.int32(0))
    at = at._replace(updates=jnp.zeros_like(at.largest, np.int32))
    return at if at.shared else of_lanes(at)


def of_lanes(at: Iterate) -> Iterate:
    """The iterate with what lanes share written out for each."""
    batch = at.error.shape[2:]
    x, d, sent = (jnp.broadcast_to(y, (*y.shape[:2], *batch)) for y in (at.x, at.d, at.sent))
    return at._replace(x=x, d=d, sent=sent)


def flat_start(plan: SolverPlan, equations: Equations) -> jax.Array:
    """Angles of a slack; magnitudes of the set-points at PV buses, 1 p.u. at PQ buses."""
    held = column(list(plan.is_pv), 0, equations.excess.ndim)
    excess = jnp.where(held, equations.excess[: plan.n_unknown], 0)
    if equations.further is None:
        return jnp.stack([jnp.zeros_like(excess), excess])
    return phasor.stack(equations.further.angle, excess)


def moving(at: Iterate, stopping: Stopping) -> jax.Array:
    """Lanes that are neither within the tolerance nor at the end of their updates, (1, 1, *batch)."""
    return (at.largest > stopping.tol) & (at.updates < stopping.num_iters)


def update(
    plan: SolverPlan,
    linear: LinearSolver,
    equations: Equations,
    at: Iterate,
    jac: Jacobian,
    moves: jax.Array,
) -> Iterate:
    """One update of the lanes that move, (1, 1, *batch) bool, with the given Jacobian."""
    x = jnp.where(moves, stepped(at.x, relative_change(plan, linear, jac, at.error)), at.x)
    return evaluate(plan, equations, x, at.updates + moves.astype(at.updates.dtype))


def stepped(x: jax.Array, change: jax.Array) -> jax.Array:
    """Angles and excesses less a change of ln |V| and of the angle, all (2, component, *batch)."""
    step = jnp.flip(change, 0)
    # |V| moves by its absolute value times the step in ln |V|: an iterate that strays to |V| < 0
    # moves as in the reference simulator, whose derivative by |V| has the direction V / |V|.
    return x - step * jnp.where(column([True, False], 0, step.ndim), 1, jnp.abs(1 + x[1])[None])


def iterate_newton(
    plan: SolverPlan,
    linear: LinearSolver,
    equations: Equations,
    at: Iterate,
    stopping: Stopping,
    *,
    leave: jax.Array | int | None = None,
) -> Iterate:
    """Newton's method from ``at`` on; the first update of lanes that share ``at`` is made with one Jacobian.

    Args:
      plan: solver plan.
      linear: solver of the linear systems.
      equations: the equations.
      at: where to start.
      stopping: when to stop.
      leave: ends when no more than so many lanes move; None for a fixed number of iterations.
    """

    def step(at: Iterate) -> Iterate:
        jac = factorise(
            plan, linear, equations.adm, voltage(at.d), at.sent, equations.current, equations.hold
        )
        return update(plan, linear, equations, at, jac, moving(at, stopping))

    done = int(at.shared)
    at = step(at) if done else at
    if leave is None and at.x.ndim == 2:
        return _iterate_lane(plan, equations, at, stopping, step)
    if leave is None:
        return jax.lax.fori_loop(done, stopping.num_iters, lambda _, at: step(at), at)
    return jax.lax.while_loop(lambda at: moving(at, stopping).sum() > leave, step, at)


def _iterate_lane(
    plan: SolverPlan,
    equations: Equations,
    at: Iterate,
    stopping: Stopping,
    step: Callable[[Iterate], Iterate],
) -> Iterate:
    """The iterations of one lane, evaluated element by element.

    In a kernel as many as it needs. Outside a fixed number that hands on no more than all else follows from:
    an update is then one kernel that keeps the rest in registers.
    """

    def turn(_: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        at = step(evaluate(plan, equations, *carry))
        return at.x, at.updates

    def fixed(at: Iterate) -> Iterate:
        return evaluate(plan, equations, *jax.lax.fori_loop(0, stopping.num_iters, turn, (at.x, at.updates)))

    def needed(at: Iterate) -> Iterate:
        return jax.lax.while_loop(lambda at: moving(at, stopping)[0, 0], step, at)

    return in_kernel(needed, fixed)(at)
