"""Newton's method and the chord method for the AC power flow in polar coordinates.

With t_ik = V_i conj(Y_ik V_k) the power leaving bus i is P_i + j Q_i = sum_k t_ik, and the blocks of
its derivative by (theta_k, ln |V_k|) need no trigonometry:

    k != i:  [[Im t_ik, Re t_ik], [-Re t_ik, Im t_ik]]
    k == i:  [[Im t_ii - Q_i, P_i + Re t_ii], [P_i - Re t_ii, Q_i + Im t_ii]]

At a PV bus the second equation is |V_i| = v_set and the second row of its blocks [0, |V_i|] and zeros.
A lane stops at its first iterate within the tolerance and holds it while the others go on.

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
from anmjax.powerflow.linear import Factors, LinearSolver
from anmjax.powerflow.plan import SolverPlan

# An update of the chord method that leaves more of a lane's error than this ends it, after some at the start,
# where the error may grow before it falls. Newton's method costs three to five times as much an update.
CHORD_RATE, CHORD_UPDATES_FREE = 0.5, 3


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


def bus_power(plan: SolverPlan, adm: Admittance, d: jax.Array) -> jax.Array:
    """Power that each bus sends into the network, (2, n_bus, *batch) p.u.

    Args:
      plan: solver plan.
      adm: bus admittance matrix.
      d: (2, n_bus, *batch) voltage deviations V - 1.
    """
    v = voltage(d)
    along = phasor.multiply(adm.edge, take(d, plan.edge_head, 1) - take(d, plan.edge_tail, 1))
    current = evaluated(functools.partial(gather_sum, plan.edge_to_bus, axis=1))(along)
    current = current + phasor.multiply(adm.row, v)
    return phasor.multiply(v, phasor.conj(current))


def evaluate(plan: SolverPlan, problem: Problem, x: jax.Array, updates: jax.Array) -> Iterate:
    """Evaluates the equations at ``x``: power sent less injected, or |V| less its set-point."""
    d = deviation(x, problem.excess[-1])
    sent = bus_power(plan, problem.adm, d)
    error = sent[:, :-1] - problem.s
    if plan.is_pv.any():
        error = jnp.where(held_rows(plan, error), x[1:] - problem.excess[None, :-1], error)
    # XLA's CPU backend drops NaNs from the maximum over long arrays (jax 0.10.2).
    size = jnp.where(jnp.isnan(error), jnp.inf, jnp.abs(error))
    largest = size.max(axis=(0, 1), keepdims=True, initial=0)
    largest = jnp.where(jnp.isfinite(largest), largest, jnp.nan)
    return Iterate(x, d, sent, error, largest, updates)


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


def start_at(plan: SolverPlan, problem: Problem, x: jax.Array, updates: jax.Array | int = 0) -> Iterate:
    """The iterate at ``x``, after ``updates`` (*batch) of them."""
    batch = jnp.broadcast_shapes(x.shape[2:], problem.s.shape[2:], problem.excess.shape[1:])
    batch = jnp.broadcast_shapes(batch, problem.adm.row.shape[2:])
    x = jnp.broadcast_to(x, (*x.shape[:2], *batch))
    return evaluate(plan, problem, x, jnp.full((1, 1, *batch), updates, np.int32))


def flat_start(plan: SolverPlan, problem: Problem) -> jax.Array:
    """Angles of the slack; magnitudes of the set-points at PV buses, 1 p.u. at PQ buses."""
    excess = jnp.where(_column(list(plan.is_pv), 0, problem.excess.ndim), problem.excess[:-1], 0)
    return jnp.stack([jnp.zeros_like(excess), excess])


def factor_jacobian(
    plan: SolverPlan, linear: LinearSolver, adm: Admittance, d: jax.Array, sent: jax.Array
) -> Factors:
    """LU factors of the equations' derivative by (theta, ln |V|) at ``d``, where ``sent`` is sent."""
    v = voltage(d)
    n_pair = len(plan.edge_tail) // 2
    y = adm.edge
    product = phasor.multiply(
        take(v, plan.edge_tail[:n_pair], 1), phasor.conj(take(v, plan.edge_head[:n_pair], 1))
    )
    along = phasor.multiply(product, phasor.conj(y[:, :n_pair]))
    against = phasor.conj(phasor.multiply(product, y[:, n_pair:]))
    own = phasor.conj(adm.diagonal[:, :-1]) * phasor.square(v)[None, :-1]
    t = gather_sum(plan.entry_source, jnp.concatenate([along, against, own], 1), 1)
    matrix = _blocks(t, ((1, 1), (-1, 1)))
    diagonal = _blocks(sent[:, :-1], ((-1, 1), (1, 1)))
    if plan.is_pv.any():
        matrix = jnp.where(_second_rows(plan.is_pv[plan.entry_row], matrix), 0, matrix)
        magnitude = phasor.magnitude(v[:, :-1])[None, None] * _column([0, 1], 1, d.ndim + 1).astype(d.dtype)
        diagonal = jnp.where(_second_rows(plan.is_pv, diagonal), magnitude, diagonal)
    return linear.factor(matrix, diagonal)


