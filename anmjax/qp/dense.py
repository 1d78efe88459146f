"""Dense matrices of many lanes at once, ``[row, column, *batch]``: products and the LDL' factorisation.

A symmetric matrix of rows with known signs of their pivots, positive ones first,

    [[H, A'], [A, -E]],  H and E positive definite,

has a factorisation LDL' for every order of its rows, so that no pivoting is needed (it is *quasidefinite*).

``loops`` goes element by element, each a sweep over the lanes, and is one kernel on a CPU; ``whole`` leaves
the factorisation to the batched LU of ``jax.scipy``, as GPUs want it.

Reference: Vanderbei, "Symmetric quasidefinite matrices", SIAM J. Optim. 5 (1995).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import dynamic_slice_in_dim, dynamic_update_slice_in_dim, fori_loop
from jax.scipy.linalg import lu_factor, lu_solve

from anmjax.lanes.kernels import one_kernel
from anmjax.lanes.schedule import CPUBlocks, Schedule
from anmjax.lanes.varying import as_varying


class Algebra(NamedTuple):
    """What is done with the matrices of a block of lanes."""

    total: Callable[..., jax.Array]  # f, (m,), .. -> (1,): sum of f over the rows, f element by element
    largest: Callable[..., jax.Array]  # f, (m,), .. -> (1,): largest f of a row, or 0
    times: Callable[[jax.Array, jax.Array], jax.Array]  # (m, n), (n,) -> (m,): M x
    transposed_times: Callable[[jax.Array, jax.Array], jax.Array]  # (m, n), (m,) -> (n,): M' x
    # P, A, G, weight (m,), rho, share: factors of [[P + A'A + G' diag(weight) G + rho I, A'], [A, -rho I]],
    # rho of the first block at least so great a share of its largest entry
    factor: Callable[..., Any]
    solve: Callable[[Any, jax.Array], jax.Array]  # factors, (n + p,) -> (n + p,)


def _element(x: jax.Array, i: Any, j: Any) -> jax.Array:
    return jax.lax.dynamic_slice(x, (i, j, 0), (1, 1, x.shape[2]))


def _row(x: jax.Array, i: Any) -> jax.Array:
    return jax.lax.dynamic_slice(x, (i, 0), (1, x.shape[1]))


def _set_row(x: jax.Array, i: Any, value: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice(x, value, (i, 0))


def _loop_over_rows(
    combine: Callable[[jax.Array, jax.Array], jax.Array], fn: Callable[..., jax.Array], *rows: jax.Array
) -> jax.Array:
    out = as_varying(jnp.zeros((1, rows[0].shape[-1]), rows[0].dtype), rows)

    def run(rows: tuple[jax.Array, ...], out: jax.Array) -> jax.Array:
        def row(i: Any, out: jax.Array) -> jax.Array:
            return combine(out, fn(*(_row(x, i) for x in rows)))

        return fori_loop(0, len(rows[0]), row, out)

    return one_kernel(run)(rows, out) if len(rows[0]) else out


def _loop_weighted_sum(axis: int, m: jax.Array, x: jax.Array) -> jax.Array:
    """Sum of the rows, or columns, of a matrix, each times an entry of x."""
    out = as_varying(jnp.zeros((m.shape[1 - axis], m.shape[2]), m.dtype), (m, x))

    def run(m: jax.Array, x: jax.Array, out: jax.Array) -> jax.Array:
        def entry(i: Any, out: jax.Array) -> jax.Array:
            own = dynamic_slice_in_dim(m, i, 1, axis)
            return out + own.reshape(out.shape) * _row(x, i)

        return fori_loop(0, len(x), entry, out)

    return one_kernel(run)(m, x, out) if m.size else out


def _factor(
    add_gram: Callable[..., jax.Array],
    factor: Callable[[jax.Array], Any],
    P: jax.Array,
    A: jax.Array,
    G: jax.Array,
    weight: jax.Array,
    rho: float,
    share: float,
) -> Any:
    p, lanes = A.shape[0], weight.shape[-1]
    # A'A, which the lower rows let one add, makes the upper block definite where A alone holds x.
    H = add_gram(P, A, jnp.ones((p, lanes), P.dtype))
    H = regularised(add_gram(H, G, weight), rho, share)
    if p:
        corner = jnp.broadcast_to(-rho * jnp.eye(p, dtype=P.dtype)[..., None], (p, p, lanes))
        upper, lower = jnp.concatenate([H, jnp.swapaxes(A, 0, 1)], 1), jnp.concatenate([A, corner], 1)
        H = jnp.concatenate([upper, lower])
    return factor(H)


def regularised(H: jax.Array, rho: float, share: float) -> jax.Array:
    """``H`` (n, n), rho I added, or so great a share of its largest diagonal entry."""
    columns = np.arange(len(H))
    largest = H[columns, columns].max(0)[None, None]
    return H + jnp.maximum(rho, share * largest) * jnp.eye(len(H), dtype=H.dtype)[..., None]


def loop_add_gram(h: jax.Array, m: jax.Array, w: jax.Array) -> jax.Array:
    """H + M' diag(w) M, of (n, n), (m, n) and (m,)."""
    rows, columns, lanes = m.shape

    def run(h: jax.Array, m: jax.Array, w: jax.Array) -> jax.Array:
        def row(i: Any, h: jax.Array) -> jax.Array:
            own = dynamic_slice_in_dim(m, i, 1, 0)
            return h + (own * _row(w, i)[None]).reshape(columns, 1, lanes) * own

        return fori_loop(0, rows, row, h)

    return one_kernel(run)(h, m, w) if rows else h


