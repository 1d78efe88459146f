"""Convex quadratic programs, batched and differentiable.

    minimise   1/2 x'Px + q'x    subject to   Ax = b,   Gx <= h

Derivatives come from the conditions of optimality by the implicit function theorem, never from the
iteration: with theta = s / z, slack over dual of the inequalities, and dF the change of the conditions by the
data at the solution,

    [ P   A'  G'     ] [dx]
    [ A   0   0      ] [dy] = -dF.
    [ G   0   -theta ] [dz]

Reference: Amos & Kolter, "OptNet: Differentiable Optimization as a Layer in Neural Networks", ICML 2017;
Tracy & Manchester, "On the Differentiability of the Primal-Dual Interior-Point Method", arXiv:2406.11749
(2024), for the smoothing.
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes.empty import made_here
from anmjax.lanes.schedule import Schedule
from anmjax.lanes.trailing import batch_trailing, jvp_of_perturbed
from anmjax.lanes.varying import as_varying, no_tangents, tangents_of
from anmjax.qp import kkt
from anmjax.qp.batch import Perturbed, QPSolution, Solved, solve_derivative_lanes, solve_lanes
from anmjax.qp.homogeneous import Problem

# Steps that find the optimum of 10,200 random programs to 1e-8, see tests/projection/test_qp.py; most need
# half as many.
DEFAULT_NUM_ITERS = 25
# By bytes of a number.
DEFAULT_TOL = {8: 1e-9, 4: 1e-4}
# Bounds of this size and beyond are infinite, as in OSQP.
INFINITE_BOUND = 1e30


def solve_qp(
    P: jax.Array,
    q: jax.Array,
    A: jax.Array | None = None,
    b: jax.Array | None = None,
    G: jax.Array | None = None,
    h: jax.Array | None = None,
    *,
    violation_cost: jax.Array | float | None = None,
    num_iters: int = DEFAULT_NUM_ITERS,
    smoothing: jax.Array | float = 0.0,
    tol: float | None = None,
    refinements: int = 1,
    schedule: Schedule | None = None,
) -> QPSolution:
    """Solves a dense convex quadratic program by a fixed number of interior point steps.

    Minimises 1/2 x'Px + q'x subject to Ax = b and Gx <= h. ``jax.vmap`` solves many at once; no lane disturbs
    another. ``jax.jvp``, ``jax.vjp`` and what is made of them differentiate x, y and z by every argument.

    An infeasible or unbounded program is flagged (``infeasible``, ``unbounded``, and not ``converged``); its
    x is the best point met, and its derivatives are zero. A flag is a proof, to 1e-8 of the terms that cancel
    in it (1e-4 in float32), so a strongly convex objective is never called unbounded. With data that are not
    finite, or an objective beyond the largest number, a program is not ``converged`` either, without another
    flag; nor, as a rule, is one with soft inequalities violated by 1e6 (float32: 1e5) times what x moves.

    Rows, variables and objective are scaled first, so that their scale hardly matters. In float64 objectives
    agree with CLARABEL's to 1e-8 of 1 + their size, as a rule to 1e-12. In float32 those of up to 60
    variables are within 1e-4 of the optimum of the same, rounded, data, as a rule 1e-6; that of nearly
    dependent data may be far from the optimum of the data in float64. Variables are as good as the objective
    tells them apart: one of about 1 beside another of 1e8 (float32: 1e4) or more is lost in its rounding.

    Where an inequality binds with dual zero, x has a kink and no derivative: what is returned lies between
    those of both sides. Where x is not unique (linear programs with an optimal face) there is none either,
    and what is returned is finite but says nothing. ``smoothing`` helps in both: derivatives are then those
    of the point at which every slack times its dual is ``smoothing``, so that inequalities are felt before
    they bind; x itself stays exact. Second derivatives are those with theta held fixed: right without
    smoothing, away from kinks.

    Args:
      P: (n, n) positive semidefinite; its symmetric part is used.
      q: (n,).
      A: (p, n), or None: no equalities. Rows may depend on each other.
      b: (p,).
      G: (m, n), or None: no inequalities.
      h: (m,). Bounds may be far from binding. An inequality with a bound of 1e30 or more is left out, as in
        OSQP, and has no derivatives; one of -1e30 or less makes the program infeasible.
      violation_cost: () or (m,), positive, cost of a unit of violation where inequalities are soft: the
        objective gains the sum of cost max(0, Gx - h). Infinite where an inequality is hard. None: all are
        hard.
      num_iters: steps. One more digit takes half a step or less; hard programs need the default.
      smoothing: () product of slack and dual at which derivatives are taken, in units of the objective.
      tol: residuals and gap, relative to the terms they are made of, up to which ``converged`` holds;
        None: 1e-9 in float64, 1e-4 in float32.
      refinements: of the linear systems of a step. None makes a step a third cheaper, and is enough for
        small programs whose numbers are all of about one.
      schedule: how a batch is worked through, see ``anmjax.lanes.schedule``; None: in blocks on a CPU, all
        at once elsewhere. No solution depends on it.

    Returns:
      The solution.

    Raises:
      ValueError: an argument has the wrong shape or kind of number (float16, bfloat16 and complex numbers
        are refused), or ``num_iters``, ``refinements``, ``smoothing`` or ``tol`` is negative.
    """
    given = {"P": P, "q": q, "A": A, "b": b, "G": G, "h": h, "violation_cost": violation_cost}
    dtype = _floating_type({**given, "smoothing": smoothing})
    n = jnp.shape(q)[0] if jnp.ndim(q) == 1 else -1
    if n < 1:
        raise ValueError(f"q has shape {jnp.shape(q)}, expected (n,) with n > 0")
    A, b = _constraints("A", A, "b", b, n, dtype)
    G, h = _constraints("G", G, "h", h, n, dtype)
    _expect("P", P, (n, n))
    w = None
    if violation_cost is not None:
        if jnp.ndim(violation_cost):
            _expect("violation_cost", violation_cost, h.shape)
        w = jnp.broadcast_to(jnp.asarray(violation_cost, dtype), h.shape)
    _expect("smoothing", smoothing, ())
    tol = DEFAULT_TOL[dtype.itemsize] if tol is None else tol
    options = {"num_iters": num_iters, "refinements": refinements, "tol": tol}
    if isinstance(smoothing, numbers.Real):
        options["smoothing"] = smoothing
    for name, x in options.items():
        if not isinstance(x, numbers.Real) or not x >= 0:
            raise ValueError(f"{name} is {x!r}, expected a number, not negative")
    for name in ("num_iters", "refinements"):
        if not isinstance(options[name], numbers.Integral):
            raise ValueError(f"{name} is {options[name]!r}, expected a whole number")

    # What is left out, and a contradiction of its own, soft or not. Bounds that are no numbers stay.
    none, hopeless = h >= INFINITE_BOUND, h <= -INFINITE_BOUND
    G = jnp.where((none | hopeless)[:, None], 0, G)
    h = jnp.where(none, 0, jnp.where(hopeless, -1, h))
    w = None if w is None else jnp.where(hopeless, jnp.inf, w)
    P, q = jnp.asarray(P, dtype), jnp.asarray(q, dtype)
    smooth = None if options.get("smoothing") == 0 else jnp.asarray(smoothing, dtype)
    solve = _differentiable(int(num_iters), int(refinements), float(tol), schedule)
    solution = solve(made_here(Problem((P + P.T) / 2, q, A, b, G, h, w)), smooth).solution
    return replace(solution, z=jnp.where(none, 0, solution.z))


def _floating_type(given: dict[str, Any]) -> Any:
    """The widest type of the arguments; whole numbers and Python's own have none to ask for."""
    floats = []
    for name, x in given.items():
        for leaf in jax.tree.leaves(x):
            own = np.dtype(getattr(leaf, "dtype", type(leaf)))
            if own in (np.float32, np.float64):
                floats += [x] if isinstance(x, (jax.Array, np.ndarray)) and name != "smoothing" else []
            elif not any(jnp.issubdtype(own, kind) for kind in (jnp.integer, jnp.bool_)):
                raise ValueError(f"{name} has dtype {own}, expected float32, float64 or whole numbers")
    return jnp.result_type(float, *floats)


