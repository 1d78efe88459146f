"""The chord method: Newton's with one Jacobian, that of a base case, for all updates and lanes.

It converges linearly, the faster the nearer that Jacobian is to the lane's own, and only to solutions that
are stable in this sense: never to the lower of two voltages of a bus.

Without PV buses it works on the voltages V and the conjugate currents J = conj(Y V) themselves, with the
equations F = V J - s. The change d of the voltages that solves the base case's system (see ``jacobian.py``),

    conj(Y d) + (J_b / V_b) d = F / V_b,

changes the currents by conj(Y d) = F / V_b - (J_b / V_b) d: the network enters through the factors alone,
and an update costs its substitutions and a few products a bus. (What loads of constant current add to the
system of the base case goes off again, as (J_b / V_b) d does.) What rounding adds to the currents over the
updates shows when the last voltages are put into the equations.

With PV buses the unknowns are ln |V| and the angles; an update turns and scales the voltages by the
exponential of their change, of which a few terms do: the method ends where the equations hold.

Reference: Ortega & Rheinboldt, *Iterative Solution of Nonlinear Equations in Several Variables* (1970),
sec. 7.1 (the chord method).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes import phasor
from anmjax.lanes.gather import place
from anmjax.lanes.two_by_two import matvec
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.solver import LinearSolver
from anmjax.powerflow.equations import (
    Equations,
    bus_current,
    bus_power,
    deviation,
    largest_entry,
    move,
    residual,
    voltage,
)
from anmjax.powerflow.jacobian import Jacobian, relative_change

# An update of the chord method that leaves more of a lane's error than this ends it, after some at the start,
# where the error may grow before it falls. Newton's method costs three to five times as much an update.
CHORD_RATE, CHORD_UPDATES_FREE = 0.5, 3


# Voltage deviations (2, n_bus, *batch), largest error of the equations and updates made, (1, 1, *batch).
End: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]


class _Voltages(NamedTuple):
    """Voltages of all buses."""

    d: jax.Array  # (2, n_bus, *batch) p.u., voltage deviations
    error: jax.Array  # (2, n_unknown, *batch) p.u., residual of the equations
    largest: jax.Array  # (1, 1, *batch) p.u., its largest entry by magnitude
    updates: jax.Array  # (1, 1, *batch) int, updates made so far


class _Currents(NamedTuple):
    """Voltages and currents of all buses but the slacks."""

    d: jax.Array  # (2, n_unknown, *batch) p.u., voltage deviations
    j: jax.Array  # (2, n_unknown, *batch) p.u., conjugate currents into the network
    error: jax.Array  # (2, n_unknown, *batch) p.u., residual of the equations
    largest: jax.Array  # (1, 1, *batch) p.u., its largest entry by magnitude
    updates: jax.Array  # (1, 1, *batch) int, updates made so far


def iterate_chord(
    plan: SolverPlan,
    linear: LinearSolver,
    equations: Equations,
    x: jax.Array,
    base: Jacobian,
    tol: float,
) -> End:
    """The chord method from the angles and excesses ``x`` on.

    A lane whose error an update no longer cuts to ``CHORD_RATE`` of what it was stops where it is; none
    depends on another.

    Args:
      plan: solver plan.
      linear: solver of the linear systems.
      equations: those of lanes of one network.
      x: (2, n_unknown, *batch) angle in rad, magnitude excess in p.u.; may be shared by all lanes.
      base: Jacobian of the base case, shared by all lanes.
      tol: p.u., largest error of a solution.

    Returns:
      Where the lanes ended: deviations, largest error, updates.
    """
    method = _in_logarithms if plan.is_pv.any() else _in_currents
    return method(plan, linear, equations, x, base, tol)


def _in_logarithms(
    plan: SolverPlan, linear: LinearSolver, equations: Equations, x: jax.Array, base: Jacobian, tol: float
) -> End:
    n = plan.n_unknown

    def at(d: jax.Array, updates: jax.Array) -> _Voltages:
        error = residual(plan, equations, d, bus_power(plan, equations.adm, d))
        return _Voltages(d, error, largest_entry(error), updates)

    def step(carry: tuple[_Voltages, jax.Array]) -> tuple[_Voltages, jax.Array]:
        before, moves = carry
        change = jnp.where(moves, relative_change(plan, linear, base, before.error), 0)
        unknown = before.d[:, :n]
        d = place(before.d, unknown + move(voltage(unknown), change), 0, 0)
        after = at(d, before.updates + moves.astype(before.updates.dtype))
        return after, moves & _goes_on(before, after, tol)

    start = at(deviation(plan, equations, x), jnp.int32(0))
    d = jnp.broadcast_to(start.d, (*start.d.shape[:2], *start.error.shape[2:]))
    start = start._replace(d=d, updates=jnp.zeros_like(start.largest, np.int32))
    end, _ = jax.lax.while_loop(lambda carry: carry[1].any(), step, (start, start.largest > tol))
    return end.d, end.largest, end.updates


def _in_currents(
    plan: SolverPlan, linear: LinearSolver, equations: Equations, x: jax.Array, base: Jacobian, tol: float
) -> End:
    over_v, n = phasor.inverse(base.v), plan.n_unknown

    def step(carry: tuple[_Currents, jax.Array]) -> tuple[_Currents, jax.Array]:
        at, moves = carry
        error = phasor.multiply(over_v, jnp.where(moves, at.error, 0))
        change = linear.solve(base.factors, error)
        d = at.d - change
        j = at.j - (error - phasor.multiply(base.own, change))
        if base.load is not None:
            j = j + matvec(base.load, change)
        error = residual(plan, equations, d, phasor.multiply(voltage(d), j))
        after = _Currents(d, j, error, largest_entry(error), at.updates + moves.astype(at.updates.dtype))
        return after, moves & _goes_on(at, after, tol)

    start = deviation(plan, equations, x)
    j = phasor.conj(bus_current(plan, equations.adm, start))[:, :n]
    d = start[:, :n]
    error = residual(plan, equations, d, phasor.multiply(voltage(d), j))
    largest = largest_entry(error)
    d, j = (jnp.broadcast_to(y, error.shape) for y in (d, j))
    at = _Currents(d, j, error, largest, jnp.zeros_like(largest, np.int32))
    at, _ = jax.lax.while_loop(lambda carry: carry[1].any(), step, (at, at.largest > tol))
    d = jnp.concatenate([at.d, jnp.broadcast_to(start[:, n:], (2, plan.n_slack, *at.d.shape[2:]))], 1)
    error = residual(plan, equations, d, bus_power(plan, equations.adm, d))
    return d, largest_entry(error), at.updates


def _goes_on(at: _Voltages | _Currents, after: _Voltages | _Currents, tol: float) -> jax.Array:
    """Lanes that an update brought nearer to a solution, but not to it."""
    falls = (after.largest <= CHORD_RATE * at.largest) | (after.updates <= CHORD_UPDATES_FREE)
    return (after.largest > tol) & falls