def moving(at: Iterate, schedule: Schedule) -> jax.Array:
    """Lanes that are neither within the tolerance nor at the end of their updates, (1, 1, *batch)."""
    return (at.largest > schedule.tol) & (at.updates < schedule.num_iters)


def update(
    plan: SolverPlan,
    linear: LinearSolver,
    problem: Problem,
    at: Iterate,
    factors: Factors,
    moves: jax.Array,
) -> Iterate:
    """One update of the lanes that move, (1, 1, *batch) bool, with the given factors of the Jacobian."""
    step = linear.solve(factors, at.error)
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
    """Newton's method from ``at`` on.

    Args:
      plan: solver plan.
      linear: solver of the linear systems.
      problem: the equations.
      at: where to start.
      schedule: when to stop.
      leave: ends when no more than so many lanes move; None for a fixed number of iterations.
    """

    def step(at: Iterate) -> Iterate:
        factors = factor_jacobian(plan, linear, problem.adm, at.d, at.sent)
        return update(plan, linear, problem, at, factors, moving(at, schedule))

    if leave is None:
        return jax.lax.fori_loop(0, schedule.num_iters, lambda _, at: step(at), at)
    return jax.lax.while_loop(lambda at: moving(at, schedule).sum() > leave, step, at)


def iterate_chord(
    plan: SolverPlan,
    linear: LinearSolver,
    problem: Problem,
    at: Iterate,
    factors: Factors,
    tol: float,
) -> Iterate:
    """The chord method from ``at`` on: Newton's with the factors of one Jacobian for all updates and lanes.

    It converges linearly, the faster the nearer that Jacobian is to the lane's own, and only to solutions
    that are stable in this sense: never to the lower of two voltages of a bus. A lane whose error an update
    no longer cuts to ``CHORD_RATE`` of what it was stops where it is; none depends on another.

    Args:
      plan: solver plan.
      linear: solver of the linear systems.
      problem: the equations.
      at: where to start.
      factors: of the Jacobian, shared by all lanes.
      tol: p.u., largest error of a solution.

    Reference: Ortega & Rheinboldt, *Iterative Solution of Nonlinear Equations in Several Variables* (1970),
    sec. 7.1 (the chord method).
    """

    def step(carry: tuple[Iterate, jax.Array]) -> tuple[Iterate, jax.Array]:
        at, moves = carry
        after = update(plan, linear, problem, at, factors, moves)
        falls = (after.largest <= CHORD_RATE * at.largest) | (after.updates <= CHORD_UPDATES_FREE)
        return after, moves & (after.largest > tol) & falls

    return jax.lax.while_loop(lambda carry: carry[1].any(), step, (at, at.largest > tol))[0]


def rounding_floor(plan: SolverPlan, adm: Admittance, d: jax.Array) -> jax.Array:
    """Mismatch that rounding alone can cause, largest over buses, (1, 1, *batch) p.u.

    Each branch current is the product of an admittance and a difference of deviations, each of them
    known to about one unit in its last place.
    """
    size = phasor.magnitude(d)
    reach = take(size, plan.edge_tail) + take(size, plan.edge_head)
    error = gather_sum(plan.edge_to_bus, phasor.magnitude(adm.edge) * reach)
    return jnp.finfo(d.dtype).eps * error.max(axis=0)[None, None]


def _blocks(t: jax.Array, signs: tuple[tuple[int, int], tuple[int, int]]) -> jax.Array:
    """2x2 blocks [[Im t, Re t], [Re t, Im t]] with the given signs, (2, 2, component, *batch)."""
    (a, b), (c, d) = signs
    return jnp.stack([phasor.signed(jnp.flip(t, 0), a, b), phasor.signed(t, c, d)])


def _column(values: list, axis: int, ndim: int) -> np.ndarray:
    return np.array(values).reshape([-1 if i == axis else 1 for i in range(ndim)])


def _second_rows(chosen: np.ndarray, blocks: jax.Array) -> np.ndarray:
    """Mask of the second rows of the chosen components, for blocks (2, 2, component, *batch)."""
    return _column(list(chosen), 2, blocks.ndim) & _column([False, True], 0, blocks.ndim)
