"""Primal-dual interior point method for quadratic programs: a fixed number of predictor-corrector steps.

The steps go to the zeros of the system of ``homogeneous``, so every program converges to something, with an
interior or without. A step solves three systems of ``kkt`` with one factorisation.

Reference: Goulart & Chen, "Clarabel: An interior-point solver for conic programs with quadratic objectives",
arXiv:2405.12762 (2024), sec. 3; Mehrotra, "On the implementation of a primal-dual interior point method",
SIAM J. Optim. 2 (1992).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from anmjax.qp import kkt
from anmjax.qp.dense import Algebra
from anmjax.qp.homogeneous import (
    Point,
    Problem,
    Products,
    Residuals,
    error,
    mean,
    products,
    residuals,
)

# A step ends at this share of the way to the boundary.
TO_BOUNDARY = 0.99
# Products are kept above this share of their mean.
LEAST_PRODUCT = 1e-3
# Products of soft inequalities at the start, of a problem whose entries are about one.
START_PRODUCT = 3.0
# Duals of soft inequalities at the start at most, of such a problem.
LARGEST_START = 1e3
# Steps that put a point where every product is a given one, see ``centred``.
CENTRING_STEPS = 10


def minimise(algebra: Algebra, problem: Problem, *, num_iters: int, refinements: int) -> tuple[Point, Point]:
    """Solves the homogeneous system.

    Args:
      algebra: of dense matrices.
      problem: quadratic program, scaled to entries of about one.
      num_iters: steps.
      refinements: of every linear system.

    Returns:
      The best solution met, by its largest residual or product, tau one; and the last point, which is a
      certificate where there is no solution.
    """

    def step(_: int, now: _Progress) -> _Progress:
        at = _step(algebra, problem, now.at, now.miss, refinements)
        miss = residuals(algebra, problem, at)
        left = error(algebra, at, miss)
        best = jax.tree.map(lambda new, old: jnp.where(left < now.error, new, old), at, now.best)
        return _Progress(at, miss, best, jnp.minimum(left, now.error))

    at = _start(algebra, problem, refinements)
    miss = residuals(algebra, problem, at)
    end = jax.lax.fori_loop(0, num_iters, step, _Progress(at, miss, at, error(algebra, at, miss)))
    return end.best.solution(), end.at


def centred(algebra: Algebra, problem: Problem, at: Point, mu: jax.Array, *, refinements: int) -> Point:
    """Moves a solution to where every product is ``mu``, a point of the central path.

    Args:
      algebra: of dense matrices.
      problem: quadratic program, scaled.
      at: a solution, or a point near.
      mu: (1, lanes) product of slack and dual.
      refinements: of every linear system.
    """
    # From products not below mu: Newton's method loses its way from the boundary inwards.
    root, soft = jnp.sqrt(mu), problem.is_soft
    at = at._replace(
        z=jnp.maximum(at.z, root),
        s=jnp.maximum(at.s, root),
        t=jnp.where(soft, jnp.maximum(at.t, root), 0),
        r=jnp.where(soft, jnp.maximum(at.r, root), 1),
    )

    def step(_: int, at: Point) -> Point:
        system = kkt.factorise(algebra, problem.P, problem.A, problem.G, at.theta(), refined=refinements > 0)
        miss = residuals(algebra, problem, at)
        excess = Products(at.s * at.z - mu, problem.soft(at.t * at.r - mu), jnp.zeros_like(mu))
        move = _direction(algebra, problem, system, at, miss, excess, None, refinements)
        return _moved(algebra, at, move, TO_BOUNDARY * _length(algebra, at, move))

    return jax.lax.fori_loop(0, CENTRING_STEPS, step, at)


class _Progress(NamedTuple):
    """Where the iteration stands."""

    at: Point
    miss: Residuals  # there
    best: Point
    error: jax.Array  # (1, lanes) of the best


def _start(algebra: Algebra, problem: Problem, refinements: int) -> Point:
    """The solution of a problem without signs, moved into the cone."""
    P, q, A, b, G, h, _ = problem
    one = jnp.ones_like(q[:1])
    system = kkt.factorise(algebra, P, A, G, jnp.ones_like(h), refined=refinements > 0)
    # A soft inequality far from binding would draw x to it, and push all others from their boundaries.
    near = jnp.where(problem.is_soft, jnp.minimum(h, 1), h)
    x, y, z = kkt.solve(algebra, system, kkt.Triple(-q, b, near), refinements=refinements)
    if not len(h):
        return Point(x, y, z, z, z, z, one, one)

    def positive(u: jax.Array) -> jax.Array:
        least = jnp.where(problem.is_soft, 1, u).min(0, keepdims=True)
        return jnp.where(least > 0, u, u + (1 - least))

    s, z = positive(-z), positive(z)
    if problem.w is None:
        return Point(x, y, z, s, jnp.zeros_like(s), jnp.ones_like(s), one, one)
    # Soft inequalities start where z + r = w, s - t is the room that x leaves, and s z = t r = mu, or, where
    # this takes too large a dual, s z = mu alone. The smaller dual first: the other way the two would cancel
    # where the room is large.
    mu, w, room = START_PRODUCT, problem.price, h - algebra.times(G, x)
    size = jnp.abs(room) * w
    small = 2 * mu * w / (size + 2 * mu + jnp.hypot(size, jnp.full_like(size, 2 * mu)))
    soft_z = jnp.where(room > 0, small, jnp.minimum(w - small, LARGEST_START))
    soft_r = jnp.where(room > 0, w - small, jnp.maximum(w - LARGEST_START, small))
    soft_t = jnp.where(room > 0, mu / soft_r, mu / soft_z - room)
    soft = Point(x, y, soft_z, mu / soft_z, soft_t, soft_r, one, one)
    hard = Point(x, y, z, s, jnp.zeros_like(s), jnp.ones_like(s), one, one)
    return jax.tree.map(lambda u, v: jnp.where(problem.is_soft, u, v) if len(u) == len(h) else u, soft, hard)


def _step(algebra: Algebra, problem: Problem, at: Point, miss: Residuals, refinements: int) -> Point:
    """A predictor-corrector step, and the scale set to that of max(tau, kappa) = 1."""
    P, q, A, b, G, h, _ = problem
    system = kkt.factorise(algebra, P, A, G, at.theta(), refined=refinements > 0)
    by_tau = kkt.Triple(-q, b, h - at.give() * problem.price)
    by_tau = kkt.solve(algebra, system, by_tau, refinements=refinements)
    now = products(at)
    predictor = _direction(algebra, problem, system, at, miss, now, by_tau, refinements)
    mu, reach = mean(algebra, problem, at), jnp.minimum(_length(algebra, at, predictor), 1)
    centring = (1 - reach) ** 3
    excess = Products(
        now.s + predictor.s * predictor.z - centring * mu,
        problem.soft(now.t + predictor.t * predictor.r - centring * mu),
        now.tau + predictor.tau * predictor.kappa - centring * mu,
    )
    left = jax.tree.map(lambda x: (1 - centring) * x, miss)
    move = _direction(algebra, problem, system, at, left, excess, by_tau, refinements)
    # Where the correction spoils the step, the predictor goes alone.
    length = _length(algebra, at, move)
    spoilt = length < reach / 2
    move = jax.tree.map(lambda alone, corrected: jnp.where(spoilt, alone, corrected), predictor, move)
    # Nothing is gained further on; the numbers would only fall until they are slow to compute with.
    length = TO_BOUNDARY * jnp.where(spoilt, reach, length)
    length = jnp.where(mu > jnp.finfo(q.dtype).eps ** 2, length, 0)
    return _off_the_boundary(algebra, problem, _moved(algebra, at, move, length))


def _direction(
    algebra: Algebra,
    problem: Problem,
    system: kkt.System,
    at: Point,
    miss: Residuals,
    excess: Products,
    by_tau: kkt.Triple | None,
    refinements: int,
) -> Point:
    """The Newton step that takes ``miss`` from the residuals and ``excess`` from the products.

    Args:
      algebra: of dense matrices.
      problem: quadratic program.
      system: of the point, factorised.
      at: the point.
      miss: residuals to take away.
      excess: products to take away.
      by_tau: how x, y and z follow tau; None: tau stays.
      refinements: of the linear system.
    """
    give, price = at.give(), problem.price
    soft_part = excess.t / at.r + give * miss.price
    rhs = kkt.Triple(-miss.dual, -miss.equality, excess.s / at.z - soft_part - miss.inequality)
    alone = kkt.solve(algebra, system, rhs, refinements=refinements)
    dtau = dkappa = jnp.zeros_like(at.tau)
    if by_tau is not None:
        xi = at.x / at.tau
        P_xi = algebra.times(problem.P, xi)
        gradient = 2 * P_xi + problem.q
        dot = functools.partial(algebra.total, jnp.multiply)

        def along(u: kkt.Triple, t: jax.Array) -> jax.Array:
            return dot(gradient, u.x) + dot(price, t) + dot(problem.b, u.y) + dot(problem.h, u.z)

        slope = along(by_tau, give * (by_tau.z - price)) - dot(xi, P_xi) - at.kappa / at.tau
        known = along(alone, give * alone.z - soft_part)
        dtau = (excess.tau / at.tau - miss.gap - known) / slope
        dkappa = -(excess.tau + at.kappa * dtau) / at.tau
        alone = jax.tree.map(lambda u, v: u + dtau * v, alone, by_tau)
    dx, dy, dz = alone
    dr = problem.soft(price * dtau - dz + miss.price)
    dt = -excess.t / at.r - give * dr
    # From the constraint, not from the product: so the constraint holds to rounding.
    ds = problem.h * dtau - miss.inequality - algebra.times(problem.G, dx) + dt
    return Point(dx, dy, dz, ds, dt, dr, dtau, dkappa)


def _length(algebra: Algebra, at: Point, move: Point) -> jax.Array:
    """Largest length, at most 1 / TO_BOUNDARY, of a step that keeps the signs, (1, lanes)."""

    def shrinking(*pairs: jax.Array) -> jax.Array:
        return functools.reduce(jnp.maximum, (-dx / x for x, dx in zip(pairs[::2], pairs[1::2], strict=True)))

    t = jnp.where(at.t > 0, at.t, 1)
    most = algebra.largest(shrinking, at.s, move.s, at.z, move.z, t, move.t, at.r, move.r)
    most = jnp.maximum(most, shrinking(at.tau, move.tau, at.kappa, move.kappa))
    return 1 / jnp.maximum(most, TO_BOUNDARY)


def _moved(algebra: Algebra, at: Point, move: Point, length: jax.Array) -> Point:
    """The point at the end of a step; where numbers are not finite, the point as it was."""
    total = length + algebra.total(jnp.abs, move.x) + algebra.total(jnp.abs, move.y)
    going = (length > 0) & jnp.isfinite(total)
    return jax.tree.map(lambda x, dx: x + jnp.where(going, length * dx, 0), at, move)


def _off_the_boundary(algebra: Algebra, problem: Problem, at: Point) -> Point:
    """Sets the scale to max(tau, kappa) = 1, and raises products far below the mean, which cut later steps.

    It is their smaller factor that is raised.
    """
    scale = 1 / jnp.maximum(at.tau, at.kappa)
    soft = problem.is_soft
    at = Point(*(v * scale for v in at))._replace(r=jnp.where(soft, at.r * scale, 1))
    least = LEAST_PRODUCT * mean(algebra, problem, at)

    def raised(u: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        need = least / jnp.maximum(u, v)
        return jnp.where(u < v, jnp.maximum(u, need), u), jnp.where(u < v, v, jnp.maximum(v, need))

    s, z = raised(at.s, at.z)
    t, r = raised(at.t, at.r)
    return at._replace(s=s, z=z, t=jnp.where(soft, t, 0), r=jnp.where(soft, r, 1))