def _expect(name: str, x: Any, shape: tuple[int, ...]) -> None:
    if jnp.shape(x) != shape:
        raise ValueError(f"{name} has shape {jnp.shape(x)}, expected {shape}")


def _constraints(
    matrix: str, M: jax.Array | None, bound: str, v: jax.Array | None, n: int, dtype: Any
) -> tuple[jax.Array, jax.Array]:
    """Both as arrays, without rows where there are none."""
    if (M is None) != (v is None):
        raise ValueError(f"{matrix} and {bound} go together: give both or neither")
    if M is None or v is None:
        return jnp.zeros((0, n), dtype), jnp.zeros(0, dtype)
    if jnp.ndim(M) != 2 or jnp.shape(M)[1] != n:
        raise ValueError(f"{matrix} has shape {jnp.shape(M)}, expected (rows, {n}): a column per variable")
    _expect(bound, v, jnp.shape(M)[:1])
    return jnp.asarray(M, dtype), jnp.asarray(v, dtype)


@functools.lru_cache(maxsize=256)
def _differentiable(
    num_iters: int, refinements: int, tol: float, schedule: Schedule | None
) -> Callable[[Problem, jax.Array | None], Solved]:
    lane = batch_trailing(functools.partial(solve_lanes, num_iters, refinements, tol, schedule), schedule)
    lane_derivative = batch_trailing(functools.partial(solve_derivative_lanes, schedule), schedule)

    @jax.custom_jvp
    def solve(problem: Problem, smoothing: jax.Array | None) -> Solved:
        # An array without an entry varies as its neighbours do: its derivative does.
        return as_varying(lane(problem, None), problem)

    def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Solved, Solved]:
        problem, smoothing = primals
        out = solve(problem, smoothing)
        at = out if smoothing is None else lane(problem, smoothing)
        x, y, z = at.solution.x, at.solution.y, at.solution.z
        theta, give, converged = jax.lax.stop_gradient((at.theta, at.give, out.solution.converged))

        def conditions(problem: Problem) -> kkt.Triple:
            P, q, A, b, G, h, _ = problem
            return kkt.Triple(P @ x + q + y @ A + z @ G, A @ x - b, G @ x - h + give * problem.price)

        # What the functions of custom_linear_solve close over has to vary as the solution does.
        P, A, G = as_varying((problem.P, problem.A, problem.G), out)

        def matvec(d: kkt.Triple) -> kkt.Triple:
            return kkt.Triple(P @ d.x + d.y @ A + d.z @ G, A @ d.x, G @ d.x - theta * d.z)

        def inverse(_: Callable, rhs: kkt.Triple) -> kkt.Triple:
            matrices = jax.lax.stop_gradient((problem.P, problem.q, problem.A, problem.G))
            return lane_derivative(Perturbed(*matrices, theta, converged), rhs)

        _, change = jvp_of_perturbed(conditions, (problem,), tangents[:1])
        # Every part has to be a function of the tangents for custom_linear_solve to be transposed.
        any_change = sum(part.sum() for part in change)
        rhs = jax.tree.map(lambda part: -jnp.where(False, any_change, part), change)
        dx, dy, dz = jax.lax.custom_linear_solve(matvec, rhs, solve=inverse, symmetric=True)
        none = no_tangents(out)
        return out, tangents_of(out, none._replace(solution=replace(none.solution, x=dx, y=dy, z=dz)))

    solve.defjvp(rule, symbolic_zeros=True)
    return solve
