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

Reference: Tinney & Hart, "Power Flow Solution by Newton's Method", IEEE Trans. PAS-86 (1967).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.powerflow import phasor
from anmjax.powerflow.admittance import Admittance
from anmjax.powerflow.gather import evaluated, take
from anmjax.powerflow.linear import Factors, LinearSolver
from anmjax.powerflow.plan import SolverPlan


class Jacobian(NamedTuple):
    """The factorised Jacobian at some voltages."""

    v: jax.Array  # (2, n_bus - 1, *batch) p.u., the voltages
    own: jax.Array  # (2, n_bus - 1, *batch) p.u., J / V: conjugate currents over voltages
    factors: Factors


def factorise(
    plan: SolverPlan, linear: LinearSolver, adm: Admittance, v: jax.Array, sent: jax.Array
) -> Jacobian:
    """Factorises the Jacobian.

    Args:
      plan: solver plan.
      linear: solver of the linear systems.
      adm: bus admittance matrix.
      v: (2, n_bus, *batch) p.u., voltages.
      sent: (2, n_bus, *batch) p.u., the power that each bus sends into the network there.
    """
    own = evaluated(_over_square)(sent[:, :-1], v[:, :-1])
    blocks = _polar_blocks(plan, adm, v, sent) if plan.is_pv.any() else _current_blocks(adm, own)
    return Jacobian(v[:, :-1], own, linear.factor(*blocks))


def _current_blocks(adm: Admittance, own: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Blocks of the edges and diagonal blocks, (2, 2, component, *batch), divided by the voltages."""
    diagonal = _conjugating(adm.diagonal[:, :-1]) + jnp.stack([phasor.signed(own, 1, -1), jnp.flip(own, 0)])
    return _conjugating(adm.edge), diagonal


def _over_square(s: jax.Array, v: jax.Array) -> jax.Array:
    over_v = phasor.inverse(v)
    return phasor.multiply(s, phasor.multiply(over_v, over_v))


def _polar_blocks(
    plan: SolverPlan, adm: Admittance, v: jax.Array, sent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Blocks of the edges and diagonal blocks, (2, 2, component, *batch), by (theta, ln |V|)."""
    n_pair = len(plan.edge_tail) // 2
    product = phasor.multiply(
        take(v, plan.edge_tail[:n_pair], 1), phasor.conj(take(v, plan.edge_head[:n_pair], 1))
    )
    along = phasor.multiply(product, phasor.conj(adm.edge[:, :n_pair]))
    against = phasor.conj(phasor.multiply(product, adm.edge[:, n_pair:]))
    own = phasor.conj(adm.diagonal[:, :-1]) * phasor.square(v)[None, :-1]
    edges = _blocks(jnp.concatenate([along, against], 1), ((1, 1), (-1, 1)))
    diagonal = _blocks(own, ((1, 1), (-1, 1))) + _blocks(sent[:, :-1], ((-1, 1), (1, 1)))
    is_pv = np.append(plan.is_pv, False)
    edges = jnp.where(_second_rows(is_pv[plan.edge_tail], edges), 0, edges)
    magnitude = phasor.magnitude(v[:, :-1])[None, None]
    magnitude = magnitude * np.array([0, 1], v.dtype).reshape(1, 2, *[1] * (v.ndim - 1))
    return edges, jnp.where(_second_rows(plan.is_pv, diagonal), magnitude, diagonal)


def relative_change(plan: SolverPlan, linear: LinearSolver, jac: Jacobian, error: jax.Array) -> jax.Array:
    """Solves for the change of the voltages over the voltages.

    Args:
      plan: solver plan.
      linear: solver of the linear systems.
      jac: the Jacobian.
      error: (2, n_bus - 1, *batch) p.u., change of the equations.

    Returns:
      (2, n_bus - 1, *batch) change of ln |V|, and of the angle in rad.
    """
    if plan.is_pv.any():
        return jnp.flip(linear.solve(jac.factors, error), 0)
    over_v = phasor.inverse(jac.v)
    return phasor.multiply(over_v, linear.solve(jac.factors, phasor.multiply(over_v, error)))


def voltage_change(plan: SolverPlan, linear: LinearSolver, jac: Jacobian, error: jax.Array) -> jax.Array:
    """As ``relative_change``; returns the change of the voltages, (2, n_bus - 1, *batch) p.u."""
    if plan.is_pv.any():
        return phasor.multiply(jac.v, relative_change(plan, linear, jac, error))
    return linear.solve(jac.factors, phasor.multiply(phasor.inverse(jac.v), error))


def transposed_voltage_change(
    plan: SolverPlan, linear: LinearSolver, jac: Jacobian, rhs: jax.Array
) -> jax.Array:
    """The transpose of ``voltage_change``; all (2, n_bus - 1, *batch)."""
    # The transpose of a product with a phasor is the product with its conjugate.
    if plan.is_pv.any():
        by_polar = jnp.flip(phasor.multiply(phasor.conj(jac.v), rhs), 0)
        return linear.solve_transposed(jac.factors, by_polar)
    over_v = phasor.conj(phasor.inverse(jac.v))
    return phasor.multiply(over_v, linear.solve_transposed(jac.factors, rhs))


def _conjugating(y: jax.Array) -> jax.Array:
    """Blocks of d -> conj(y d), (2, 2, component, *batch)."""
    return jnp.stack([phasor.signed(y, 1, -1), phasor.signed(jnp.flip(y, 0), -1, -1)])


def _blocks(t: jax.Array, signs: tuple[tuple[int, int], tuple[int, int]]) -> jax.Array:
    """2x2 blocks [[Im t, Re t], [Re t, Im t]] with the given signs, (2, 2, component, *batch)."""
    (a, b), (c, d) = signs
    return jnp.stack([phasor.signed(jnp.flip(t, 0), a, b), phasor.signed(t, c, d)])


def _second_rows(chosen: np.ndarray, blocks: jax.Array) -> np.ndarray:
    """Mask of the second rows of the chosen components, for blocks (2, 2, component, *batch)."""
    return chosen.reshape(-1, *[1] * (blocks.ndim - 3)) & np.array([False, True]).reshape(
        2, *[1] * (blocks.ndim - 1)
    )
