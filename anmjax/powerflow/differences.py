"""The power-flow equations near a point, in differences from it.

With the voltages V and the currents I = Y V of the point, and voltages V + e,

    S(V + e) - S(V) = (V + e) conj(Y e) + e conj(I),
    |V + e| - |V|   = (2 Re(conj(V) e) + |e|^2) / (|V + e| + |V|),

which are as exact, beside the differences, as the numbers they are worked out in: in single precision the
error of a solution is found to 1e-7 of what is left of it, as long as that of the point is known in full.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from anmjax.lanes import phasor
from anmjax.powerflow.admittance import Admittance
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.equations import Equations, bus_current, held_rows, voltage


class Point(NamedTuple):
    """Voltages and currents."""

    v: jax.Array  # (2, component, *batch) p.u., voltages
    i: jax.Array  # (2, component, *batch) p.u., currents that flow there


def point_of(plan: SolverPlan, adm: Admittance, d: jax.Array) -> Point:
    """Every bus at the deviations d, with the current that it sends into the network.

    Args:
      plan: solver plan.
      adm: bus admittance matrix.
      d: (2, n_bus, *batch) p.u., voltage deviations V - 1.
    """
    return Point(voltage(d), bus_current(plan, adm, d))


def power(at: Point) -> jax.Array:
    """S = V conj(I), (2, component, *batch) p.u."""
    return phasor.multiply(at.v, phasor.conj(at.i))


def power_change(at: Point, e: jax.Array, current: jax.Array) -> jax.Array:
    """S at V + e less S at V, (2, component, *batch) p.u., with ``current`` by which I changes."""
    return phasor.multiply(at.v + e, phasor.conj(current)) + phasor.multiply(e, phasor.conj(at.i))


def magnitude_change(v: jax.Array, e: jax.Array) -> jax.Array:
    """|V + e| - |V|, (component, *batch) p.u."""
    re, im = phasor.unstack(e * (2 * v + e))
    return (re + im) / (phasor.magnitude(v + e) + phasor.magnitude(v))


def residual_change(
    plan: SolverPlan, equations: Equations, at: Point, e: jax.Array, sent: jax.Array
) -> jax.Array:
    """F at V + e less F at V, (2, n_unknown, *batch); see ``equations.residual``.

    Args:
      plan: solver plan.
      equations: the equations.
      at: (2, n_bus, *batch) the point.
      e: (2, n_bus, *batch) p.u., change of the voltages.
      sent: (2, n_bus, *batch) p.u., by which the power changes that each bus sends into the network.
    """
    n = plan.n_unknown
    s, grown = sent[:, :n], magnitude_change(at.v[:, :n], e[:, :n])[None]
    if equations.current is not None:
        s = s + equations.current * grown
    return jnp.where(held_rows(plan, s, equations.hold), grown, s) if plan.is_pv.any() else s
