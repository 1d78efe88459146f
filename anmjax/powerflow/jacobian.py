"""The Jacobian of the power-flow equations: its blocks, and the systems solved with them.

With J = conj(Y V) the conjugate currents into the network the equations are F = V J - s, and a change d of
the voltages changes F by V conj(Y d) + J d. Without PV buses the equations are divided by the voltages:

    (F + dF) / V:  conj(Y d) + (J / V) d,

whose blocks between buses are those of the network, for every lane and voltage the same. As maps of
(Re d, Im d), with Y_ik = g + jb and J_i / V_i = c + js:

    k != i:  [[g, -b], [-b, -g]]
    k == i:  [[g, -b], [-b, -g]] + [[c, -s], [s, c]]

With PV buses the equations stay as they are, P before Q, and the blocks are those of the derivative by
(theta_k, ln |V_k|), with t_ik = V_i conj(Y_ik V_k) and without trigonometry:

    k != i:  [[Im t_ik, Re t_ik], [-Re t_ik, Im t_ik]]
    k == i:  [[Im t_ii - Q_i, P_i + Re t_ii], [P_i - Re t_ii, Q_i + Im t_ii]]

At a PV bus the second equation is |V_i| = v_set and the second row of its blocks [0, |V_i|] and zeros.

A load of constant current adds |V_i| s_i to the equations of its bus, and s_i Re(conj(V_i) d_i) / |V_i| to
dF: a matrix of rank one to the diagonal block, in the first form (s_i / V_i) (V_i / |V_i|)', the parts of
each as a column, and in the second |V_i| s_i in the column of ln |V_i|.

Reference: Tinney & Hart, "Power Flow Solution by Newton's Method", IEEE Trans. PAS-86 (1967).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes import phasor
from anmjax.lanes.gather import take
from anmjax.lanes.kernels import evaluated
from anmjax.powerflow.admittance import Admittance
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.solver import Factors, LinearSolver


class Jacobian(NamedTuple):
    """The factorised Jacobian at some voltages."""

    v: jax.Array  # (2, n_unknown, *batch) p.u., the voltages
    own: jax.Array  # (2, n_unknown, *batch) p.u., J / V: conjugate currents over voltages
    factors: Factors
    # (2, 2, n_unknown, *batch) p.u., what loads of constant current add to the blocks of the first form
    load: jax.Array | None = None


def factorise(
    plan: SolverPlan,
    linear: LinearSolver,
    adm: Admittance,
    v: jax.Array,
    sent: jax.Array,
    current: jax.Array | None = None,
    hold: jax.Array | None = None,
) -> Jacobian:
    """Factorises the Jacobian.

    Args:
      plan: solver plan.
      linear: solver of the linear systems.
      adm: bus admittance matrix.
      v: (2, n_bus, *batch) p.u., voltages.
      sent: (2, n_bus, *batch) p.u., the power that each bus sends into the network there.
      current: (2, n_unknown, *batch) p.u., s_i of loads of constant current; None: there is none.
      hold: (n_unknown, *batch) bool, PV buses that hold their voltage, the others are PQ; None: all.
    """
    unknown = v[:, : plan.n_unknown]
    own = evaluated(over_square)(sent[:, : plan.n_unknown], unknown)
    if plan.is_pv.any():
        return Jacobian(unknown, own, linear.factor(*_polar_blocks(plan, adm, v, sent, current, hold)))
    edges, diagonal = _current_blocks(adm, own)
    load = None if current is None else load_blocks(current, unknown)
    diagonal = diagonal if load is None else diagonal + load
    return Jacobian(unknown, own, linear.factor(edges, diagonal), load)


def _current_blocks(adm: Admittance, own: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Blocks of the edges and diagonal blocks, (2, 2, component, *batch), divided by the voltages."""
    return conjugating(adm.edge), current_diagonal(adm.diagonal[:, : own.shape[1]], own)


