"""Sparse LU of matrices made of 2x2 blocks, over whole batches.

Vectors are laid out ``[2, component, *batch]`` and matrices ``[2, 2, component, *batch]`` (row and
column within the block first): the batch trails, so every operation is a long contiguous sweep over
the lanes, and a level takes a few operations whatever its width. With pivot block D and, for each of
its slots e = (i, a), the blocks U = J[i, a] and L = J[a, i], eliminating a level does

    W = D^-1 U,    J[a, b] -= L[i, a] W[i, b],    r_a -= L D^-1 r_i,

and substituting back ``x_i = D^-1 r_i - sum_a W x_a``. The transposed system uses the same factors:
``c_a -= W' c_i`` going up, ``z_i = D^-T (c_i - sum_a L' z_a)`` coming back.

Reference: Duff, Erisman & Reid, *Direct Methods for Sparse Matrices* (2nd ed., 2017), ch. 12.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.powerflow.gather import gather_sum, take
from anmjax.powerflow.plan import GatherSum, Level


class Blocks(NamedTuple):
    """A sparse matrix of 2x2 blocks, in elimination order."""

    diagonal: jax.Array  # (2, 2, n_pq, *batch) J[i, i]
    upper: jax.Array  # (2, 2, n_slot, *batch) J[i, a] of each slot
    lower: jax.Array  # (2, 2, n_slot, *batch) J[a, i] of each slot


class LevelFactors(NamedTuple):
    """What one level leaves behind for the solves."""

    inverse: jax.Array  # (2, 2, num_pivots, *batch) D^-1
    upper: jax.Array  # (2, 2, num_slots, *batch) W = D^-1 U
    lower: jax.Array  # (2, 2, num_slots, *batch) L


def factor(levels: tuple[Level, ...], matrix: Blocks) -> tuple[LevelFactors, ...]:
    """Factorises level by level, without pivoting between blocks.

    Args:
      levels: the plan's levels.
      matrix: the blocks.

    Returns:
      The factors of each level. A singular pivot leaves non-finite numbers in its own lane only.
    """
    diagonal, upper, lower = matrix
    factors = []
    for level in levels:
        inverse = _inverse(diagonal[:, :, : level.num_pivots])
        pivot_upper, pivot_lower = upper[:, :, : level.num_slots], lower[:, :, : level.num_slots]
        w = _matmul(take(inverse, level.pivot_of_slot, 2), pivot_upper)
        factors.append(LevelFactors(inverse, w, pivot_lower))

        product = _matmul(take(pivot_lower, level.left, 2), take(w, level.right, 2))
        diagonal = _subtract(diagonal[:, :, level.num_pivots :], product, level.to_diagonal, 2)
        upper = _subtract(upper[:, :, level.num_slots :], product, level.to_upper, 2)
        lower = _subtract(lower[:, :, level.num_slots :], product, level.to_lower, 2)
    return tuple(factors)


def solve(levels: tuple[Level, ...], factors: tuple[LevelFactors, ...], rhs: jax.Array) -> jax.Array:
    """Solves ``J x = rhs``; both (2, n_pq, *batch) in elimination order."""
    halves = []
    for level, f in zip(levels, factors, strict=True):
        y = _matvec(f.inverse, rhs[:, : level.num_pivots])
        halves.append(y)
        update = _matvec(f.lower, take(y, level.pivot_of_slot, 1))
        rhs = _subtract(rhs[:, level.num_pivots :], update, level.slots_to_bus, 1)
    x = rhs
    for level, f, y in zip(reversed(levels), reversed(factors), reversed(halves), strict=True):
        update = _matvec(f.upper, take(x, level.target_of_slot, 1))
        x = jnp.concatenate([_subtract(y, update, level.slots_to_pivot, 1), x], axis=1)
    return x


def solve_transposed(
    levels: tuple[Level, ...], factors: tuple[LevelFactors, ...], rhs: jax.Array
) -> jax.Array:
    """Solves ``J' z = rhs`` with the factors of J; both (2, n_pq, *batch) in elimination order."""
    halves = []
    for level, f in zip(levels, factors, strict=True):
        c = rhs[:, : level.num_pivots]
        halves.append(c)
        update = _matvec(_transpose(f.upper), take(c, level.pivot_of_slot, 1))
        rhs = _subtract(rhs[:, level.num_pivots :], update, level.slots_to_bus, 1)
    z = rhs
    for level, f, c in zip(reversed(levels), reversed(factors), reversed(halves), strict=True):
        update = _matvec(_transpose(f.lower), take(z, level.target_of_slot, 1))
        z_pivots = _matvec(_transpose(f.inverse), _subtract(c, update, level.slots_to_pivot, 1))
        z = jnp.concatenate([z_pivots, z], axis=1)
    return z


def _subtract(x: jax.Array, update: jax.Array, plan: GatherSum | None, axis: int) -> jax.Array:
    """``x - gather_sum(plan, update)`` along ``axis``; a plan of None or an empty update changes nothing."""
    if plan is None or not update.shape[axis] or not x.shape[axis]:
        return x
    return x - gather_sum(plan, update, axis)


def _inverse(m: jax.Array) -> jax.Array:
    sign = np.array([[1, -1], [-1, 1]], m.dtype).reshape(2, 2, *[1] * (m.ndim - 2))
    determinant = m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]
    return jnp.flip(_transpose(m), (0, 1)) * (sign * (1 / determinant)[None, None])


def _transpose(m: jax.Array) -> jax.Array:
    return jnp.swapaxes(m, 0, 1)


def _matvec(m: jax.Array, x: jax.Array) -> jax.Array:
    return m[:, 0] * x[None, 0] + m[:, 1] * x[None, 1]


def _matmul(m: jax.Array, n: jax.Array) -> jax.Array:
    return m[:, 0, None] * n[None, 0] + m[:, 1, None] * n[None, 1]
