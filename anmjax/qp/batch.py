"""Quadratic programs of many lanes: scaled, solved, judged, in blocks that a CPU's caches hold.

Arrays are ``[component, *batch]``, see ``anmjax.lanes.trailing``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from anmjax.lanes.blocks import map_blocks, num_lanes
from anmjax.lanes.schedule import Fit, Schedule, scheduled, with_lanes
from anmjax.qp import kkt
from anmjax.qp.dense import Algebra, algebra_of
from anmjax.qp.equilibrate import equilibration, fitted, scale, unscale
from anmjax.qp.homogeneous import Point, Problem, residuals
from anmjax.qp.interior_point import centred, minimise

# Of the linear systems of the derivatives.
DERIVATIVE_REFINEMENTS = 3
# By bytes of a number: what a proof that there is no solution may miss, of what it proves.
PROOF_TOL = {8: 1e-8, 4: 1e-4}
# Data of a block of lanes beside a core's L2 cache, and lanes of a block at least.
FIT = Fit(share=2.0, min_lanes=64)


@struct.dataclass
class QPSolution:
    """Solution of a quadratic program. Every number is finite, solution or not."""

    x: jax.Array  # (n,) minimiser
    y: jax.Array  # (p,) dual of Ax = b
    z: jax.Array  # (m,) dual of Gx <= h, >= 0
    primal_residual: jax.Array  # () largest violation of a constraint, of soft ones beyond what is paid for
    dual_residual: jax.Array  # () largest entry of Px + q + A'y + G'z
    gap: jax.Array  # () objective less that of the dual program
    converged: jax.Array  # () bool, all three within the tolerance
    infeasible: jax.Array  # () bool, proved that no x satisfies the constraints
    unbounded: jax.Array  # () bool, proved that the objective falls for ever


class Solved(NamedTuple):
    """The solution, and what its derivative needs."""

    solution: QPSolution
    theta: jax.Array  # (m,) s / z + t / r, by which inequalities yield to their duals
    give: jax.Array  # (m,) t / r, by which soft ones yield to their cost


def solve_lanes(
    num_iters: int,
    refinements: int,
    tol: float,
    schedule: Schedule | None,
    problem: Problem,
    mu: jax.Array | None,
) -> Solved:
    """Solves every lane of a batch, batch trailing."""
    run = functools.partial(_solve, num_iters, refinements, tol)
    return _over_lanes(run, (problem, mu), problem.q.ndim - 1, schedule)


def _over_lanes(
    run: Callable[..., Any], args: tuple[Any, ...], num_axes: int, schedule: Schedule | None
) -> Any:
    """``run(algebra, *args)`` of every lane, as the schedule says."""

    def of_every_lane(args: tuple[Any, ...]) -> tuple[Any, ...]:
        lanes = num_lanes(args)
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (*x.shape[:-1], lanes)), args)

    def work(schedule: Schedule, args: tuple[Any, ...]) -> Any:
        lane_bytes = sum(x.dtype.itemsize * math.prod(x.shape[:-1]) for x in jax.tree.leaves(args))
        size = schedule.block(num_lanes(args), lane_bytes, FIT)
        algebra = algebra_of(schedule)
        return map_blocks(lambda own: run(algebra, *of_every_lane(own)), args, size)

    return with_lanes(lambda args: scheduled(work, args, schedule), args, num_axes)


def _solve(
    num_iters: int,
    refinements: int,
    tol: float,
    algebra: Algebra,
    problem: Problem,
    mu: jax.Array | None,
) -> Solved:
    scaling = fitted(equilibration(problem.P, problem.q, problem.A, problem.G), problem)
    scaled = scale(scaling, problem)
    # A row that is all zero and asks for nothing has no scale: it is kept well clear of its bound.
    idle = (problem.h == 0) & (problem.G == 0).all(1)
    scaled = scaled._replace(h=jnp.where(idle, 1, scaled.h))
    best, last = minimise(algebra, scaled, num_iters=num_iters, refinements=refinements)
    if mu is not None:
        best = centred(algebra, scaled, best, mu[None] * scaling.c, refinements=refinements)
    at = unscale(scaling, best)
    solution = _judged(algebra, problem, at, tol, _proofs(algebra, problem, scaled, last))
    return Solved(solution, jnp.nan_to_num(at.theta()), jnp.nan_to_num(at.give()))


def _largest(*parts: jax.Array) -> jax.Array:
    """Largest magnitude of an entry, (lanes,)."""
    return jnp.stack([jnp.abs(x).max(0, initial=0) for x in parts]).max(0)


def _judged(
    algebra: Algebra, problem: Problem, at: Point, tol: float, proofs: tuple[jax.Array, jax.Array]
) -> QPSolution:
    """A point with its residuals, in the program's own units, and what is proved of those not solved."""
    P, q, A, b, G, h, _ = problem
    miss = residuals(algebra, problem, at)
    Px, Ax, Gx = algebra.times(P, at.x), miss.equality + b, algebra.times(G, at.x)
    primal = _largest(miss.equality, jnp.maximum(Gx - at.t - h, 0))
    dual = _largest(miss.dual)
    linear = (q * at.x).sum(0) + (problem.price * at.t).sum(0)
    bound = (b * at.y).sum(0) + (h * at.z).sum(0)
    half = (at.x * Px).sum(0) / 2
    gap = 2 * half + linear + bound
    small_primal = primal <= tol * (1 + _largest(Ax, b, Gx))
    by_constraints = algebra.transposed_times(A, at.y), algebra.transposed_times(G, at.z)
    small_dual = dual <= tol * (1 + _largest(Px, q, *by_constraints))
    small_dual &= _largest(miss.price / (1 + problem.price)) <= tol
    small_gap = jnp.abs(gap) <= tol * (1 + _largest((half + linear)[None], (half + bound)[None]))
    # They are not finite where data are not, and where a number would be beyond the largest.
    finite = [jnp.isfinite(part).all(0) for part in (at.x, at.y, at.z, jnp.stack([primal, dual, gap]))]
    converged = functools.reduce(jnp.logical_and, finite, small_primal & small_dual & small_gap)
    infeasible, unbounded = (proved & ~converged for proved in proofs)
    x, y, z = map(jnp.nan_to_num, (at.x, at.y, at.z))
    largest = jnp.finfo(gap.dtype).max
    primal, dual, gap = (jnp.nan_to_num(part, nan=largest) for part in (primal, dual, gap))
    return QPSolution(x, y, z, primal, dual, gap, converged, infeasible, unbounded)


