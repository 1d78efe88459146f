"""Newton's method for the AC power flow in polar coordinates.

The equations of a bus are P and Q, at a PV bus P and |V_i| = v_set. An update moves the angles by Im w and
the magnitudes by |V| Re w, with w the relative change of the voltages that solves the system of
``jacobian.py``. A lane stops at its first iterate within the tolerance and holds it while the others go on.

A load of constant current draws |V| s_i, so that the equations are: power sent + |V| s_i = injection.

Unknowns are x = [angle, excess], ``[2, n_unknown, *batch]``, with the angle counted from the first slack's
and excess u = |V| - 1; buses are in the plan's numbering, the slacks last; phasors are
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

from anmjax.lanes import phasor
from anmjax.lanes.gather import gather_sum, place, take
from anmjax.lanes.half_angle import half_angle
from anmjax.lanes.kernels import evaluated
from anmjax.powerflow.admittance import Admittance
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.solver import LinearSolver
from anmjax.powerflow.jacobian import Jacobian, factorise, relative_change


class FurtherSlacks(NamedTuple):
    """What slacks after the first bring in."""

    d: jax.Array  # (2, n_slack - 1, *batch) p.u., their voltage deviations in the frame of the first
    angle: jax.Array  # (n_unknown, *batch) rad, where a flat start begins: at the angle of a slack nearby


class Problem(NamedTuple):
    """The power-flow equations of a batch of lanes, in the plan's numbering."""

    adm: Admittance
    excess: jax.Array  # (n_bus, *batch) p.u., v_set - 1 of slacks and PV buses
    s: jax.Array  # (2, n_unknown, *batch) p.u., injections
    further: FurtherSlacks | None = None  # None: there is one slack
    current: jax.Array | None = None  # (2, n_unknown, *batch) p.u., s_i; None: no load of constant current


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


class Schedule(NamedTuple):
    """When to stop."""

    num_iters: int  # updates of a lane at most
    tol: float  # p.u., largest error of a solution


def deviation(plan: SolverPlan, problem: Problem, x: jax.Array) -> jax.Array:
    """V - 1 of every bus in the frame of the first slack, (2, n_bus, *batch).

    Args:
      plan: solver plan.
      problem: the equations, which say what the slacks are held at.
      x: (2, n_unknown, *batch) angle and excess of the unknown buses.
    """
    n, further = plan.n_unknown, problem.further
    slack_excess = problem.excess[n]
    re, im = polar_deviation(*x)
    batch = jnp.broadcast_shapes(x.shape[2:], slack_excess.shape, further.d.shape[2:] if further else ())
    d = jnp.zeros((2, len(plan.order), *batch), x.dtype)
    d = place(d, re[None], 0, 0)
    d = place(d, im[None], 1, 0)
    d = place(d, slack_excess[None, None], 0, n)
    return d if further is None else place(d, further.d, 0, n + 1)


