"""Primal-dual interior point method for quadratic programs: a fixed number of predictor-corrector steps.

    minimise   1/2 x'Px + q'x + w't    subject to   Ax = b,   Gx + s = h + t,   s >= 0,   t >= 0,

t the violation of *soft* inequalities, at a cost of w a unit; hard ones have none. Solutions, with duals y,
z >= 0 and r >= 0, and certificates that there is none, are the zeros of the homogeneous system

    Px + A'y + G'z + q tau = 0,      Ax = b tau,      Gx + s = h tau + t,      z + r = w tau,
    x'Px / tau + q'x + w't + b'y + h'z + kappa = 0,      s z = t r = tau kappa = 0:

with tau > 0 the variables over tau are a solution, with kappa > 0 they prove infeasibility or unboundedness.
So every program converges to something, with an interior or without. A step solves two or three systems of
``kkt`` with one factorisation.

Reference: Goulart & Chen, "Clarabel: An interior-point solver for conic programs with quadratic objectives",
arXiv:2405.12762 (2024), secs. 2 and 3; Mehrotra, "On the implementation of a primal-dual interior point
method", SIAM J. Optim. 2 (1992).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from anmjax.projection import kkt
from anmjax.projection.dense import Algebra

# A step ends at this share of the way to the boundary.
TO_BOUNDARY = 0.99
# Products are kept above this share of their mean.
LEAST_PRODUCT = 1e-3
# Steps that put a point where every product is a given one, see ``centred``.
CENTRING_STEPS = 10


class Problem(NamedTuple):
    """A quadratic program, batch trailing."""

    P: jax.Array  # (n, n, lanes) symmetric
    q: jax.Array  # (n, lanes)
    A: jax.Array  # (p, n, lanes)
    b: jax.Array  # (p, lanes)
    G: jax.Array  # (m, n, lanes)
    h: jax.Array  # (m, lanes)
    w: jax.Array | None  # (m, lanes) cost of a violation, infinite where the inequality is hard; None: all

    def soft(self, x: jax.Array) -> jax.Array:
        """``x`` where inequalities are soft, 0 where they are hard."""
        return jnp.zeros_like(x) if self.w is None else jnp.where(jnp.isfinite(self.w), x, 0)

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

    def theta(self) -> jax.Array:
        """(m, lanes) s / z + t / r, by which the inequalities yield to their duals."""
        return self.s / self.z + self.t / self.r


class Residuals(NamedTuple):
    """By how much a point misses the linear equations of the homogeneous system, and the one of the gap."""

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


def _delta(problem: Problem) -> float:
    """Regularisation of the inequalities, which near the end yield less than the usual one."""
    return float(jnp.finfo(problem.q.dtype).eps) ** 0.75


def _dot(u: jax.Array, v: jax.Array) -> jax.Array:
    return (u * v).sum(0, keepdims=True)


def residuals(algebra: Algebra, problem: Problem, at: Point) -> Residuals:
    """The residuals at a point."""
    P, q, A, b, G, h, _ = problem
    Px, price = algebra.times(P, at.x), problem.price()
    linear = _dot(q, at.x) + _dot(price, at.t) + _dot(b, at.y) + _dot(h, at.z)
    return Residuals(
        Px + algebra.transposed_times(A, at.y) + algebra.transposed_times(G, at.z) + q * at.tau,
        algebra.times(A, at.x) - b * at.tau,
        algebra.times(G, at.x) + at.s - at.t - h * at.tau,
        problem.soft(price * at.tau - at.z - at.r),
        _dot(at.x, Px) / at.tau + linear + at.kappa,
    )


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
        mean = _mean(problem, _products(problem, now.at))
        new = _choose_finite(_step(algebra, problem, now.at, now.miss, refinements), now.at)
        # Nothing is gained further on; the numbers would only fall until they are slow to compute with.
        at = _choose(mean > jnp.finfo(problem.q.dtype).eps ** 2, new, now.at)
        miss = residuals(algebra, problem, at)
        error = _error(problem, at, miss)
        best = _choose(error < now.error, at, now.best)
        return _Progress(at, miss, best, jnp.minimum(error, now.error))

    at = _start(algebra, problem, refinements)
    miss = residuals(algebra, problem, at)
    now = _Progress(at, miss, at, _error(problem, at, miss))
    end = jax.lax.fori_loop(0, num_iters, step, now)
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
    root, soft = jnp.sqrt(mu), problem.soft(jnp.ones_like(at.s)) > 0
    at = at._replace(
        z=jnp.maximum(at.z, root),
        s=jnp.maximum(at.s, root),
        t=jnp.where(soft, jnp.maximum(at.t, root), 0),
        r=jnp.where(soft, jnp.maximum(at.r, root), 1),
    )

    def step(_: int, at: Point) -> Point:
        system = kkt.factorise(algebra, problem.P, problem.A, problem.G, at.theta(), delta=_delta(problem))
        miss = residuals(algebra, problem, at)
        excess = Products(at.s * at.z - mu, problem.soft(at.t * at.r - mu), jnp.zeros_like(mu))
        move = _direction(algebra, problem, system, at, miss, excess, None, refinements)
        return _choose_finite(_moved(at, move, TO_BOUNDARY * _length(problem, at, move)), at)

    return jax.lax.fori_loop(0, CENTRING_STEPS, step, at)


class _Progress(NamedTuple):
    """Where the iteration stands."""

    at: Point
    miss: Residuals  # there
    best: Point
    error: jax.Array  # (1, lanes) of the best


def _products(problem: Problem, at: Point) -> Products:
    return Products(at.s * at.z, problem.soft(at.t * at.r), at.tau * at.kappa)


def _error(problem: Problem, at: Point, miss: Residuals) -> jax.Array:
    """Largest residual and product of the solution that a point stands for, (1, lanes)."""
    products = _products(problem, at)
    linear = [jnp.abs(x / at.tau).max(0, keepdims=True) for x in miss[:4] if len(x)]
    square = [(x / at.tau**2).max(0, keepdims=True) for x in products[:2] if len(x)]
    return jnp.stack([*linear, *square, jnp.abs(miss.gap - at.kappa) / at.tau]).max(0)


def _choose(mask: jax.Array, a: Point, b: Point) -> Point:
    return jax.tree.map(lambda x, y: jnp.where(mask, x, y), a, b)


def _choose_finite(a: Point, b: Point) -> Point:
    return _choose(jnp.stack([jnp.isfinite(x).all(0, keepdims=True) for x in a]).all(0), a, b)


def _start(algebra: Algebra, problem: Problem, refinements: int) -> Point:
    """The solution of a problem without signs, moved into the cone."""
    P, q, A, b, G, h, _ = problem
    one = jnp.ones_like(q[:1])
    system = kkt.factorise(algebra, P, A, G, jnp.ones_like(h), delta=_delta(problem))
    x, y, z = kkt.solve(algebra, system, kkt.Triple(-q, b, h), refinements=refinements)
    if not len(h):
        return Point(x, y, z, z, z, z, one, one)

    def positive(u: jax.Array) -> jax.Array:
        least = u.min(0, keepdims=True)
        return jnp.where(least > 0, u, u + (1 - least))

    s, z = positive(-z), positive(z)
    price, room = problem.price(), h - algebra.times(G, x)
    soft = problem.soft(jnp.ones_like(h)) > 0
    z = jnp.where(soft, jnp.minimum(z, price / 2), z)
    s = jnp.where(soft, jnp.maximum(room, 0) + 1, s)
    t = jnp.where(soft, jnp.maximum(-room, 0) + 1, 0)
    return Point(x, y, z, s, t, jnp.where(soft, price - z, 1), one, one)


def _step(algebra: Algebra, problem: Problem, at: Point, miss: Residuals, refinements: int) -> Point:
    """A predictor-corrector step, and the scale set to that of max(tau, kappa) = 1."""
    P, q, A, b, G, h, _ = problem
    system = kkt.factorise(algebra, P, A, G, at.theta(), delta=_delta(problem))
    by_tau = kkt.Triple(-q, b, h - at.t / at.r * problem.price())
    by_tau = kkt.solve(algebra, system, by_tau, refinements=refinements)
    products = _products(problem, at)
    predictor = _direction(algebra, problem, system, at, miss, products, by_tau, refinements)
    length = jnp.minimum(_length(problem, at, predictor), 1)
    centring = (1 - length) ** 3
    wanted = centring * _mean(problem, products)
    excess = Products(
        products.s + predictor.s * predictor.z - wanted,
        problem.soft(products.t + predictor.t * predictor.r - wanted),
        products.tau + predictor.tau * predictor.kappa - wanted,
    )
    miss = jax.tree.map(lambda x: (1 - centring) * x, miss)
    move = _direction(algebra, problem, system, at, miss, excess, by_tau, refinements)
    new = _moved(at, move, TO_BOUNDARY * _length(problem, at, move))
    return _rescaled(problem, _off_the_boundary(problem, new))


def _off_the_boundary(problem: Problem, at: Point) -> Point:
    """Raises the smaller factor of products far below the mean, which would cut every later step."""
    products = _products(problem, at)
    least = LEAST_PRODUCT * _mean(problem, products)

    def raised(u: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jnp.where(u < v, jnp.maximum(u, least / v), u), jnp.where(u < v, v, jnp.maximum(v, least / u))

    s, z = raised(at.s, at.z)
    t, r = raised(at.t, at.r)
    soft = problem.soft(jnp.ones_like(at.s)) > 0
    return at._replace(s=s, z=z, t=jnp.where(soft, t, 0), r=jnp.where(soft, r, 1))


def _rescaled(problem: Problem, at: Point) -> Point:
    """The same point at the scale where max(tau, kappa) = 1."""
    scale = 1 / jnp.maximum(at.tau, at.kappa)
    soft = problem.soft(jnp.ones_like(at.r)) > 0
    return Point(*(v * scale for v in at))._replace(r=jnp.where(soft, at.r * scale, 1))


def _mean(problem: Problem, products: Products) -> jax.Array:
    """Mean of the products, (1, lanes)."""
    count = len(products.s) + problem.soft(jnp.ones_like(products.t)).sum(0, keepdims=True) + 1
    return (products.s.sum(0, keepdims=True) + products.t.sum(0, keepdims=True) + products.tau) / count


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
    give, price = at.t / at.r, problem.price()
    shift = excess.s / at.z - problem.soft((excess.t + at.t * miss.price) / at.r)
    rhs = kkt.Triple(-miss.dual, -miss.equality, shift - miss.inequality)
    alone = kkt.solve(algebra, system, rhs, refinements=refinements)
    dtau = dkappa = jnp.zeros_like(at.tau)
    if by_tau is not None:
        xi = at.x / at.tau
        t_alone = give * alone.z - problem.soft((excess.t + at.t * miss.price) / at.r)
        gradient = 2 * algebra.times(problem.P, xi) + problem.q

        def along(u: kkt.Triple, t: jax.Array) -> jax.Array:
            return _dot(gradient, u.x) + _dot(price, t) + _dot(problem.b, u.y) + _dot(problem.h, u.z)

        slope = (
            along(by_tau, give * (by_tau.z - price))
            - _dot(xi, algebra.times(problem.P, xi))
            - at.kappa / at.tau
        )
        known = along(alone, t_alone)
        dtau = (excess.tau / at.tau - miss.gap - known) / slope
        dkappa = -(excess.tau + at.kappa * dtau) / at.tau
        alone = jax.tree.map(lambda u, v: u + dtau * v, alone, by_tau)
    dx, dy, dz = alone
    dr = problem.soft(price * dtau - dz + miss.price)
    dt = -problem.soft((excess.t + at.t * dr) / at.r)
    # From the constraint, not from the product: so the constraint holds to rounding.
    ds = problem.h * dtau - miss.inequality - algebra.times(problem.G, dx) + dt
    return Point(dx, dy, dz, ds, dt, dr, dtau, dkappa)


def _moved(at: Point, move: Point, length: jax.Array) -> Point:
    return jax.tree.map(lambda x, dx: x + length * dx, at, move)


def _length(problem: Problem, at: Point, move: Point) -> jax.Array:
    """Largest length, at most 1 / TO_BOUNDARY, of a step that keeps the signs, (1, lanes)."""

    def longest(x: jax.Array, dx: jax.Array) -> jax.Array:
        return jnp.where(dx < 0, -x / jnp.where(dx < 0, dx, -1), 1 / TO_BOUNDARY)

    rows: list[Any] = [(at.s, move.s), (at.z, move.z)]
    if problem.w is not None:
        rows += [(jnp.where(move.t == 0, 1, at.t), move.t), (at.r, move.r)]
    lengths = [longest(*row).min(0, keepdims=True) for row in rows if len(row[0])]
    lengths += [longest(at.tau, move.tau), longest(at.kappa, move.kappa)]
    return jnp.minimum(jnp.stack(lengths).min(0), 1 / TO_BOUNDARY)