def loop_factor(k: jax.Array) -> jax.Array:
    """L below the diagonal and 1 / D on it.

    Works on whole rows, of which only what is right of the diagonal is read: one half has to do, as rounding
    makes the other differ. Long sweeps cost less than the short loops that would spare it.
    """
    size = len(k)
    columns = np.arange(size)
    right = jnp.asarray(columns[:, None] < columns, k.dtype)[..., None]

    def run(k: jax.Array, right: jax.Array) -> jax.Array:
        def pivot(j: Any, k: jax.Array) -> jax.Array:
            own = dynamic_slice_in_dim(k, j, 1, 0) * dynamic_slice_in_dim(right, j, 1, 0)
            inverse = 1 / _element(k, j, j)

            def row(i: Any, k: jax.Array) -> jax.Array:
                change = dynamic_slice_in_dim(own, i, 1, 1) * inverse * own
                return dynamic_update_slice_in_dim(k, dynamic_slice_in_dim(k, i, 1, 0) - change, i, 0)

            return fori_loop(j + 1, size, row, k)

        return fori_loop(0, size, pivot, k)

    k = jnp.swapaxes(one_kernel(run)(k, right), 0, 1)
    inverse = 1 / k[columns, columns][None]
    return jnp.where(np.eye(size, dtype=bool)[..., None], inverse, k * inverse)


def loop_solve(factors: jax.Array, rhs: jax.Array) -> jax.Array:
    """Solves with the factors of ``loop_factor``, (k,) -> (k,)."""
    size = len(factors)

    def run(factors: jax.Array, x: jax.Array) -> jax.Array:
        def forward(i: Any, x: jax.Array) -> jax.Array:
            def entry(j: Any, own: jax.Array) -> jax.Array:
                return own - _element(factors, i, j)[0] * _row(x, j)

            return _set_row(x, i, fori_loop(0, i, entry, _row(x, i)))

        def back(r: Any, x: jax.Array) -> jax.Array:
            i = size - 1 - r

            def entry(j: Any, own: jax.Array) -> jax.Array:
                return own - _element(factors, j, i)[0] * _row(x, j)

            own = _row(x, i) * _element(factors, i, i)[0]
            return _set_row(x, i, fori_loop(i + 1, size, entry, own))

        return fori_loop(0, size, back, fori_loop(0, size, forward, x))

    return one_kernel(run)(factors, rhs)


loops = Algebra(
    total=functools.partial(_loop_over_rows, jnp.add),
    largest=functools.partial(_loop_over_rows, jnp.maximum),
    times=functools.partial(_loop_weighted_sum, 1),
    transposed_times=functools.partial(_loop_weighted_sum, 0),
    factor=functools.partial(_factor, loop_add_gram, loop_factor),
    solve=loop_solve,
)


def _lanes_first(x: jax.Array, components: int) -> jax.Array:
    return jnp.moveaxis(x.reshape(*x.shape[:components], -1), -1, 0)


def whole_factor(k: jax.Array) -> Any:
    """Factors of a matrix (k, k)."""
    return lu_factor(_lanes_first(k, 2))


def whole_solve(factors: Any, rhs: jax.Array) -> jax.Array:
    """Solves with the factors of ``whole_factor``, (k,) -> (k,)."""
    x = jax.vmap(lu_solve)(factors, _lanes_first(rhs, 1))
    return jnp.moveaxis(x, 0, -1).reshape(rhs.shape)


def whole_add_gram(h: jax.Array, m: jax.Array, w: jax.Array) -> jax.Array:
    """H + M' diag(w) M, of (n, n), (m, n) and (m,)."""
    return h + jnp.einsum("mi...,m...,mj...->ij...", m, w, m)


whole = Algebra(
    total=lambda fn, *rows: fn(*rows).sum(0, keepdims=True),
    largest=lambda fn, *rows: fn(*rows).max(0, keepdims=True, initial=0),
    times=lambda m, x: jnp.einsum("mn...,n...->m...", m, x),
    transposed_times=lambda m, x: jnp.einsum("mn...,m...->n...", m, x),
    factor=functools.partial(_factor, whole_add_gram, whole_factor),
    solve=whole_solve,
)


def algebra_of(schedule: Schedule) -> Algebra:
    """What suits the schedule."""
    return loops if isinstance(schedule, CPUBlocks) else whole