def polar_deviation(angle: jax.Array, excess: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Real and imaginary part of V - 1 from the angle in rad and |V| - 1 in p.u."""
    sine, cosine = half_angle(angle)
    chord = 2 * (1 + excess) * sine
    return excess - chord * sine, chord * cosine


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
    d = deviation(plan, problem, x)
    sent = bus_power(plan, problem.adm, d)
    error = drawn(problem.current, d, sent[:, : plan.n_unknown]) - problem.s
    if plan.is_pv.any():
        error = jnp.where(held_rows(plan, error), x[1:] - problem.excess[None, : plan.n_unknown], error)
    return Iterate(x, d, sent, error, largest_entry(error), updates)


def drawn(current: jax.Array | None, d: jax.Array, sent: jax.Array) -> jax.Array:
    """Power that unknown buses send and their loads of constant current draw, (2, n_unknown, *batch) p.u."""
    if current is None:
        return sent
    return sent + current * phasor.magnitude(voltage(d)[:, : sent.shape[1]])[None]


def largest_entry(error: jax.Array) -> jax.Array:
    """Largest magnitude over the equations, (1, 1, *batch); NaN where one is not finite."""
    # XLA's CPU backend drops NaNs from the maximum over long arrays (jax 0.10.2).
    size = jnp.where(jnp.isnan(error), jnp.inf, jnp.abs(error))
    largest = size.max(axis=(0, 1), keepdims=True, initial=0)
    return jnp.where(jnp.isfinite(largest), largest, jnp.nan)


def held_rows(plan: SolverPlan, error: jax.Array) -> np.ndarray:
    """Mask of the equations, (2, n_unknown, *batch), that hold a voltage magnitude."""
    return _column(list(plan.is_pv), 1, error.ndim) & _column([False, True], 0, error.ndim)


def equations(plan: SolverPlan, adm: Admittance, d: jax.Array, current: jax.Array | None = None) -> jax.Array:
    """What the equations ask of voltages, as a function with derivatives, (2, n_unknown, *batch) p.u.

    Power sent, and drawn by loads of constant current; |V| - 1 in place of the reactive power of PV buses.
    """
    sent = drawn(current, d, bus_power(plan, adm, d)[:, : plan.n_unknown])
    if not plan.is_pv.any():
        return sent
    excess = phasor.magnitude(voltage(d)[:, : plan.n_unknown]) - 1
    return jnp.where(held_rows(plan, sent), excess[None], sent)


def start_at(plan: SolverPlan, problem: Problem, x: jax.Array) -> Iterate:
    """The iterate at ``x``, which lanes of one network may share: then they share all of it but the error."""
    at = evaluate(plan, problem, x, jnp.int32(0))
    at = at._replace(updates=jnp.zeros_like(at.largest, np.int32))
    return at if at.shared else of_lanes(at)


def of_lanes(at: Iterate) -> Iterate:
    """The iterate with what lanes share written out for each."""
    batch = at.error.shape[2:]
    x, d, sent = (jnp.broadcast_to(y, (*y.shape[:2], *batch)) for y in (at.x, at.d, at.sent))
    return at._replace(x=x, d=d, sent=sent)


def flat_start(plan: SolverPlan, problem: Problem) -> jax.Array:
    """Angles of a slack; magnitudes of the set-points at PV buses, 1 p.u. at PQ buses."""
    held = _column(list(plan.is_pv), 0, problem.excess.ndim)
    excess = jnp.where(held, problem.excess[: plan.n_unknown], 0)
    if problem.further is None:
        return jnp.stack([jnp.zeros_like(excess), excess])
    return phasor.stack(problem.further.angle, excess)


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
        jac = factorise(plan, linear, problem.adm, voltage(at.d), at.sent, problem.current)
        return update(plan, linear, problem, at, jac, moving(at, schedule))

    done = int(at.shared)
    at = step(at) if done else at
    if leave is None:
        return jax.lax.fori_loop(done, schedule.num_iters, lambda _, at: step(at), at)
    return jax.lax.while_loop(lambda at: moving(at, schedule).sum() > leave, step, at)


def rounding_floor(plan: SolverPlan, problem: Problem, d: jax.Array) -> jax.Array:
    """Mismatch that rounding alone can cause, largest over buses, (1, 1, *batch) p.u.

    Each branch current is the product of an admittance and a difference of deviations, each of them
    known to about one unit in its last place; so is what a load of constant current draws.
    """
    size = phasor.magnitude(d)
    reach = take(size, plan.edge_tail) + take(size, plan.edge_head)
    error = gather_sum(plan.edge_to_bus, phasor.magnitude(problem.adm.edge) * reach)
    if problem.current is not None:
        error = error.at[: plan.n_unknown].add(phasor.magnitude(problem.current))
    return jnp.finfo(d.dtype).eps * error.max(axis=0)[None, None]


def _column(values: list, axis: int, ndim: int) -> np.ndarray:
    return np.array(values).reshape([-1 if i == axis else 1 for i in range(ndim)])
