"""Quadratic programs in stages, coupled by nothing but running sums: planning with storage.

    minimise    sum_i  1/2 x_i'P_i x_i + q_i'x_i + w_i'max(0, G_i x_i - h_i)      (rows of finite w)
    subject to  G_i x_i <= h_i  (rows of infinite w),     low_i <= S_i <= high_i,   S_i = x*_1 + .. + x*_i

with x* the last few variables of a stage. The interior point steps are those of ``solve_qp``, with the linear
algebra of ``stage_algebra``: time and memory grow linearly with the number of stages.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from anmjax.lanes.blocks import map_blocks, num_lanes
from anmjax.lanes.schedule import CPUBlocks, Fit, Schedule, scheduled, with_lanes
from anmjax.lanes.trailing import batch_trailing
from anmjax.qp.homogeneous import Problem, error, residuals
from anmjax.qp.interior_point import minimise
from anmjax.qp.stage_algebra import Blocks, Rows, Shape, algebra_of

# Inequalities of a block of lanes, counted in float64, beside a core's L2 cache; lanes of a block at least.
FIT = Fit(share=0.64, min_lanes=8)


@struct.dataclass
class StagedProgram:
    """A program of N stages with n variables each, of which the last c are summed over the stages.

    P and G may have one stage that all share. Should be scaled so that numbers are about one: unlike
    ``solve_qp`` this solver does not equilibrate.
    """

    P: jax.Array | None  # (n, n, N or 1) positive semidefinite; None: a linear program
    q: jax.Array  # (n, N)
    G: jax.Array  # (m, n, N or 1)
    h: jax.Array  # (m, N)
    w: jax.Array  # (m, N) cost of a unit of violation, infinite where an inequality is hard
    high: jax.Array  # (c, N) largest running sum
    low: jax.Array  # (c, N) smallest
    free: jax.Array  # (n, N) bool, False: the variable is 0, and its bounds do not matter


@struct.dataclass
class StagedSolution:
    """Solution of a program in stages; every number is finite, solution or not."""

    x: jax.Array  # (n, N)
    objective: jax.Array  # ()
    error: jax.Array  # () largest residual of the conditions of optimality, and product of slack and dual
    converged: jax.Array  # () bool, that error within the tolerance


def solve_staged(
    program: StagedProgram,
    *,
    num_iters: int,
    refinements: int = 1,
    tol: float | None = None,
    schedule: Schedule | None = None,
) -> StagedSolution:
    """Solves a program in stages by a fixed number of interior point steps.

    ``jax.vmap`` solves many at once; matrices that all share stay shared. No derivatives.

    Args:
      program: the program.
      num_iters: steps.
      refinements: of the linear systems of a step.
      tol: error up to which ``converged`` holds; None: 1e-6 in float64, 1e-4 in float32.
      schedule: how a batch is worked through; None: as the platform wants it.
    """
    tol = (1e-6 if program.q.dtype.itemsize == 8 else 1e-4) if tol is None else tol
    return _batched(int(num_iters), int(refinements), float(tol), schedule)(program)


@functools.lru_cache(maxsize=64)
def _batched(num_iters: int, refinements: int, tol: float, schedule: Schedule | None) -> Any:
    run = functools.partial(_solve, num_iters, refinements, tol)

    def work(schedule: Schedule, program: StagedProgram) -> StagedSolution:
        lane_bytes = 8 * program.h.shape[0] * program.h.shape[1]
        size = schedule.block(num_lanes(program), lane_bytes, FIT)
        return map_blocks(functools.partial(run, isinstance(schedule, CPUBlocks)), program, size)

    def lanes(program: StagedProgram) -> StagedSolution:
        return with_lanes(lambda program: scheduled(work, program, schedule), program, program.q.ndim - 2)

    return batch_trailing(lanes, schedule)


def _solve(num_iters: int, refinements: int, tol: float, in_loops: bool, program: StagedProgram) -> Any:
    lanes, dtype = num_lanes(program), program.q.dtype
    n, stages = program.q.shape[:2]

    def rows(*parts: jax.Array) -> jax.Array:
        """One row after the other, and the stages of each."""
        full = [jnp.broadcast_to(x, (len(x), stages, lanes)).reshape(-1, lanes) for x in parts]
        return jnp.concatenate(full)

    sums = len(program.high)
    hard = jnp.full((2 * sums, 1, 1), jnp.inf, dtype)
    shape = Shape(n, stages, sums, in_loops)
    free = jnp.broadcast_to(program.free, (n, stages, lanes)).astype(dtype)
    alone = _only_of(program.G, free) & jnp.isinf(program.w)
    problem = Problem(
        P=Blocks(program.P, free),
        q=rows(program.q * free),
        A=jnp.zeros((0, lanes), dtype),
        b=jnp.zeros((0, lanes), dtype),
        G=Rows(program.G, free),
        h=rows(jnp.where(alone, 1, program.h), program.high, -program.low),
        w=rows(program.w, hard),
    )
    algebra = algebra_of(shape)
    best, _ = minimise(algebra, problem, num_iters=num_iters, refinements=refinements)
    miss = residuals(algebra, problem, best)
    left = error(algebra, best, miss)[0]
    excess = jnp.maximum(algebra.times(problem.G, best.x) - problem.h, 0)
    half = (best.x * algebra.times(problem.P, best.x)).sum(0) / 2
    objective = half + (problem.q * best.x).sum(0) + (problem.price * excess).sum(0)
    return StagedSolution(best.x.reshape(n, stages, lanes), objective, left, left <= tol)


def _only_of(G: jax.Array, free: jax.Array) -> jax.Array:
    """(m, N, lanes) bool, whether every variable of a row is fixed at zero."""
    involved = (G != 0).astype(free.dtype)
    return (involved * free[None]).sum(1) == 0
