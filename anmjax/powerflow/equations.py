"""The power-flow equations.

With the voltages V of all buses and the bus admittance matrix Y:

    I = Y V                    current that a bus sends into the network
    S = V conj(I)              its power
    F = S - s                  at a PV bus |V| - v_set in place of the imaginary part
    J dx = F                   ``jacobian.py``
    x <- x - dx                ``newton.py``

A load of constant current draws |V| s_i besides, which counts as sent. Unknowns are x = [angle, excess],
``[2, n_unknown, *batch]``, with the angle counted from the first slack's and excess u = |V| - 1; buses are in
the plan's numbering, the slacks last; phasors are ``[2, component, *batch]``.

Currents are summed from differences of the deviations d = V - 1 (Re d = u - 2 |V| sin^2(theta/2),
Im d = |V| sin(theta)): the voltages of a feeder agree to a few percent, and their differences would otherwise
drown in float32 rounding.

Reference: Zimmerman & Murillo-Sanchez, *MATPOWER User's Manual*, sec. 4.1.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes import phasor
from anmjax.lanes.edge_sums import Edges, edge_sums
from anmjax.lanes.gather import gather_sum, place, take
from anmjax.lanes.half_angle import half_angle
from anmjax.powerflow.admittance import Admittance
from anmjax.powerflow.elimination.plan import SolverPlan


class FurtherSlacks(NamedTuple):
    """What slacks after the first bring in."""

    d: jax.Array  # (2, n_slack - 1, *batch) p.u., their voltage deviations in the frame of the first
    angle: jax.Array  # (n_unknown, *batch) rad, where a flat start begins: at the angle of a slack nearby


class Equations(NamedTuple):
    """The power-flow equations of a batch of lanes, in the plan's numbering."""

    adm: Admittance
    excess: jax.Array  # (n_bus, *batch) p.u., v_set - 1 of slacks and PV buses
    given: jax.Array  # (2, n_unknown, *batch) p.u., injections P and Q; at PV buses P and v_set - 1
    further: FurtherSlacks | None = None  # None: there is one slack
    current: jax.Array | None = None  # (2, n_unknown, *batch) p.u., s_i; None: no load of constant current
    hold: jax.Array | None = None  # (n_unknown, *batch) bool, PV buses that hold their voltage; None: all


def given_of(plan: SolverPlan, s: jax.Array, excess: jax.Array, hold: jax.Array | None = None) -> jax.Array:
    """What the equations are to come to: injections ``s``, at PV buses P and the excess to hold."""
    if not plan.is_pv.any():
        return s
    return jnp.where(held_rows(plan, s, hold), excess[None, : plan.n_unknown], s)


def deviation(plan: SolverPlan, equations: Equations, x: jax.Array) -> jax.Array:
    """V - 1 of every bus in the frame of the first slack, (2, n_bus, *batch).

    Args:
      plan: solver plan.
      equations: they say what the slacks are held at.
      x: (2, n_unknown, *batch) angle and excess of the unknown buses.
    """
    n, further = plan.n_unknown, equations.further
    slack_excess = equations.excess[n]
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
    """I = Y V, current that each bus sends into the network, (2, n_bus, *batch) p.u.

    Args:
      plan: solver plan.
      adm: bus admittance matrix.
      d: (2, n_bus, *batch) voltage deviations V - 1.
    """
    return _flowing(plan, adm, d, voltage(d))


def current_change(plan: SolverPlan, adm: Admittance, e: jax.Array) -> jax.Array:
    """Y e, by which the bus currents change with changes e of the voltages, (2, n_bus, *batch) p.u."""
    return _flowing(plan, adm, e, e)


def _flowing(plan: SolverPlan, adm: Admittance, d: jax.Array, v: jax.Array) -> jax.Array:
    """Y v of phasors v, of which d have the same differences."""
    return edge_sums(edges_of(plan), adm.edge, d) + phasor.multiply(adm.row, v)


@functools.lru_cache(maxsize=256)
def edges_of(plan: SolverPlan) -> Edges:
    """The edges of a plan."""
    return Edges(plan.edge_tail, plan.edge_head, plan.edge_to_bus)


def move(v: jax.Array, change: jax.Array) -> jax.Array:
    """V exp(-change) - V, the exponential to the third power, (2, n, *batch) p.u.

    What methods that end where the equations hold need of it: it is right for small changes, and takes no
    sine of an angle.

    Args:
      v: (2, n, *batch) p.u., voltages V.
      change: (2, n, *batch) of ln |V|, and of the angle in rad.
    """
    square = phasor.multiply(change, change)
    return phasor.multiply(v, 0.5 * square - change - phasor.multiply(square, change) / 6)


