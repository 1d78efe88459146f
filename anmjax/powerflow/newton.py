"""Newton's method for the AC power flow in polar coordinates.

The equations of a bus are P and Q, at a PV bus P and |V_i| = v_set. An update moves the angles by Im w and
the magnitudes by |V| Re w, with w the relative change of the voltages that solves the system of
``jacobian.py``. A lane stops at its first iterate within the tolerance and holds it while the others go on.

Unknowns are x = [angle, excess], ``[2, n_bus - 1, *batch]``, with the angle counted from the slack's and
excess u = |V| - 1; buses are in the plan's numbering, the slack last; phasors are
``[2, component, *batch]``. Currents are summed from differences of the deviations d = V - 1
(Re d = u - 2 |V| sin^2(theta/2), Im d = |V| sin(theta)): the voltages of a feeder agree to a few percent,
and their differences would otherwise drown in float32 rounding.

Reference: Tinney & Hart, "Power Flow Solution by Newton's Method", IEEE Trans. PAS-86 (1967).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.powerflow import phasor
from anmjax.powerflow.admittance import Admittance
from anmjax.powerflow.gather import evaluated, gather_sum, place, take
from anmjax.powerflow.half_angle import half_angle
from anmjax.powerflow.jacobian import Jacobian, factorise, relative_change
from anmjax.powerflow.linear import LinearSolver
from anmjax.powerflow.plan import SolverPlan


class Problem(NamedTuple):
    """The power-flow equations of a batch of lanes, in the plan's numbering."""

    adm: Admittance
    excess: jax.Array  # (n_bus, *batch) p.u., v_set - 1 of the slack and PV buses
    s: jax.Array  # (2, n_bus - 1, *batch) p.u., injections


class Iterate(NamedTuple):
    """Voltages and what they imply."""

    x: jax.Array  # (2, n_bus - 1, *batch) angle in rad, magnitude excess in p.u.
    d: jax.Array  # (2, n_bus, *batch) p.u., voltage deviations
    sent: jax.Array  # (2, n_bus, *batch) p.u., power that each bus sends into the network
    error: jax.Array  # (2, n_bus - 1, *batch) p.u., residual of the equations
    largest: jax.Array  # (1, 1, *batch) p.u., its largest entry by magnitude; NaN where there is one
    updates: jax.Array  # (1, 1, *batch) int, updates made so far

    @property
    def shared(self) -> bool:
        """Whether lanes share voltages and network, so that there is one Jacobian for all of them."""
        return self.sent.shape[2:] != self.error.shape[2:]


class Schedule(NamedTuple):
    """When to stop."""

    num_iters: int  # updates of a lane at most
    tol: float  # p.u., largest error of a solution


def deviation(x: jax.Array, slack_excess: jax.Array) -> jax.Array:
    """V - 1 of every bus in the slack's frame, (2, n_bus, *batch).

    Args:
      x: (2, n_bus - 1, *batch) angle and excess of the unknown buses.
      slack_excess: (*batch) p.u., |V| - 1 of the slack.
    """
    angle, excess = x
    sine, cosine = half_angle(angle)
    chord = 2 * (1 + excess) * sine
    batch = jnp.broadcast_shapes(x.shape[2:], slack_excess.shape)
    d = jnp.zeros((2, x.shape[1] + 1, *batch), x.dtype)
    d = place(d, (excess - chord * sine)[None], 0, 0)
    d = place(d, (chord * cosine)[None], 1, 0)
    return place(d, slack_excess[None, None], 0, x.shape[1])


def voltage(d: jax.Array) -> jax.Array:
    """V from the deviation V - 1."""
    return d + np.array([1, 0], d.dtype).reshape(2, *[1] * (d.ndim - 1))


def bus_current(plan: SolverPlan, adm: Admittance, d: jax.Array) -> jax.Array:
    """Current that each bus sends into the network, (2, n_bus, *batch) p.u.

    Args:
      plan: solver plan.
      adm: bus admittance matrix.
      d: (2, n_bus, *batch) voltage deviations V - 1.
    """
    along = phasor.multiply(adm.edge, take(d, plan.edge_head, 1) - take(d, plan.edge_tail, 1))
    current = evaluated(functools.partial(gather_sum, plan.edge_to_bus, axis=1))(along)
    return current + phasor.multiply(adm.row, voltage(d))


def bus_power(plan: SolverPlan, adm: Admittance, d: jax.Array) -> jax.Array:
    """Power that each bus sends into the network, (2, n_bus, *batch) p.u.; see ``bus_current``."""
    return phasor.multiply(voltage(d), phasor.conj(bus_current(plan, adm, d)))


def evaluate(plan: SolverPlan, problem: Problem, x: jax.Array, updates: jax.Array) -> Iterate:
    """Evaluates the equations at ``x``: power sent less injected, or |V| less its set-point."""
    d = deviation(x, problem.excess[-1])
    sent = bus_power(plan, problem.adm, d)
    error = sent[:, :-1] - problem.s
    if plan.is_pv.any():
        error = jnp.where(held_rows(plan, error), x[1:] - problem.excess[None, :-1], error)
    return Iterate(x, d, sent, error, largest_entry(error), updates)


