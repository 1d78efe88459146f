"""Quadratic programs with hard and soft inequalities, and the homogeneous system whose zeros solve them.

    minimise   1/2 x'Px + q'x + w't    subject to   Ax = b,   Gx + s = h + t,   s >= 0,   t >= 0,

t the violation of *soft* inequalities, at a cost of w a unit; hard ones have none. Solutions, with duals y,
z >= 0 and r >= 0, and certificates that there is none, are the zeros of the homogeneous system

    Px + A'y + G'z + q tau = 0,      Ax = b tau,      Gx + s = h tau + t,      z + r = w tau,
    x'Px / tau + q'x + w't + b'y + h'z + kappa = 0,      s z = t r = tau kappa = 0:

with tau > 0 the variables over tau are a solution, with kappa > 0 they prove infeasibility or unboundedness.

Reference: Goulart & Chen, "Clarabel: An interior-point solver for conic programs with quadratic objectives",
arXiv:2405.12762 (2024), sec. 2.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from anmjax.qp.dense import Algebra

# Residuals up to so many times the rounding of a number of one come of rounding.
ROUNDING = 4


class Problem(NamedTuple):
    """A quadratic program, batch trailing."""

    P: Any  # (n, n, lanes) symmetric, as the algebra stores it; A and G too
    q: jax.Array  # (n, lanes)
    A: Any  # (p, n, lanes)
    b: jax.Array  # (p, lanes)
    G: Any  # (m, n, lanes)
    h: jax.Array  # (m, lanes)
    w: jax.Array | None  # (m, lanes) cost of a violation, infinite where the inequality is hard; None: all

    @property
    def is_soft(self) -> jax.Array:
        """(m, lanes) bool."""
        return jnp.zeros_like(self.h, bool) if self.w is None else jnp.isfinite(self.w)

    def soft(self, x: jax.Array) -> jax.Array:
        """``x`` where inequalities are soft, 0 where they are hard."""
        return jnp.zeros_like(x) if self.w is None else jnp.where(self.is_soft, x, 0)

    @property
    def price(self) -> jax.Array:
        """(m, lanes) w, and 0 where inequalities are hard."""
        return self.soft(jnp.zeros_like(self.h) if self.w is None else self.w)


class Point(NamedTuple):
    """Primal and dual variables; s, z, t, r, tau and kappa are positive."""

    x: jax.Array  # (n, lanes)
    y: jax.Array  # (p, lanes) dual of Ax = b
    z: jax.Array  # (m, lanes) dual of the inequalities
    s: jax.Array  # (m, lanes) slack
    t: jax.Array  # (m, lanes) violation, 0 where hard
    r: jax.Array  # (m, lanes) dual of t >= 0, 1 where hard
    tau: jax.Array  # (1, lanes)
    kappa: jax.Array  # (1, lanes)

    def solution(self) -> Point:
        """The variables over tau."""
        hard = self.t == 0
        x, y, z, s, t, r, _, kappa = (v / self.tau for v in self)
        return Point(x, y, z, s, t, jnp.where(hard, self.r, r), jnp.ones_like(self.tau), kappa)

    def give(self) -> jax.Array:
        """(m, lanes) t / r, by which soft inequalities yield to their price."""
        return self.t / self.r

    def theta(self) -> jax.Array:
        """(m, lanes) s / z + t / r, by which inequalities yield to their duals."""
        return self.s / self.z + self.give()


class Residuals(NamedTuple):
    """By how much a point misses the linear equations, and the one of the gap."""

    dual: jax.Array  # (n, lanes)
    equality: jax.Array  # (p, lanes)
    inequality: jax.Array  # (m, lanes)
    price: jax.Array  # (m, lanes) w tau - z - r, 0 where hard
    gap: jax.Array  # (1, lanes)


class Products(NamedTuple):
    """What should vanish beside the residuals."""

    s: jax.Array  # (m, lanes) s z
    t: jax.Array  # (m, lanes) t r, 0 where hard
    tau: jax.Array  # (1, lanes) tau kappa


def residuals(algebra: Algebra, problem: Problem, at: Point) -> Residuals:
    """The residuals at a point."""
    P, q, A, b, G, h, _ = problem
    Px, price = algebra.times(P, at.x), problem.price
    dot = functools.partial(algebra.total, jnp.multiply)
    linear = dot(q, at.x) + dot(b, at.y) + algebra.total(_two_products, price, at.t, h, at.z)
    return Residuals(
        Px + algebra.transposed_times(A, at.y) + algebra.transposed_times(G, at.z) + q * at.tau,
        algebra.times(A, at.x) - b * at.tau,
        algebra.times(G, at.x) + at.s - at.t - h * at.tau,
        problem.soft(price * at.tau - at.z - at.r),
        dot(at.x, Px) / at.tau + linear + at.kappa,
    )


def products(at: Point) -> Products:
    """The products at a point."""
    return Products(at.s * at.z, at.t * at.r, at.tau * at.kappa)


def mean(algebra: Algebra, problem: Problem, at: Point) -> jax.Array:
    """Mean of the products, (1, lanes)."""
    count = len(at.s) + problem.soft(jnp.ones_like(at.t)).sum(0, keepdims=True) + 1
    return (algebra.total(_two_products, at.s, at.z, at.t, at.r) + at.tau * at.kappa) / count


def error(algebra: Algebra, at: Point, miss: Residuals) -> jax.Array:
    """Largest residual and product of the solution that a point stands for, (1, lanes).

    Residuals no larger than rounding are none, and leave the choice to the products.
    """
    linear = [algebra.largest(jnp.abs, x) for x in (miss.dual, miss.equality, miss.gap - at.kappa)]
    linear.append(algebra.largest(_larger, miss.inequality, miss.price))
    square = algebra.largest(lambda s, z, t, r: jnp.maximum(s * z, t * r), at.s, at.z, at.t, at.r)
    missed = functools.reduce(jnp.maximum, linear) / at.tau
    rounding = ROUNDING * jnp.finfo(missed.dtype).eps
    return jnp.maximum(jnp.where(missed > rounding, missed, 0), square / at.tau**2)


def _two_products(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array) -> jax.Array:
    return a * b + c * d


def _larger(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.maximum(jnp.abs(a), jnp.abs(b))