def bus_power(plan: SolverPlan, adm: Admittance, d: jax.Array) -> jax.Array:
    """S = V conj(I), power that each bus sends into the network, (2, n_bus, *batch) p.u."""
    return phasor.multiply(voltage(d), phasor.conj(bus_current(plan, adm, d)))


def asked(
    plan: SolverPlan,
    current: jax.Array | None,
    d: jax.Array,
    sent: jax.Array,
    excess: jax.Array | None = None,
    hold: jax.Array | None = None,
) -> jax.Array:
    """What the voltages ask for, and get where the equations hold, (2, n_unknown, *batch) p.u.

    S + |V| s_i of a bus, at a PV bus |V| - 1 in place of the imaginary part.

    Args:
      plan: solver plan.
      current: (2, n_unknown, *batch) p.u., s_i; None: no load of constant current.
      d: (2, n_bus, *batch) p.u., voltage deviations, at least of the unknown buses.
      sent: (2, n_bus, *batch) p.u., the power S there.
      excess: (n_unknown, *batch) p.u., |V| - 1 there; None: follows from ``d``.
      hold: (n_unknown, *batch) bool, PV buses that hold their voltage, the others are PQ; None: all.
    """
    n = plan.n_unknown
    held = held_rows(plan, sent, hold) if plan.is_pv.any() else None
    return asked_at(voltage(d)[:, :n], sent[:, :n], current, excess, held)


def asked_at(
    v: jax.Array,
    sent: jax.Array,
    current: jax.Array | None,
    excess: jax.Array | None,
    held: np.ndarray | jax.Array | None,
) -> jax.Array:
    """``asked`` of buses at the voltages ``v``, all (2, component, *batch) but ``excess``.

    ``held`` masks the equations that hold a magnitude; None: there is none.
    """
    s = sent if current is None else sent + current * phasor.magnitude(v)[None]
    if held is None:
        return s
    excess = phasor.magnitude(v) - 1 if excess is None else excess
    return jnp.where(held, excess[None], s)


def residual(
    plan: SolverPlan, equations: Equations, d: jax.Array, sent: jax.Array, excess: jax.Array | None = None
) -> jax.Array:
    """F, what is asked for less what is given, (2, n_unknown, *batch) p.u.; see ``asked``."""
    return asked(plan, equations.current, d, sent, excess, equations.hold) - equations.given


def held_rows(plan: SolverPlan, error: jax.Array, hold: jax.Array | None = None) -> np.ndarray | jax.Array:
    """Mask of the equations, (2, n_unknown, *batch), that hold a voltage magnitude."""
    rows = column(list(plan.is_pv), 1, error.ndim) & column([False, True], 0, error.ndim)
    return rows if hold is None else rows & hold[None]


def largest_entry(error: jax.Array) -> jax.Array:
    """Largest magnitude over the equations, (1, 1, *batch); NaN where one is not finite."""
    largest = largest_size(error)
    return jnp.where(jnp.isfinite(largest), largest, jnp.nan)


def largest_size(error: jax.Array) -> jax.Array:
    """The same with infinity in the place of NaN."""
    # XLA's CPU backend drops NaNs from the maximum over long arrays (jax 0.10.2), Triton from any.
    size = jnp.where(jnp.isnan(error), jnp.inf, jnp.abs(error))
    return size.max(axis=(0, 1), keepdims=True, initial=0)


def rounding_floor(plan: SolverPlan, equations: Equations, d: jax.Array) -> jax.Array:
    """Mismatch that rounding alone can cause, largest over buses, (1, 1, *batch) p.u.

    Each branch current is the product of an admittance and a difference of deviations, each of them
    known to about one unit in its last place; so is what a load of constant current draws.
    """
    size = phasor.magnitude(d)
    reach = take(size, plan.edge_tail) + take(size, plan.edge_head)
    error = gather_sum(plan.edge_to_bus, phasor.magnitude(equations.adm.edge) * reach)
    if equations.current is not None:
        error = error.at[: plan.n_unknown].add(phasor.magnitude(equations.current))
    return jnp.finfo(d.dtype).eps * error.max(axis=0)[None, None]


def column(values: list, axis: int, ndim: int) -> np.ndarray:
    """``values`` along one axis of so many."""
    return np.array(values).reshape([-1 if i == axis else 1 for i in range(ndim)])
