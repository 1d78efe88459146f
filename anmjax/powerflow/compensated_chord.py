"""The chord method for outages of a branch each, with Anderson's acceleration.

The unknowns are ln |V| and the angles; an update solves a system with the Jacobian of the intact network,
corrected for the outage (``compensation.py``), and is mixed with the one before it (depth one). Updates are
made in single precision, in differences from a point whose error is known in full (``differences.py``); where
they end is the next such point.

Reference: Walker & Ni, "Anderson Acceleration for Fixed-Point Iterations", SIAM J. Numer. Anal. 49 (2011).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from anmjax.lanes.gather import place
from anmjax.lanes.totals import totals
from anmjax.lanes.varying import as_varying
from anmjax.powerflow.chord import End
from anmjax.powerflow.compensation import Compensation, less_taken, taken_at, taken_change
from anmjax.powerflow.differences import Point, point_of, power, power_change, residual_change
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.solver import LinearSolver
from anmjax.powerflow.equations import Equations, current_change, largest_entry, move, residual, voltage
from anmjax.powerflow.jacobian import Jacobian, relative_change

# An update that leaves more of an outage's error than this ends the method, after some at the start.
CHORD_RATE, CHORD_UPDATES, CHORD_UPDATES_FREE = 0.7, 20, 3
# Where updates from a point end: the share of the tolerance, and the least of the point's error that single
# precision can tell.
CLOSE, ROUNDED = 0.5, 2e-5


class _Update(NamedTuple):
    """An update of ln |V| and angle, (2, n_unknown, m)."""

    made: jax.Array
    along: jax.Array  # without mixing


class _Lanes(NamedTuple):
    """Points, and how they were reached."""

    d: jax.Array  # (2, n_bus, m) p.u., voltage deviations
    last: _Update  # that led here
    largest: jax.Array  # (1, 1, m) p.u., largest error of the equations by magnitude
    updates: jax.Array  # (1, 1, m) int, updates made so far
    moves: jax.Array  # (1, 1, m) bool


class _Around(NamedTuple):
    """What updates from a point start from, in single precision."""

    equations: Equations
    without: Compensation
    at: Point  # (2, n_bus, m) the point
    ends: Point  # (2, 2, m) the same at the ends of the branches, with what these take
    error: jax.Array  # (2, n_unknown, m) p.u., residual of the equations there


class _Near(NamedTuple):
    """Where updates from a point stand, in single precision."""

    e: jax.Array  # (2, n_bus, m) p.u., change of the voltages
    last: _Update
    error: jax.Array  # (2, n_unknown, m) p.u., residual of the equations
    largest: jax.Array  # (1, 1, m) p.u., its largest entry by magnitude
    updates: jax.Array  # (1, 1, m) int, updates made so far
    moves: jax.Array  # (1, 1, m) bool


def chord_of_outages(
    plan: SolverPlan,
    linear: LinearSolver,
    equations: Equations,
    d: jax.Array,
    base: Jacobian,
    without: Compensation,
    tol: float,
) -> End:
    """The chord method from the solution of the intact network on.

    Args:
      plan: solver plan.
      linear: solver of the linear systems.
      equations: those of the intact network.
      d: (2, n_bus, 1) p.u., voltage deviations of its solution.
      base: its Jacobian there, in single precision.
      without: the outages.
      tol: p.u., largest error of a solution.

    Returns:
      Where the outages ended: deviations, largest error, updates.
    """
    n, m = plan.n_unknown, len(without.outages.branch)
    first = without.first()
    unknown = d[:, :n] + move(voltage(d[:, :n]), first.astype(d.dtype))
    d = place(jnp.broadcast_to(d, (*d.shape[:2], m)), unknown, 0, 0)
    start = _Lanes(
        d,
        _Update(first, first),
        jnp.full((1, 1, m), jnp.inf, d.dtype),
        jnp.ones((1, 1, m), jnp.int32),
        ~without.outages.islanded[None, None],
    )

    def next_point(before: _Lanes) -> _Lanes:
        at, ends = point_of(plan, equations.adm, before.d), taken_at(without.outages, before.d)
        sent = less_taken(without.outages, power(at), power(ends))
        error = residual(plan, equations, before.d, sent)
        largest = largest_entry(error)
        moves = before.moves & (largest > tol) & (largest <= CHORD_RATE * before.largest)
        moves = moves & (before.updates < CHORD_UPDATES)
        around = _single(_Around(equations, without, at, ends, error))
        e, last, updates, reached = _updates(plan, linear, base, around, before, moves, tol)
        return _Lanes(before.d + e.astype(before.d.dtype), last, largest, updates, reached)

    end = jax.lax.while_loop(lambda lanes: lanes.moves.any(), next_point, as_varying(start, start))
    return end.d, end.largest, end.updates


def _updates(
    plan: SolverPlan,
    linear: LinearSolver,
    base: Jacobian,
    around: _Around,
    lanes: _Lanes,
    moves: jax.Array,
    tol: float,
) -> tuple[jax.Array, _Update, jax.Array, jax.Array]:
    """Updates in single precision.

    Returns:
      The change of the voltages, the last update, the number of updates so far, and which lanes came as far
      as single precision goes, or as is asked.
    """
    n = plan.n_unknown
    equations, without, at, ends, error = around
    largest = largest_entry(error)
    goal = jnp.maximum(CLOSE * tol, ROUNDED * largest)

    def update(before: _Near) -> _Near:
        along = without.solved(relative_change(plan, linear, base, before.error))
        size, common = totals(_of_turn, along, before.last.along)
        mixed = common / jnp.where(size > 0, size, 1)
        made = along - mixed * (before.last.made + (along - before.last.along))
        # Lanes that wait for the others keep what the next point begins with.
        last = jax.tree.map(lambda x, y: jnp.where(before.moves, x, y), _Update(made, along), before.last)
        made = jnp.where(before.moves, made, 0)
        unknown = before.e[:, :n]
        e = place(before.e, unknown + move(at.v[:, :n] + unknown, made), 0, 0)
        sent = power_change(at, e, current_change(plan, equations.adm, e))
        sent = less_taken(without.outages, sent, taken_change(without.outages, ends, e))
        left = error + residual_change(plan, equations, at, e, sent)
        largest = largest_entry(left)
        updates = before.updates + before.moves.astype(jnp.int32)
        falls = (largest <= CHORD_RATE * before.largest) | (updates <= CHORD_UPDATES_FREE)
        moves = before.moves & falls & (largest > goal) & (updates < CHORD_UPDATES)
        return _Near(e, last, left, largest, updates, moves)

    start = _Near(jnp.zeros_like(at.v), lanes.last, error, largest, lanes.updates, moves)
    end = jax.lax.while_loop(lambda near: near.moves.any(), update, start)
    return end.e, end.last, end.updates, moves & (end.largest <= goal)


def _of_turn(along: jax.Array, before: jax.Array) -> tuple[jax.Array, jax.Array]:
    """By what the updates turn: its square, and its product with the present one."""
    turned = along - before
    return turned * turned, along * turned


def _single(x: Any) -> Any:
    """The numbers of a pytree in single precision."""
    return jax.tree.map(lambda y: y.astype(jnp.float32) if jnp.issubdtype(y.dtype, jnp.floating) else y, x)
