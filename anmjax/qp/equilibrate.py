"""Scaling of a quadratic program to numbers of about one.

    x = D x^,  y = E y^ / c,  z = F z^ / c:
    P^ = c D P D,  q^ = c D q,  A^ = E A D,  b^ = E b,  G^ = F G D,  h^ = F h,

with diagonal D, E and F: every row of A and G is divided by its largest entry, so that its scale does not
matter; passes over the largest entries of the matrix [[P, A', G'], [A, 0, 0], [G, 0, 0]] follow. Then D, E
and F are fitted to the size that x is going to have, and inequalities that are far from binding at such an x
are scaled down until their bound is near: what is left of their row is next to nothing.

Reference: Ruiz, "A scaling algorithm to equilibrate both rows and columns norms in matrices",
RAL-TR-2001-034; Stellato et al., "OSQP", Math. Prog. Comp. 12 (2020), sec. 5.1.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from anmjax.qp.homogeneous import Point, Problem

PASSES = 10
# Scaled x up to this size, and down to one over it, are solved as they are, others at size one.
USUAL_SIZE = 1e2
# Scaled bounds at most. Those of usual programs stay below, and are not touched.
FARTHEST = 1e2


class Scaling(NamedTuple):
    """The diagonals, and the factor of the objective."""

    d: jax.Array  # (n, lanes)
    e: jax.Array  # (p, lanes)
    f: jax.Array  # (m, lanes)
    c: jax.Array  # (1, lanes)


def equilibration(P: jax.Array, q: jax.Array, A: jax.Array, G: jax.Array) -> Scaling:
    """The scaling of a quadratic program by its matrices, batch trailing."""
    P, A, G = jnp.abs(P), jnp.abs(A), jnp.abs(G)

    def largest(*parts: tuple[jax.Array, int]) -> jax.Array:
        """One over the root of the largest entry along an axis; 1 where all are zero."""
        norms = [x.max(axis) for x, axis in parts if x.shape[axis]]
        return jnp.sqrt(_inverse(jnp.stack(norms).max(0)))

    def sweep(_: int, at: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        d, e, f = at
        scaled_P, scaled_A, scaled_G = (
            P * d[None] * d[:, None],
            A * d[None] * e[:, None],
            G * d[None] * f[:, None],
        )
        by_column = largest((scaled_P, 0), (scaled_A, 0), (scaled_G, 0))
        by_row = (largest((x, 1)) if len(x) else jnp.ones_like(x[:, 0]) for x in (scaled_A, scaled_G))
        return tuple(x * y for x, y in zip(at, (by_column, *by_row), strict=True))

    begin = jnp.ones_like(q), *(_inverse(x.max(1, initial=0)) for x in (A, G))
    d, e, f = jax.lax.fori_loop(0, PASSES, sweep, begin)
    return Scaling(d, e, f, _inverse(jnp.maximum(_curvature(P, d), _top(q * d))))


def fitted(at: Scaling, problem: Problem) -> Scaling:
    """The scaling fitted to the size of x and to the bounds of a program.

    The largest entry of x is at least as large as hard inequalities ask for, and as the objective draws an
    entry on its own; and about as large as what all constraints ask for, or the objective, at most.
    Equalities may pin one large entry, and are met exactly at any size.
    """
    d, e, f, c = at
    bound = problem.h * f
    asked = jnp.maximum(-bound, 0)
    least = _top(jnp.where(problem.is_soft, 0, asked))
    most = jnp.maximum(_top(problem.b * e), _top(asked))
    curvature, slope = _curvature(jnp.abs(problem.P), d), _top(problem.q * d)
    free = jnp.where(curvature > 0, slope * _inverse(curvature), jnp.inf)
    low, high = jnp.maximum(least, _alone(problem, d, f)), jnp.maximum(most, free)
    low, high = jnp.where(low < jnp.inf, low, 0), jnp.where(high > 0, high, jnp.inf)
    size = jnp.where(low > USUAL_SIZE, low, jnp.where(high * USUAL_SIZE < 1, high, 1))
    c = jnp.where(size == 1, c, _inverse(jnp.maximum(curvature * size * size, slope * size)))
    far = jnp.maximum(1, bound / size / FARTHEST)
    return Scaling(d * size, e / size, f / size / far, c)


def _alone(problem: Problem, d: jax.Array, f: jax.Array) -> jax.Array:
    """How far the objective draws an entry of x on its own, up to an inequality in its way, (1, lanes)."""
    P, q, _, _, G, h, _ = problem
    curvature = jnp.stack([P[i, i] for i in range(len(q))]) * d
    free = jnp.where(curvature > 0, jnp.abs(q) * _inverse(curvature), jnp.where(q == 0, 0, jnp.inf))
    ahead = -(G * (d * jnp.sign(q))[None] * f[:, None])
    room = jnp.where((ahead > 0) & (h > 0)[:, None], (h * f)[:, None] * _inverse(ahead), jnp.inf)
    return jnp.minimum(free, room.min(0, initial=jnp.inf)).max(0, keepdims=True)


def _inverse(x: jax.Array) -> jax.Array:
    """1 / x, and 1 where x is 0."""
    return jnp.where(x > 0, 1 / jnp.where(x > 0, x, 1), 1)


def _top(x: jax.Array) -> jax.Array:
    """Largest magnitude, (m, lanes) -> (1, lanes)."""
    return jnp.abs(x).max(0, keepdims=True, initial=0)


def _curvature(P: jax.Array, d: jax.Array) -> jax.Array:
    """Mean over the columns of the largest entry of the scaled matrix, (1, lanes)."""
    return (P * d[None] * d[:, None]).max(0).mean(0, keepdims=True)


def scale(scaling: Scaling, problem: Problem) -> Problem:
    """The scaled program."""
    d, e, f, c = scaling
    P, q, A, b, G, h, w = problem
    return Problem(
        P * d[None] * d[:, None] * c[None],
        c * q * d,
        A * d[None] * e[:, None],
        b * e,
        G * d[None] * f[:, None],
        h * f,
        None if w is None else c * w / f,
    )


def unscale(scaling: Scaling, at: Point) -> Point:
    """The point of the program as it was."""
    d, e, f, c = scaling
    return Point(at.x * d, at.y * e / c, at.z * f / c, at.s / f, at.t / f, at.r * f / c, at.tau, at.kappa)
