"""The linear systems of quadratic programming: one symmetric matrix, regularised, solved and refined.

    [ P   A'  G'     ] [x]   [r1]
    [ A   0   0      ] [y] = [r2]        theta >= 0, 0 at constraints that bind
    [ G   0   -theta ] [z]   [r3]

z is eliminated, and what is left factorised with rho I, -rho I and -delta I added to its diagonal, so that a
singular P, dependent rows of A and theta = 0 all leave a factorisation. What the additions change, iterative
refinement with the system as it stands takes back. It does so only where the factors are those of a matrix
near the regularised one: rho of the first block is therefore never below the rounding error of the block's
own entries, which near the end are as large as 1 / delta. How matrices are stored, and what is left
factorised, is the algebra's business.

Reference: Friedlander & Orban, "A primal-dual regularized interior-point method for convex quadratic
programs", Math. Prog. Comp. 4 (2012).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.qp.dense import Algebra


class Triple(NamedTuple):
    """A solution, or a right-hand side, of the system."""

    x: jax.Array  # (n, lanes)
    y: jax.Array  # (p, lanes)
    z: jax.Array  # (m, lanes)


class System(NamedTuple):
    """The system and its factors."""

    P: Any  # (n, n, lanes), as the algebra stores it; A and G too
    A: Any  # (p, n, lanes)
    G: Any  # (m, n, lanes)
    theta: jax.Array  # (m, lanes)
    weight: jax.Array  # (m, lanes) 1 / (theta + delta)
    factors: Any


def factorise(algebra: Algebra, P: Any, A: Any, G: Any, theta: jax.Array, *, refined: bool) -> System:
    """Factorises the regularised system.

    Both additions are the root of the rounding error where solutions are refined. Where they are not, nothing
    takes back what delta changes: less of it leaves an error that the interior point steps stand.

    Args:
      algebra: of dense matrices.
      P: (n, n, lanes).
      A: (p, n, lanes).
      G: (m, n, lanes).
      theta: (m, lanes).
      refined: solutions will be.
    """
    eps = float(np.finfo(theta.dtype).eps)
    rho, delta = eps**0.5, eps ** (0.5 if refined else 0.75)
    weight = 1 / (theta + delta)
    return System(P, A, G, theta, weight, algebra.factor(P, A, G, weight, rho, eps if refined else 0.0))


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
