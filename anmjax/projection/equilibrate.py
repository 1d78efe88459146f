"""Scaling of a quadratic program to matrices whose rows and columns have entries of about one.

    x = D x^,  y = E y^ / c,  z = F z^ / c:
    P^ = c D P D,  q^ = c D q,  A^ = E A D,  b^ = E b,  G^ = F G D,  h^ = F h,

with diagonal D, E and F by passes over the largest entries of the matrix [[P, A', G'], [A, 0, 0], [G, 0, 0]].

Reference: Ruiz, "A scaling algorithm to equilibrate both rows and columns norms in matrices",
RAL-TR-2001-034; Stellato et al., "OSQP", Math. Prog. Comp. 12 (2020), sec. 5.1.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from anmjax.projection.homogeneous import Point, Problem

PASSES = 10


class Scaling(NamedTuple):
    """The diagonals, and the factor of the objective."""

    d: jax.Array  # (n, lanes)
    e: jax.Array  # (p, lanes)
    f: jax.Array  # (m, lanes)
    c: jax.Array  # (1, lanes)


def equilibration(P: jax.Array, q: jax.Array, A: jax.Array, G: jax.Array) -> Scaling:
    """The scaling of a quadratic program, batch trailing."""
    P, A, G = jnp.abs(P), jnp.abs(A), jnp.abs(G)

    def largest(*parts: tuple[jax.Array, int]) -> jax.Array:
        """One over the root of the largest entry along an axis; 1 where all are zero."""
        norms = [x.max(axis) for x, axis in parts if x.shape[axis]]
        norm = jnp.stack(norms).max(0)
        return jnp.where(norm > 0, jax.lax.rsqrt(jnp.where(norm > 0, norm, 1)), 1)

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

    d, e, f = jax.lax.fori_loop(0, PASSES, sweep, tuple(jnp.ones_like(x[:, 0]) for x in (P, A, G)))
    size = jnp.maximum(
        (P * d[None] * d[:, None]).max(0).mean(0, keepdims=True), jnp.abs(q * d).max(0, keepdims=True)
    )
    return Scaling(d, e, f, jnp.where(size > 0, 1 / jnp.where(size > 0, size, 1), 1))


def scale(scaling: Scaling, problem: Problem) -> Problem:
    """The scaled program."""
    d, e, f, c = scaling
    P, q, A, b, G, h, w = problem
    return Problem(
        c[None] * P * d[None] * d[:, None],
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
