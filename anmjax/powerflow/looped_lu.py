"""The elimination of ``block_lu.py`` as loops over steps: a program of the same size for every network.

The factors stand in place of the matrix: D^-1 for the diagonal blocks, M[a, i] = L[a, i] D^-1 and
W[i, a] = D^-1 U[i, a], so that J = M D W (the diagonals of M and W are ones) and

    J x = r:   y_i = r_i - sum_k M[i, k] y_k,     z = D^-1 y,    x_i = z_i - sum_a W[i, a] x_a,
    J' x = r:  y_i = r_i - sum_k W[k, i]' y_k,    z = D^-T y,    x_i = z_i - sum_a M[a, i]' x_a.

What a step touches fits the caches nearest to a core, and nothing is written but the result: on a CPU quicker
than whole levels unless the network is tiny. A GPU would start a kernel for every few rows.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.powerflow.block_lu import inverse, matmul, matvec, transpose
from anmjax.powerflow.gather import take
from anmjax.powerflow.steps import ROWS, PlanSteps, Steps


def factor(steps: PlanSteps, matrix: jax.Array, diagonal: jax.Array) -> jax.Array:
    """Factorises without pivoting between blocks.

    Args:
      steps: of the plan.
      matrix: (2, 2, n_entry + 1, *batch) the blocks, the last of them zero.
      diagonal: (2, 2, n, *batch) what is still to be added to the diagonal blocks.

    Returns:
      The factors, in the shape of the matrix. A singular pivot leaves non-finite numbers in its own lane
      only.
    """

    def subtract(own: jax.Array, a: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
        for blocks in _by_term((take(a, left, 2), take(a, right, 2)), 2):
            own = own - matmul(*blocks)
        return own

    def invert(own: jax.Array, _: jax.Array, bus: jax.Array) -> jax.Array:
        return inverse(own + take(diagonal, bus, 2))

    def from_right(own: jax.Array, a: jax.Array, pivot: jax.Array) -> jax.Array:
        return matmul(own, take(a, pivot, 2))

    def from_left(own: jax.Array, a: jax.Array, pivot: jax.Array) -> jax.Array:
        return matmul(take(a, pivot, 2), own)

    def level(i: jax.Array, a: jax.Array) -> jax.Array:
        a = _work(steps.updates, i, subtract, a, 2)
        a = _work(steps.pivots, i, invert, a, 2, others=True)
        return _work(steps.lower, i, from_right, a, 2, others=True)

    batch = jnp.broadcast_shapes(matrix.shape[3:], diagonal.shape[3:])
    a = jnp.broadcast_to(matrix, (*matrix.shape[:3], *batch))
    a = jax.lax.fori_loop(0, len(steps.updates.ends) - 1, level, a)
    return _work(steps.upper, 0, from_left, a, 2, others=True)


def solve(steps: PlanSteps, factors: jax.Array, rhs: jax.Array) -> jax.Array:
    """Solves ``J x = rhs``; both (2, n, *batch) in elimination order."""
    y = _substitute(steps.forward, factors, rhs, lambda lower, _: take(factors, lower, 2))
    z = matvec(take(factors, steps.diagonal, 2), y)
    return _substitute(steps.backward, factors, z, lambda _, upper: take(factors, upper, 2))


def solve_transposed(steps: PlanSteps, factors: jax.Array, rhs: jax.Array) -> jax.Array:
    """Solves ``J' x = rhs`` with the factors of J; both (2, n, *batch) in elimination order."""
    y = _substitute(steps.forward, factors, rhs, lambda _, upper: transpose(take(factors, upper, 2)))
    z = matvec(transpose(take(factors, steps.diagonal, 2)), y)
    return _substitute(steps.backward, factors, z, lambda lower, _: transpose(take(factors, lower, 2)))


def _substitute(
    steps: Steps, factors: jax.Array, x: jax.Array, block: Callable[[jax.Array, jax.Array], jax.Array]
) -> jax.Array:
    """Subtracts from every row of ``x`` the chosen block of each of its terms times a finished row."""

    def subtract(
        own: jax.Array, x: jax.Array, lower: jax.Array, upper: jax.Array, bus: jax.Array
    ) -> jax.Array:
        blocks = _by_term((block(lower, upper),), 2)
        for (m,), (rows,) in zip(blocks, _by_term((take(x, bus, 1),), 1), strict=True):
            own = own - matvec(m, rows)
        return own

    batch = jnp.broadcast_shapes(factors.shape[3:], x.shape[2:])
    return _work(steps, 0, subtract, jnp.broadcast_to(x, (*x.shape[:2], *batch)), 1)


def _work(
    steps: Steps,
    level: jax.Array | int,
    rewrite: Callable[..., jax.Array],
    x: jax.Array,
    axis: int,
    others: bool = False,
) -> jax.Array:
    """Works through the steps of a level.

    Args:
      steps: the steps.
      level: whose steps.
      rewrite: gives a step's rows anew, from these rows, the whole buffer and the tables of the terms, each
        (terms * ROWS,): the first term of every row, then the second.
      x: the buffer, rows along ``axis``.
      axis: of the rows.
      others: padding would change rows that are not the step's own.
    """
    if not len(steps.start):
        return x

    def step(i: jax.Array, x: jax.Array) -> jax.Array:
        start = _at(steps.start, i)
        old = jax.lax.dynamic_slice_in_dim(x, start, ROWS, axis)
        own = rewrite(old, x, *(_at(table, i) for table in steps.terms))
        if others:
            kept = _at(steps.own, i).reshape([-1 if j == axis else 1 for j in range(x.ndim)])
            own = jnp.where(kept, own, old)
        return jax.lax.dynamic_update_slice_in_dim(x, own, start, axis)

    return jax.lax.fori_loop(_at(steps.ends, level), _at(steps.ends, level + 1), step, x)


def _by_term(gathered: tuple[jax.Array, ...], axis: int) -> list[tuple[jax.Array, ...]]:
    """Splits what was gathered for the terms of a step, by term."""
    starts = range(0, gathered[0].shape[axis], ROWS)
    return [tuple(jax.lax.slice_in_dim(x, i, i + ROWS, axis=axis) for x in gathered) for i in starts]


def _at(table: np.ndarray, i: jax.Array | int) -> jax.Array:
    return jax.lax.dynamic_index_in_dim(jnp.asarray(table), i, 0, keepdims=False)
