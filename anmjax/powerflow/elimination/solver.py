"""The solver of Newton's linear systems: whole levels at once, or loops.

Written out level by level, the program grows with the number of levels and every operation sweeps as many
buses as there are: right for a GPU. As loops, block by block, it is the same small program for every network,
and quicker on a CPU.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from anmjax.lanes.gather import gather_sum
from anmjax.lanes.schedule import CPUBlocks, Schedule
from anmjax.powerflow.elimination import levels, loops
from anmjax.powerflow.elimination.plan import SolverPlan

Factors = Any  # a pytree of arrays that ends in the batch


class LinearSolver(NamedTuple):
    """Functions of one plan; right-hand sides and solutions (2, n_unknown, *batch) in its numbering."""

    # Of the 2x2 blocks of the edges (2, 2, n_edge, *batch) and on the diagonal (2, 2, n_unknown, *batch).
    factor: Callable[[jax.Array, jax.Array], Factors]
    solve: Callable[[Factors, jax.Array], jax.Array]
    solve_transposed: Callable[[Factors, jax.Array], jax.Array]


def linear_solver(plan: SolverPlan, schedule: Schedule) -> LinearSolver:
    """What suits the schedule."""
    return _looped(plan) if isinstance(schedule, CPUBlocks) else _whole_levels(plan)


def _whole_levels(plan: SolverPlan) -> LinearSolver:
    """Whole levels at once."""

    def factor(edges: jax.Array, diagonal: jax.Array) -> Factors:
        return levels.factor(plan.levels, gather_sum(plan.entry_source, edges, 2), diagonal)

    return LinearSolver(
        factor,
        functools.partial(levels.solve, plan.levels),
        functools.partial(levels.solve_transposed, plan.levels),
    )


def _looped(plan: SolverPlan) -> LinearSolver:
    """Block by block."""
    own = loops.plan_loops(plan)
    return LinearSolver(
        functools.partial(loops.factor, own),
        functools.partial(loops.solve, own),
        functools.partial(loops.solve_transposed, own),
    )