def _proofs(algebra: Algebra, problem: Problem, scaled: Problem, last: Point) -> tuple[jax.Array, jax.Array]:
    """Whether the duals prove infeasibility (Farkas), and whether x proves unboundedness, (lanes,) bool.

    Soft inequalities contradict nothing. What has to vanish is compared with what it is made of, too: where
    q or a bound is large beside P or the duals, everything vanishes beside it.
    """
    P, q, A, b, G, h, _ = scaled
    tol = PROOF_TOL[q.dtype.itemsize]
    z = jnp.where(scaled.is_soft, 0, last.z)
    contradiction = -(b * last.y).sum(0) - (h * z).sum(0)
    combined = _largest(algebra.transposed_times(A, last.y) + algebra.transposed_times(G, z))
    infeasible = combined <= tol * jnp.minimum(contradiction, _largest(last.y, z))

    x, Px = last.x, algebra.times(P, last.x)
    fall = -(q * x).sum(0) - (scaled.price * last.t).sum(0)
    against = _largest(algebra.times(A, x), jnp.maximum(algebra.times(G, x) - last.t, 0), Px)
    curvature, own = (jnp.stack([M[i, i] for i in range(len(q))]) for M in (P, problem.P))
    endless = ((curvature > 0) | (own <= 0)).all(0)  # none is lost to the scale of the objective
    endless &= _largest(Px) <= tol * _largest(curvature) * _largest(x)
    # With P = DCD, C of ones on its diagonal, fall^2 <= x'Px q'D^-2 q over the least eigenvalue of C.
    reach = jnp.where(curvature > 0, q * q / jnp.where(curvature > 0, curvature, 1), 0).sum(0)
    endless &= (x * Px).sum(0) * reach <= tol * fall * fall
    return infeasible & (contradiction > 0), (against <= tol * fall) & endless & (fall > 0)


class Perturbed(NamedTuple):
    """A program and its solution as the system of the derivatives knows them."""

    P: jax.Array  # (n, n)
    q: jax.Array  # (n,)
    A: jax.Array  # (p, n)
    G: jax.Array  # (m, n)
    theta: jax.Array  # (m,)
    converged: jax.Array  # () bool


def solve_derivative_lanes(schedule: Schedule | None, at: Perturbed, rhs: kkt.Triple) -> kkt.Triple:
    """Solves the system of the derivatives of every lane, batch trailing; zero where not converged."""
    return _over_lanes(_solve_derivative, (at, rhs), at.q.ndim - 1, schedule)


def _solve_derivative(algebra: Algebra, at: Perturbed, rhs: kkt.Triple) -> kkt.Triple:
    # P alone, where there is one, says how large theta is beside it.
    linear = (at.P == 0).all((0, 1))
    scaling = equilibration(at.P, jnp.where(linear, at.q, 0), at.A, at.G)
    d, e, f, c = scaling
    scaled = scale(scaling, Problem(at.P, at.q, at.A, rhs.y, at.G, rhs.z, None))
    # Beyond this, what an inequality far from binding adds is lost to rounding.
    theta = jnp.minimum(f * (f * at.theta) / c, jnp.finfo(f.dtype).eps ** -2)
    system = kkt.factorise(algebra, scaled.P, scaled.A, scaled.G, theta, refined=True)
    own = kkt.Triple(c * d * rhs.x, e * rhs.y, f * rhs.z)
    x, y, z = kkt.solve_guarded(algebra, system, own, refinements=DERIVATIVE_REFINEMENTS)
    out = kkt.Triple(d * x, e * y / c, f * z / c)
    finite = jnp.stack([jnp.isfinite(part).all(0) for part in out]).all(0)
    return jax.tree.map(lambda part: jnp.where(at.converged & finite, part, 0), out)
