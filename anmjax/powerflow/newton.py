"""Newton's method for the AC power flow in polar coordinates, a fixed number of iterations.

With t_ik = V_i conj(Y_ik V_k) the power leaving bus i is P_i + j Q_i = sum_k t_ik, and the blocks of
its derivative by (theta_k, ln |V_k|) need no trigonometry:

    k != i:  [[Im t_ik, Re t_ik], [-Re t_ik, Im t_ik]]
    k == i:  [[Im t_ii - Q_i, P_i + Re t_ii], [P_i - Re t_ii, Q_i + Im t_ii]]

A lane stops at its first iterate within the tolerance and holds it while the others go on.

Unknowns are x = [angle, excess], ``[2, n_pq, *batch]``, with excess u = |V| - 1; buses are in the
plan's numbering, the slack last; phasors are ``[2, component, *batch]``. Currents are summed from
differences of the deviations d = V - 1 (Re d = u - 2 |V| sin^2(theta/2), Im d = |V| sin(theta)): the
voltages of a feeder agree to a few percent, and their differences would otherwise drown in float32
rounding.

Reference: Tinney & Hart, "Power Flow Solution by Newton's Method", IEEE Trans. PAS-86 (1967).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from anmjax.powerflow import phasor
from anmjax.powerflow.admittance import Admittance
from anmjax.powerflow.block_lu import Blocks, factor, solve, solve_transposed
from anmjax.powerflow.gather import gather_sum, take
from anmjax.powerflow.plan import SolverPlan
from anmjax.powerflow.sincos import sincos

# On a CPU all lanes make FULL_ITERS updates together, then the few that need more go on apart, one
# STRAGGLER_SHARE-th of the batch at a time, if that is at least MIN_STRAGGLERS lanes. On ANM6Easy 98 % of
# random transitions need at most 4.
FULL_ITERS = 4
STRAGGLER_SHARE = 8
MIN_STRAGGLERS = 16


class NewtonResult(NamedTuple):
    """Where the iteration ended."""

    x: jax.Array  # (2, n_pq, *batch) angle in rad, magnitude excess in p.u.
    mismatch: jax.Array  # (*batch) p.u., largest power-balance error
    converged: jax.Array  # (*batch) bool


def deviation(x: jax.Array) -> jax.Array:
    """V - 1 of every bus, slack included, (2, n_bus, *batch)."""
    angle, excess = x
    sine, cosine = sincos(0.5 * angle)
    chord = 2 * (1 + excess) * sine
    d = jnp.stack([excess - chord * sine, chord * cosine])
    return jnp.concatenate([d, jnp.zeros_like(d[:, :1])], axis=1)


def voltage(d: jax.Array) -> jax.Array:
    """V from the deviation V - 1."""
    return jnp.stack([1 + d[0], d[1]])


def bus_power(plan: SolverPlan, adm: Admittance, d: jax.Array) -> jax.Array:
    """Power that each bus sends into the network, (2, n_bus, *batch) p.u.

    Args:
      plan: solver plan.
      adm: bus admittance matrix.
      d: (2, n_bus, *batch) voltage deviations V - 1.
    """
    difference = take(d, plan.pair_from, 1) - take(d, plan.pair_to, 1)
    ends = [-phasor.multiply(adm.along, difference), phasor.multiply(adm.against, difference)]
    v = voltage(d)
    current = gather_sum(plan.pair_to_bus, jnp.concatenate(ends, 1), 1) + phasor.multiply(adm.row, v)
    return phasor.multiply(v, phasor.conj(current))


def power_excess(plan: SolverPlan, adm: Admittance, x: jax.Array, s: jax.Array) -> jax.Array:
    """Power-balance residual, (2, n_pq, *batch): what the unknown buses send less what is injected."""
    return bus_power(plan, adm, deviation(x))[:, :-1] - s


def jacobian(plan: SolverPlan, adm: Admittance, d: jax.Array, sent: jax.Array) -> Blocks:
    """Derivative of the power sent by (theta, ln |V|), given deviations and the power sent itself."""
    v = voltage(d)
    product = phasor.multiply(take(v, plan.pair_from, 1), phasor.conj(take(v, plan.pair_to, 1)))
    along = phasor.multiply(product, phasor.conj(adm.along))
    against = phasor.conj(phasor.multiply(product, adm.against))
    t = jnp.concatenate([along, against], axis=1)

    def off_diagonal(t: jax.Array) -> jax.Array:
        return jnp.stack([jnp.flip(t, 0), phasor.signed(t, -1, 1)])

    own = (phasor.conj(adm.diagonal) * phasor.square(v)[None])[:, :-1]
    sent = sent[:, :-1]
    swapped = jnp.flip(own, 0) + phasor.signed(jnp.flip(sent, 0), -1, 1)
    return Blocks(
        diagonal=jnp.stack([swapped, sent + phasor.signed(own, -1, 1)]),
        upper=off_diagonal(gather_sum(plan.upper_of_slot, t, 1)),
        lower=off_diagonal(gather_sum(plan.lower_of_slot, t, 1)),
    )


def newton(plan: SolverPlan, adm: Admittance, s: jax.Array, *, num_iters: int, tol: float) -> NewtonResult:
    """Solves the power flow from flat start; not differentiable by itself, see ``implicit.py``.

    Args:
      plan: solver plan.
      adm: bus admittance matrix.
      s: (2, n_pq, *batch) p.u., active and reactive injections in the plan's order.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of a solution.

    Returns:
      The voltages of the first iterate within ``tol``; flat where there is none.
    """
    shape = jnp.broadcast_shapes(s.shape, (2, 1, *adm.row.shape[2:]))

    # All lanes that share a network share the first Jacobian: factorised once, in an axis of size one.
    flat = jnp.zeros((*s.shape[:2], *[1] * (s.ndim - 2)), s.dtype)
    x = jnp.broadcast_to(_update(plan, adm, s, tol, flat), shape)
    if x.ndim == 3 and x.shape[-1] >= STRAGGLER_SHARE * MIN_STRAGGLERS and num_iters > FULL_ITERS:
        x = jax.lax.platform_dependent(
            x,
            cpu=lambda x: _iterate_stragglers(plan, adm, s, tol, x, num_iters),
            default=lambda x: _iterate(plan, adm, s, tol, x, 1, num_iters),
        )
    else:
        x = _iterate(plan, adm, s, tol, x, 1, num_iters)
    mismatch = _largest(power_excess(plan, adm, x, s))
    converged = mismatch <= tol + rounding_floor(plan, adm, x)
    return NewtonResult(
        x=jnp.where(converged, x, 0),
        mismatch=jnp.where(jnp.isfinite(mismatch), mismatch, jnp.finfo(s.dtype).max)[0, 0],
        converged=converged[0, 0],
    )


def _update(plan: SolverPlan, adm: Admittance, s: jax.Array, tol: float, x: jax.Array) -> jax.Array:
    """One Newton update of the lanes that are not within the tolerance."""
    d = deviation(x)
    sent = bus_power(plan, adm, d)
    excess = sent[:, :-1] - s
    step = solve(plan.levels, factor(plan.levels, jacobian(plan, adm, d, sent)), excess)
    # |V| moves by its absolute value times the step in ln |V|: an iterate that strays to |V| < 0
    # moves as in the reference simulator, whose derivative by |V| has the direction V / |V|.
    step = step * jnp.stack([jnp.ones_like(x[1]), jnp.abs(1 + x[1])])
    return jnp.where(_largest(excess) > tol, x - step, x)


def _iterate(
    plan: SolverPlan, adm: Admittance, s: jax.Array, tol: float, x: jax.Array, start: int, stop: int
) -> jax.Array:
    return jax.lax.fori_loop(start, stop, lambda _, x: _update(plan, adm, s, tol, x), x)


def _iterate_stragglers(
    plan: SolverPlan, adm: Admittance, s: jax.Array, tol: float, x: jax.Array, num_iters: int
) -> jax.Array:
    """The same updates, the later ones only for the lanes that still need them.

    After ``FULL_ITERS`` updates all but a few percent of the lanes hold still. The others are gathered
    into a narrow batch, updated there and put back, as often as it takes to serve all of them.
    """
    x = _iterate(plan, adm, s, tol, x, 1, FULL_ITERS)
    lanes = x.shape[-1]

    def serve(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x, moving = carry
        (index,) = jnp.nonzero(moving, size=lanes // STRAGGLER_SHARE, fill_value=lanes)
        own = jax.tree.map(lambda a: _lanes(a, index), adm)
        narrow = _iterate(plan, own, _lanes(s, index), tol, _lanes(x, index), FULL_ITERS, num_iters)
        return x.at[..., index].set(narrow, mode="drop"), moving.at[index].set(False, mode="drop")

    moving = (_largest(power_excess(plan, adm, x, s)) > tol)[0, 0]
    return jax.lax.while_loop(lambda carry: carry[1].any(), serve, (x, moving))[0]


def _lanes(x: jax.Array, index: jax.Array) -> jax.Array:
    """The chosen lanes; an axis of size one is shared by all of them."""
    return x if x.shape[-1] == 1 else x.at[..., index].get(mode="clip")


def rounding_floor(plan: SolverPlan, adm: Admittance, x: jax.Array) -> jax.Array:
    """Mismatch that rounding alone can cause, largest over buses, (1, 1, *batch) p.u.

    Each branch current is the product of an admittance and a difference of deviations, each of them
    known to about one unit in its last place.
    """
    d = phasor.magnitude(deviation(x))
    reach = take(d, plan.pair_from) + take(d, plan.pair_to)
    ends = [phasor.magnitude(adm.along) * reach, phasor.magnitude(adm.against) * reach]
    error = gather_sum(plan.pair_to_bus, jnp.concatenate(ends))
    return jnp.finfo(d.dtype).eps * error.max(axis=0)[None, None]


def solve_jacobian(
    plan: SolverPlan, adm: Admittance, x: jax.Array, rhs: jax.Array, *, transposed: bool
) -> jax.Array:
    """Solves with the Jacobian by (theta, ln |V|) at ``x``, or with its transpose; (2, n_pq, *batch)."""
    d = deviation(x)
    factors = factor(plan.levels, jacobian(plan, adm, d, bus_power(plan, adm, d)))
    return (solve_transposed if transposed else solve)(plan.levels, factors, rhs)


def _largest(excess: jax.Array) -> jax.Array:
    """Largest entry of each lane by magnitude, (1, 1, *batch); NaN where there is one."""
    return jnp.abs(excess).max(axis=(0, 1), keepdims=True, initial=0)
