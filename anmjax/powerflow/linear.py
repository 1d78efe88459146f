"""The solver of Newton's linear systems: whole levels at once, or loops over short steps.

Both eliminate in the same order. Written out level by level, the program grows with the number of levels and
every operation sweeps as many buses as there are: right for a GPU, and for a handful of buses. As loops it is
the same small program for every network, and quicker on a CPU unless the network is tiny.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from anmjax.powerflow import block_lu, looped_lu
from anmjax.powerflow.plan import SolverPlan
from anmjax.powerflow.steps import plan_steps

# Networks of more buses are solved by the loop on a CPU.
MAX_BUSES_UNROLLED = 24

Factors = Any  # a pytree of arrays that ends in the batch


class LinearSolver(NamedTuple):
    """Functions of one plan; see ``block_lu.py``."""

    factor: Callable[[jax.Array, jax.Array], Factors]
    solve: Callable[[Factors, jax.Array], jax.Array]
    solve_transposed: Callable[[Factors, jax.Array], jax.Array]


def unrolled(plan: SolverPlan) -> LinearSolver:
    """Whole levels at once."""
    return LinearSolver(
        functools.partial(block_lu.factor, plan.levels),
        functools.partial(block_lu.solve, plan.levels),
        functools.partial(block_lu.solve_transposed, plan.levels),
    )


def looped(plan: SolverPlan) -> LinearSolver:
    """Loops over short steps."""
    steps = plan_steps(plan)
    return LinearSolver(
        functools.partial(looped_lu.factor, steps),
        functools.partial(looped_lu.solve, steps),
        functools.partial(looped_lu.solve_transposed, steps),
    )


def for_cpu(plan: SolverPlan) -> LinearSolver:
    """What is quicker on a CPU."""
    return (unrolled if len(plan.order) <= MAX_BUSES_UNROLLED else looped)(plan)
