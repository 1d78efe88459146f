"""The solver of Newton's linear systems: whole levels at once, or loops.

Written out level by level, the program grows with the number of levels and every operation sweeps as many
buses as there are: right for a GPU, and for a handful of buses. As loops, over short steps or bus by bus
where the network is radial, it is the same small program for every network, and quicker on a CPU unless the
network is tiny.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from anmjax.powerflow import block_lu, looped_lu, tree_lu
from anmjax.powerflow.gather import gather_sum
from anmjax.powerflow.plan import SolverPlan
from anmjax.powerflow.steps import plan_steps

# Networks of more buses are solved by loops on a CPU; measured at 6, 14, 18 and 33 buses.
MAX_BUSES_UNROLLED, MAX_RADIAL_BUSES_UNROLLED = 24, 10

Factors = Any  # a pytree of arrays that ends in the batch


class LinearSolver(NamedTuple):
    """Functions of one plan; right-hand sides and solutions (2, n_bus - 1, *batch) in its numbering."""

    # Of the 2x2 blocks of the edges (2, 2, n_edge, *batch) and on the diagonal (2, 2, n_bus - 1, *batch).
    factor: Callable[[jax.Array, jax.Array], Factors]
    solve: Callable[[Factors, jax.Array], jax.Array]
    solve_transposed: Callable[[Factors, jax.Array], jax.Array]


def unrolled(plan: SolverPlan) -> LinearSolver:
    """Whole levels at once."""

    def factor(edges: jax.Array, diagonal: jax.Array) -> Factors:
        return block_lu.factor(plan.levels, gather_sum(plan.entry_source, edges, 2), diagonal)

    return LinearSolver(
        factor,
        functools.partial(block_lu.solve, plan.levels),
        functools.partial(block_lu.solve_transposed, plan.levels),
    )


def looped(plan: SolverPlan) -> LinearSolver:
    """Loops over short steps."""
    steps = plan_steps(plan)

    def factor(edges: jax.Array, diagonal: jax.Array) -> Factors:
        return looped_lu.factor(steps, gather_sum(plan.entry_source, edges, 2), diagonal)

    return LinearSolver(
        factor,
        functools.partial(looped_lu.solve, steps),
        functools.partial(looped_lu.solve_transposed, steps),
    )


def radial(plan: SolverPlan) -> LinearSolver | None:
    """Bus by bus from the leaves of a radial network, None for a meshed one."""
    tree = tree_lu.plan_tree(plan)
    if tree is None:
        return None
    return LinearSolver(
        functools.partial(tree_lu.factor, tree),
        functools.partial(tree_lu.solve, tree),
        functools.partial(tree_lu.solve_transposed, tree),
    )


def for_cpu(plan: SolverPlan) -> LinearSolver:
    """What is quicker on a CPU."""
    tree = radial(plan)
    most = MAX_RADIAL_BUSES_UNROLLED if tree else MAX_BUSES_UNROLLED
    return unrolled(plan) if len(plan.order) <= most else tree or looped(plan)