def current_diagonal(diagonal: jax.Array, own: jax.Array) -> jax.Array:
    """Diagonal blocks divided by the voltages, of buses with J / V ``own``; without loads' part."""
    return conjugating(diagonal) + jnp.stack([phasor.signed(own, 1, -1), jnp.flip(own, 0)])


def load_blocks(current: jax.Array, v: jax.Array) -> jax.Array:
    """What loads of constant current add to the diagonal blocks divided by the voltages."""
    return phasor.multiply(current, phasor.inverse(v))[:, None] * (v / phasor.magnitude(v)[None])[None]


def over_square(s: jax.Array, v: jax.Array) -> jax.Array:
    """J / V of powers sent and voltages."""
    over_v = phasor.inverse(v)
    return phasor.multiply(s, phasor.multiply(over_v, over_v))


def _polar_blocks(
    plan: SolverPlan,
    adm: Admittance,
    v: jax.Array,
    sent: jax.Array,
    current: jax.Array | None,
    hold: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """Blocks of the edges and diagonal blocks, (2, 2, component, *batch), by (theta, ln |V|)."""
    n_pair, n = len(plan.edge_tail) // 2, plan.n_unknown
    tail, head = (take(v, ends[:n_pair], 1) for ends in (plan.edge_tail, plan.edge_head))
    edges = polar_edges(
        jnp.concatenate(sent_along(tail, head, adm.edge[:, :n_pair], adm.edge[:, n_pair:]), 1)
    )
    is_pv = np.append(plan.is_pv, [False] * plan.n_slack)
    edges = jnp.where(_held_rows(is_pv, plan.edge_tail, hold, edges), 0, edges)
    held = _held_rows(is_pv, np.arange(n), hold, edges)
    return edges, polar_diagonal(adm.diagonal[:, :n], v[:, :n], sent[:, :n], current, held)


def sent_along(
    v_tail: jax.Array, v_head: jax.Array, there: jax.Array, back: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """V_i conj(Y_ik V_k) of edges from i to k, and that of the edges back; (2, component, *batch) each."""
    product = phasor.multiply(v_tail, phasor.conj(v_head))
    return phasor.multiply(product, phasor.conj(there)), phasor.conj(phasor.multiply(product, back))


def polar_edges(along: jax.Array) -> jax.Array:
    """Blocks of edges by (theta, ln |V|), (2, 2, component, *batch), as of buses that hold no voltage."""
    return _blocks(along, ((1, 1), (-1, 1)))


def polar_diagonal(
    diagonal: jax.Array,
    v: jax.Array,
    sent: jax.Array,
    current: jax.Array | None,
    held: np.ndarray | jax.Array,
) -> jax.Array:
    """Diagonal blocks by (theta, ln |V|), (2, 2, component, *batch).

    Args:
      diagonal: (2, component, *batch) p.u., Y_ii.
      v: (2, component, *batch) p.u., voltages.
      sent: (2, component, *batch) p.u., powers that the buses send into the network.
      current: (2, component, *batch) p.u., s_i of loads of constant current; None: there is none.
      held: mask of the second rows whose bus holds its voltage.
    """
    own = phasor.conj(diagonal) * phasor.square(v)[None]
    blocks = polar_edges(own) + _blocks(sent, ((-1, 1), (1, 1)))
    magnitude = phasor.magnitude(v)[None, None]
    if current is not None:
        drawn = (current * magnitude[0])[:, None]
        blocks = blocks + jnp.concatenate([jnp.zeros_like(drawn), drawn], 1)
    return jnp.where(held, magnitude * np.array([0, 1], v.dtype).reshape(1, 2, *[1] * (v.ndim - 1)), blocks)


def relative_change(plan: SolverPlan, linear: LinearSolver, jac: Jacobian, error: jax.Array) -> jax.Array:
    """Solves for the change of the voltages over the voltages.

    Args:
      plan: solver plan.
      linear: solver of the linear systems.
      jac: the Jacobian.
      error: (2, n_unknown, *batch) p.u., change of the equations.

    Returns:
      (2, n_unknown, *batch) change of ln |V|, and of the angle in rad.
    """
    if plan.is_pv.any():
        return jnp.flip(linear.solve(jac.factors, error), 0)
    over_v = phasor.inverse(jac.v)
    return phasor.multiply(over_v, linear.solve(jac.factors, phasor.multiply(over_v, error)))


def voltage_change(plan: SolverPlan, linear: LinearSolver, jac: Jacobian, error: jax.Array) -> jax.Array:
    """As ``relative_change``; returns the change of the voltages, (2, n_unknown, *batch) p.u."""
    polar = bool(plan.is_pv.any())
    return of_system(polar, jac.v, linear.solve(jac.factors, to_system(polar, jac.v, error)))


def transposed_voltage_change(
    plan: SolverPlan, linear: LinearSolver, jac: Jacobian, rhs: jax.Array
) -> jax.Array:
    """The transpose of ``voltage_change``; all (2, n_unknown, *batch)."""
    polar = bool(plan.is_pv.any())
    x = linear.solve_transposed(jac.factors, to_transposed_system(polar, jac.v, rhs))
    return of_transposed_system(polar, jac.v, x)


def to_system(polar: bool, v: jax.Array, error: jax.Array) -> jax.Array:
    """Right-hand side of a change of the equations; ``polar``: of the second form, with PV buses."""
    return error if polar else phasor.multiply(phasor.inverse(v), error)


def of_system(polar: bool, v: jax.Array, x: jax.Array) -> jax.Array:
    """Change of the voltages of a solution."""
    return phasor.multiply(v, jnp.flip(x, 0)) if polar else x


# The transpose of a product with a phasor is the product with its conjugate.
def to_transposed_system(polar: bool, v: jax.Array, rhs: jax.Array) -> jax.Array:
    """The transpose of ``of_system``."""
    return jnp.flip(phasor.multiply(phasor.conj(v), rhs), 0) if polar else rhs


def of_transposed_system(polar: bool, v: jax.Array, x: jax.Array) -> jax.Array:
    """The transpose of ``to_system``."""
    return x if polar else phasor.multiply(phasor.conj(phasor.inverse(v)), x)


def conjugating(y: jax.Array) -> jax.Array:
    """Blocks of d -> conj(y d), (2, 2, component, *batch)."""
    return jnp.stack([phasor.signed(y, 1, -1), phasor.signed(jnp.flip(y, 0), -1, -1)])


def _blocks(t: jax.Array, signs: tuple[tuple[int, int], tuple[int, int]]) -> jax.Array:
    """2x2 blocks [[Im t, Re t], [Re t, Im t]] with the given signs, (2, 2, component, *batch)."""
    (a, b), (c, d) = signs
    return jnp.stack([phasor.signed(jnp.flip(t, 0), a, b), phasor.signed(t, c, d)])


def _held_rows(
    is_pv: np.ndarray, bus: np.ndarray, hold: jax.Array | None, blocks: jax.Array
) -> np.ndarray | jax.Array:
    """Mask of the second rows of the blocks (2, 2, component, *batch) whose bus holds its voltage.

    Args:
      is_pv: (n_bus,) bool, in the plan's order.
      bus: (n_component,) the bus of each block's rows.
      hold: (n_unknown, *batch) bool, see ``factorise``.
      blocks: the blocks.
    """
    second = np.array([False, True]).reshape(2, *[1] * (blocks.ndim - 1))
    rows = is_pv[bus].reshape(-1, *[1] * (blocks.ndim - 3)) & second
    # Blocks of a slack's rows are of no bus in ``hold``; whose they are taken for does not matter.
    return rows if hold is None else rows & take(hold, np.minimum(bus, len(hold) - 1))[None, None]