def largest_entry(error: jax.Array) -> jax.Array:
    """Largest magnitude over the equations, (1, 1, *batch); NaN where one is not finite."""
    # XLA's CPU backend drops NaNs from the maximum over long arrays (jax 0.10.2).
    size = jnp.where(jnp.isnan(error), jnp.inf, jnp.abs(error))
    largest = size.max(axis=(0, 1), keepdims=True, initial=0)
    return jnp.where(jnp.isfinite(largest), largest, jnp.nan)


def held_rows(plan: SolverPlan, error: jax.Array) -> np.ndarray:
    """Mask of the equations, (2, n_bus - 1, *batch), that hold a voltage magnitude."""
    return _column(list(plan.is_pv), 1, error.ndim) & _column([False, True], 0, error.ndim)


def equations(plan: SolverPlan, adm: Admittance, d: jax.Array) -> jax.Array:
    """What the equations ask of voltages, as a function with derivatives, (2, n_bus - 1, *batch) p.u.

    Power sent; |V| - 1 in place of the reactive power of PV buses.
    """
    sent = bus_power(plan, adm, d)[:, :-1]
    if not plan.is_pv.any():
        return sent
    excess = phasor.magnitude(voltage(d)[:, :-1]) - 1
    return jnp.where(held_rows(plan, sent), excess[None], sent)


def start_at(plan: SolverPlan, problem: Problem, x: jax.Array) -> Iterate:
    """The iterate at ``x``, which lanes of one network may share: then they share all of it but the error."""
    at = evaluate(plan, problem, x, jnp.int32(0))
    at = at._replace(updates=jnp.zeros(at.largest.shape, np.int32))
    return at if at.shared else of_lanes(at)


def of_lanes(at: Iterate) -> Iterate:
    """The iterate with what lanes share written out for each."""
    batch = at.error.shape[2:]
    x, d, sent = (jnp.broadcast_to(y, (*y.shape[:2], *batch)) for y in (at.x, at.d, at.sent))
    return at._replace(x=x, d=d, sent=sent)


def flat_start(plan: SolverPlan, problem: Problem) -> jax.Array:
    """Angles of the slack; magnitudes of the set-points at PV buses, 1 p.u. at PQ buses."""
    excess = jnp.where(_column(list(plan.is_pv), 0, problem.excess.ndim), problem.excess[:-1], 0)
    return jnp.stack([jnp.zeros_like(excess), excess])


def moving(at: Iterate, schedule: Schedule) -> jax.Array:
    """Lanes that are neither within the tolerance nor at the end of their updates, (1, 1, *batch)."""
    return (at.largest > schedule.tol) & (at.updates < schedule.num_iters)


def update(
    plan: SolverPlan,
    linear: LinearSolver,
    problem: Problem,
    at: Iterate,
    jac: Jacobian,
    moves: jax.Array,
) -> Iterate:
    """One update of the lanes that move, (1, 1, *batch) bool, with the given Jacobian."""
    step = jnp.flip(relative_change(plan, linear, jac, at.error), 0)
    # |V| moves by its absolute value times the step in ln |V|: an iterate that strays to |V| < 0
    # moves as in the reference simulator, whose derivative by |V| has the direction V / |V|.
    scale = jnp.where(_column([True, False], 0, step.ndim), 1, jnp.abs(1 + at.x[1])[None])
    x = jnp.where(moves, at.x - step * scale, at.x)
    return evaluate(plan, problem, x, at.updates + moves.astype(at.updates.dtype))


def iterate_newton(
    plan: SolverPlan,
    linear: LinearSolver,
    problem: Problem,
    at: Iterate,
    schedule: Schedule,
    *,
    leave: jax.Array | int | None = None,
) -> Iterate:
    """Newton's method from ``at`` on; the first update of lanes that share ``at`` is made with one Jacobian.

    Args:
      plan: solver plan.
      linear: solver of the linear systems.
      problem: the equations.
      at: where to start.
      schedule: when to stop.
      leave: ends when no more than so many lanes move; None for a fixed number of iterations.
    """

    def step(at: Iterate) -> Iterate:
        jac = factorise(plan, linear, problem.adm, voltage(at.d), at.sent)
        return update(plan, linear, problem, at, jac, moving(at, schedule))

    done = int(at.shared)
    at = step(at) if done else at
    if leave is None:
        return jax.lax.fori_loop(done, schedule.num_iters, lambda _, at: step(at), at)
    return jax.lax.while_loop(lambda at: moving(at, schedule).sum() > leave, step, at)


def rounding_floor(plan: SolverPlan, adm: Admittance, d: jax.Array) -> jax.Array:
    """Mismatch that rounding alone can cause, largest over buses, (1, 1, *batch) p.u.

    Each branch current is the product of an admittance and a difference of deviations, each of them
    known to about one unit in its last place.
    """
    size = phasor.magnitude(d)
    reach = take(size, plan.edge_tail) + take(size, plan.edge_head)
    error = gather_sum(plan.edge_to_bus, phasor.magnitude(adm.edge) * reach)
    return jnp.finfo(d.dtype).eps * error.max(axis=0)[None, None]


def _column(values: list, axis: int, ndim: int) -> np.ndarray:
    return np.array(values).reshape([-1 if i == axis else 1 for i in range(ndim)])
