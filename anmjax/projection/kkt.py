"""The linear systems of quadratic programming: one symmetric matrix, regularised, solved and refined.

    [ P   A'  G'     ] [x]   [r1]
    [ A   0   0      ] [y] = [r2]        theta >= 0, 0 at constraints that bind
    [ G   0   -theta ] [z]   [r3]

z is eliminated, and what is left factorised with rho I, -rho I and -delta I added to its diagonal, so that a
singular P, dependent rows of A and theta = 0 all leave a factorisation. What the additions change, iterative
refinement with the system as it stands takes back.

Reference: Friedlander & Orban, "A primal-dual regularized interior-point method for convex quadratic
programs", Math. Prog. Comp. 4 (2012).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.projection.dense import Algebra


class Triple(NamedTuple):
    """A solution, or a right-hand side, of the system."""

    x: jax.Array  # (n, lanes)
    y: jax.Array  # (p, lanes)
    z: jax.Array  # (m, lanes)


class System(NamedTuple):
    """The system and its factors."""

    P: jax.Array  # (n, n, lanes)
    A: jax.Array  # (p, n, lanes)
    G: jax.Array  # (m, n, lanes)
    theta: jax.Array  # (m, lanes)
    weight: jax.Array  # (m, lanes) 1 / (theta + delta)
    factors: Any


def root_of_rounding(dtype: Any) -> float:
    """The usual regularisation of matrices with entries of about one."""
    return float(np.finfo(dtype).eps) ** 0.5


def factorise(
    algebra: Algebra, P: jax.Array, A: jax.Array, G: jax.Array, theta: jax.Array, *, delta: float
) -> System:
    """Factorises the regularised system; rho is the root of the rounding error.

    Args:
      algebra: of dense matrices.
      P: (n, n, lanes).
      A: (p, n, lanes).
      G: (m, n, lanes).
      theta: (m, lanes).
      delta: added to theta. 1 / delta multiplies the rounding error of the factors, delta what one
        refinement leaves of the error.
    """
    n, p, lanes = P.shape[0], A.shape[0], theta.shape[-1]
    rho = root_of_rounding(P.dtype)
    weight = 1 / (theta + delta)
    eye = jnp.eye(n, dtype=P.dtype)[..., None]
    # A'A, which A x = r2 lets one add, makes the upper block definite where A alone holds x.
    H = algebra.add_gram(P + rho * eye, A, jnp.ones((p, lanes), P.dtype))
    H = algebra.add_gram(H, G, weight)
    if p:
        corner = jnp.broadcast_to(-rho * jnp.eye(p, dtype=P.dtype)[..., None], (p, p, lanes))
        upper, lower = jnp.concatenate([H, jnp.swapaxes(A, 0, 1)], 1), jnp.concatenate([A, corner], 1)
        H = jnp.concatenate([upper, lower])
    return System(P, A, G, theta, weight, algebra.factor(H))


def solve(algebra: Algebra, system: System, rhs: Triple, *, refinements: int) -> Triple:
    """Solves the system, refined so many times."""
    solution = _solve_regularised(algebra, system, rhs)
    for _ in range(refinements):
        correction = _solve_regularised(algebra, system, _error(algebra, system, rhs, solution))
        solution = jax.tree.map(jnp.add, solution, correction)
    return solution


def solve_guarded(algebra: Algebra, system: System, rhs: Triple, *, refinements: int) -> Triple:
    """As ``solve``, each refinement undone where it does not lessen the error.

    Where the factors are too rough for the system, refinements diverge.
    """
    solution = _solve_regularised(algebra, system, rhs)
    error = _error(algebra, system, rhs, solution)
    for _ in range(refinements):
        refined = jax.tree.map(jnp.add, solution, _solve_regularised(algebra, system, error))
        left = _error(algebra, system, rhs, refined)
        better = _largest(left) < _largest(error)
        solution = _choose(better, refined, solution)
        error = _choose(better, left, error)
    return solution


def _error(algebra: Algebra, system: System, rhs: Triple, at: Triple) -> Triple:
    return jax.tree.map(jnp.subtract, rhs, product(algebra, system, at))


def _largest(x: Triple) -> jax.Array:
    return jnp.stack([jnp.abs(part).max(0, keepdims=True, initial=0) for part in x]).max(0)


def _choose(mask: jax.Array, a: Triple, b: Triple) -> Triple:
    return jax.tree.map(lambda x, y: jnp.where(mask, x, y), a, b)


def product(algebra: Algebra, system: System, at: Triple) -> Triple:
    """The system's matrix times a vector."""
    P, A, G = system.P, system.A, system.G
    return Triple(
        algebra.times(P, at.x) + algebra.transposed_times(A, at.y) + algebra.transposed_times(G, at.z),
        algebra.times(A, at.x),
        algebra.times(G, at.x) - system.theta * at.z,
    )


def _solve_regularised(algebra: Algebra, system: System, rhs: Triple) -> Triple:
    n = len(rhs.x)
    upper = rhs.x + algebra.transposed_times(system.G, system.weight * rhs.z)
    if len(rhs.y):
        upper = jnp.concatenate([upper + algebra.transposed_times(system.A, rhs.y), rhs.y])
    xy = algebra.solve(system.factors, upper)
    x = xy[:n]
    return Triple(x, xy[n:], system.weight * (algebra.times(system.G, x) - rhs.z))
