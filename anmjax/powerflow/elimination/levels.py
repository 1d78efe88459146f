"""Sparse LU of matrices made of 2x2 blocks, over whole batches.

Vectors are laid out ``[2, component, *batch]`` and matrices ``[2, 2, entry, *batch]`` (row and column
within the block first, then the entries in the plan's order): the batch trails, so every operation is a
long contiguous sweep over the lanes, and a level takes a few operations whatever its width. With the
pivot block D of bus i and the blocks U = J[i, a] and L = J[a, i] of its later neighbours a:

    J[x, y] <- J[x, y] - sum_k L[x, k] W[k, y]   over the pivots k of earlier levels,
    W[i, a]  = D^-1 U[i, a].

Every level appends its products to a buffer, from which later levels gather, once, what concerns their
own blocks: nothing is written twice. Substitution goes the same way,
``y_i = D^-1 (r_i - sum_k L[i, k] y_k)``, and back, ``x_i = y_i - sum_a W[i, a] x_a``. The transposed
system uses the same factors: ``c_i = r_i - sum_k W[k, i]' c_k``, ``z_i = D^-T (c_i - sum_a L[a, i]' z_a)``.

Reference: Duff, Erisman & Reid, *Direct Methods for Sparse Matrices* (2nd ed., 2017), ch. 12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from anmjax.lanes.gather import GatherSum, gather_sum, part, place, take
from anmjax.lanes.two_by_two import inverse, matmul, matvec, transpose
from anmjax.powerflow.elimination.plan import Level


class LevelFactors(NamedTuple):
    """What one level leaves behind for the solves."""

    inverse: jax.Array  # (2, 2, num_pivots, *batch) D^-1
    upper: jax.Array  # (2, 2, num_slots, *batch) W = D^-1 U
    lower: jax.Array  # (2, 2, num_slots, *batch) L


def factor(levels: tuple[Level, ...], matrix: jax.Array, diagonal: jax.Array) -> tuple[LevelFactors, ...]:
    """Factorises level by level, without pivoting between blocks.

    Args:
      levels: the plan's levels.
      matrix: (2, 2, n_entry + 1, *batch) the blocks; the last is not read.
      diagonal: (2, 2, n, *batch) what is still to be added to the diagonal blocks.

    Returns:
      The factors of each level. A singular pivot leaves non-finite numbers in its own lane only.
    """
    if not levels:
        return ()  # every voltage is given
    batch = jnp.broadcast_shapes(matrix.shape[3:], diagonal.shape[3:])
    some = jnp.broadcast_to(diagonal[:, :, :1], (2, 2, 1, *batch))
    products = _buffer(some, sum(len(level.left) for level in levels), 2)
    filled = 0
    factors = []
    for level in levels:
        p, q = level.pivots.stop - level.pivots.start, len(level.pivot_of_slot)
        own = _subtract(_rows(matrix, level.entries, 2), products, level.updates, 2)
        d_inverse = inverse(_rows(own, slice(0, p), 2) + _rows(diagonal, level.pivots, 2))
        upper = matmul(take(d_inverse, level.pivot_of_slot, 2), _rows(own, slice(p, p + q), 2))
        lower = _rows(own, slice(p + q, p + 2 * q), 2)
        factors.append(LevelFactors(d_inverse, upper, lower))
        if len(level.left):
            first, second = (
                take(part(lower, k, 1), level.left, 2) * take(part(upper, k, 0), level.right, 2)
                for k in (0, 1)
            )
            products = place(products, first + second, 0, 0, filled)
            filled += len(level.left)
    return tuple(factors)


def solve(levels: tuple[Level, ...], factors: tuple[LevelFactors, ...], rhs: jax.Array) -> jax.Array:
    """Solves ``J x = rhs``; both (2, n, *batch) in elimination order."""

    def forward(level: Level, f: LevelFactors, r: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = matvec(f.inverse, r)
        return y, matvec(f.lower, take(y, level.pivot_of_slot, 1))

    def backward(level: Level, f: LevelFactors, y: jax.Array, targets: jax.Array) -> jax.Array:
        return _subtract(y, matvec(f.upper, targets), level.backward, 1)

    return _substitute(levels, factors, rhs, forward, backward)


def solve_transposed(
    levels: tuple[Level, ...], factors: tuple[LevelFactors, ...], rhs: jax.Array
) -> jax.Array:
    """Solves ``J' z = rhs`` with the factors of J; both (2, n, *batch) in elimination order."""

    def forward(level: Level, f: LevelFactors, c: jax.Array) -> tuple[jax.Array, jax.Array]:
        return c, matvec(transpose(f.upper), take(c, level.pivot_of_slot, 1))

    def backward(level: Level, f: LevelFactors, c: jax.Array, targets: jax.Array) -> jax.Array:
        c = _subtract(c, matvec(transpose(f.lower), targets), level.backward, 1)
        return matvec(transpose(f.inverse), c)

    return _substitute(levels, factors, rhs, forward, backward)


def _substitute(
    levels: tuple[Level, ...],
    factors: tuple[LevelFactors, ...],
    rhs: jax.Array,
    forward: Callable[[Level, LevelFactors, jax.Array], tuple[jax.Array, jax.Array]],
    backward: Callable[[Level, LevelFactors, jax.Array, jax.Array], jax.Array],
) -> jax.Array:
    """Forward and back substitution: every level gives its half solutions and what its slots pass on."""
    if not levels:
        return rhs
    batch = jnp.broadcast_shapes(factors[0].inverse.shape[3:], rhs.shape[2:])
    x = jnp.broadcast_to(rhs, (*rhs.shape[:2], *batch))
    passed = _buffer(x, sum(len(level.target_of_slot) for level in levels), 1)
    halves = []
    for level, f in zip(levels, factors, strict=True):
        half, on = forward(level, f, _subtract(_rows(x, level.pivots, 1), passed, level.forward, 1))
        halves.append(half)
        if len(level.target_of_slot):
            passed = place(passed, on, 0, level.slots.start)
    # In place of the right-hand side: every component is written before it is read.
    for level, f, half in zip(reversed(levels), reversed(factors), reversed(halves), strict=True):
        half = backward(level, f, half, take(x, level.target_of_slot, 1))
        x = place(x, half, 0, level.pivots.start)
    return x


def _buffer(x: jax.Array, size: int, axis: int) -> jax.Array:
    """Room for ``size`` components like those of ``x``; holds any numbers, not zeros.

    XLA turns writing into zeros into padding, and evaluates the padding for every element it gathers.
    """
    some = x[(*[slice(1)] * (axis + 1),)]
    return jnp.broadcast_to(some, (*x.shape[:axis], size, *x.shape[axis + 1 :]))


def _rows(x: jax.Array, rows: slice, axis: int) -> jax.Array:
    return jax.lax.slice_in_dim(x, rows.start, rows.stop, axis=axis)


def _subtract(x: jax.Array, update: jax.Array, plan: GatherSum | None, axis: int) -> jax.Array:
    """``x - gather_sum(plan, update)`` along ``axis``; a plan of None changes nothing."""
    return x if plan is None else x - gather_sum(plan, update, axis)
