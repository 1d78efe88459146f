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


def regularisation(dtype: Any) -> tuple[float, float]:
    """Rho and delta, for matrices of entries of about one.

    rho, of the variables and of the equalities, is the root of the rounding error. Inequalities near the end
    yield less than that: their delta is smaller, and bounds what the products with 1 / delta lose.
    """
    eps = float(np.finfo(dtype).eps)
    return eps**0.5, eps**0.75


def factorise(algebra: Algebra, P: jax.Array, A: jax.Array, G: jax.Array, theta: jax.Array) -> System:
    """Factorises the regularised system."""
    n, p, lanes = P.shape[0], A.shape[0], theta.shape[-1]
    rho, delta = regularisation(P.dtype)
    weight = 1 / (theta + delta)
    eye = jnp.eye(n, dtype=P.dtype)[..., None]
    # A'A, which A x = r2 lets one add, makes the upper block definite where A alone holds x.
    H = algebra.add_gram(P + rho * eye, A, jnp.ones((p, lanes), P.dtype))
    H = algebra.add_gram(H, G, weight)
    if p:
        right = jnp.zeros((n, p, lanes), P.dtype)
        corner = jnp.broadcast_to(-rho * jnp.eye(p, dtype=P.dtype)[..., None], (p, p, lanes))
        H = jnp.concatenate([jnp.concatenate([H, right], 1), jnp.concatenate([A, corner], 1)])
    return System(P, A, G, theta, weight, algebra.factor(H))


def solve(algebra: Algebra, system: System, rhs: Triple, *, refinements: int) -> Triple:
    """Solves the system, refined so many times."""
    solution = _solve_regularised(algebra, system, rhs)
    for _ in range(refinements):
        error = jax.tree.map(jnp.subtract, rhs, product(algebra, system, solution))
        solution = jax.tree.map(jnp.add, solution, _solve_regularised(algebra, system, error))
    return solution


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
