"""Dense matrices of many lanes at once, ``[row, column, *batch]``: products and the LDL' factorisation.

A symmetric matrix of rows with known signs of their pivots, positive ones first,

    [[H, A'], [A, -E]],  H and E positive definite,

has a factorisation LDL' for every order of its rows, so that no pivoting is needed (it is *quasidefinite*).

``loops`` goes element by element, each a sweep over the lanes, and is one kernel on a CPU; ``whole`` leaves
the factorisation to the batched LU of ``jax.scipy``, as GPUs want it.

Reference: Vanderbei, "Symmetric quasidefinite matrices", SIAM J. Optim. 5 (1995).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import lu_factor, lu_solve

from anmjax.powerflow.gather import one_kernel


class Algebra(NamedTuple):
    """What is done with the matrices of a block of lanes."""

    times: Callable[[jax.Array, jax.Array], jax.Array]  # (m, n), (n,) -> (m,): M x
    transposed_times: Callable[[jax.Array, jax.Array], jax.Array]  # (m, n), (m,) -> (n,): M' x
    add_gram: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # (k, k), (m, n), (m,): H + M' diag(w) M
    factor: Callable[[jax.Array], Any]  # (k, k), lower triangle
    solve: Callable[[Any, jax.Array], jax.Array]  # factors, (k,) -> (k,)


def _element(x: jax.Array, i: Any, j: Any) -> jax.Array:
    return jax.lax.dynamic_slice(x, (i, j, 0), (1, 1, x.shape[2]))


def _row(x: jax.Array, i: Any) -> jax.Array:
    return jax.lax.dynamic_slice(x, (i, 0), (1, x.shape[1]))


def _set_element(x: jax.Array, i: Any, j: Any, value: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice(x, value, (i, j, 0))


def _set_row(x: jax.Array, i: Any, value: jax.Array) -> jax.Array:
    return jax.lax.dynamic_update_slice(x, value, (i, 0))


def _loop(start: Any, stop: Any, step: Callable[[Any, Any], Any], x: Any) -> Any:
    return jax.lax.fori_loop(start, stop, step, x)


def _loop_times(m: jax.Array, x: jax.Array) -> jax.Array:
    rows, columns, lanes = m.shape
    out = jnp.zeros((rows, lanes), m.dtype)
    if not rows or not columns:
        return out

    def run(m: jax.Array, x: jax.Array, out: jax.Array) -> jax.Array:
        def column(j: Any, out: jax.Array) -> jax.Array:
            own = jax.lax.dynamic_slice_in_dim(m, j, 1, 1)[:, 0]
            return out + own * _row(x, j)

        return _loop(0, columns, column, out)

    return one_kernel(run)(m, x, out)


def _loop_transposed_times(m: jax.Array, x: jax.Array) -> jax.Array:
    rows, columns, lanes = m.shape
    out = jnp.zeros((columns, lanes), m.dtype)
    if not rows or not columns:
        return out

    def run(m: jax.Array, x: jax.Array, out: jax.Array) -> jax.Array:
        def row(i: Any, out: jax.Array) -> jax.Array:
            return out + jax.lax.dynamic_slice_in_dim(m, i, 1, 0)[0] * _row(x, i)

        return _loop(0, rows, row, out)

    return one_kernel(run)(m, x, out)


def _loop_add_gram(h: jax.Array, m: jax.Array, w: jax.Array) -> jax.Array:
    rows, columns, _ = m.shape
    if not rows:
        return h

    def run(h: jax.Array, m: jax.Array, w: jax.Array) -> jax.Array:
        def row(i: Any, h: jax.Array) -> jax.Array:
            def line(j: Any, h: jax.Array) -> jax.Array:
                weighted = _element(m, i, j)[0] * _row(w, i)

                def entry(k: Any, h: jax.Array) -> jax.Array:
                    return _set_element(h, j, k, _element(h, j, k) + (weighted * _element(m, i, k)[0])[None])

                return _loop(0, j + 1, entry, h)

            return _loop(0, columns, line, h)

        return _loop(0, rows, row, h)

    return one_kernel(run)(h, m, w)


def _loop_factor(k: jax.Array) -> jax.Array:
    """L below the diagonal and 1 / D on it."""
    size = len(k)

    def run(k: jax.Array) -> jax.Array:
        def pivot(j: Any, k: jax.Array) -> jax.Array:
            inverse = 1 / _element(k, j, j)

            def row(r: Any, k: jax.Array) -> jax.Array:
                i = size - 1 - r
                scaled = _element(k, i, j) * inverse

                def entry(c: Any, k: jax.Array) -> jax.Array:
                    return _set_element(k, i, c, _element(k, i, c) - scaled * _element(k, c, j))

                k = _loop(j + 1, i + 1, entry, k)
                return _set_element(k, i, j, scaled)

            k = _loop(0, size - 1 - j, row, k)
            return _set_element(k, j, j, inverse)

        return _loop(0, size, pivot, k)

    return one_kernel(run)(k)


def _loop_solve(factors: jax.Array, rhs: jax.Array) -> jax.Array:
    size = len(factors)

    def run(factors: jax.Array, x: jax.Array) -> jax.Array:
        def forward(i: Any, x: jax.Array) -> jax.Array:
            def entry(j: Any, own: jax.Array) -> jax.Array:
                return own - _element(factors, i, j)[0] * _row(x, j)

            return _set_row(x, i, _loop(0, i, entry, _row(x, i)))

        def back(r: Any, x: jax.Array) -> jax.Array:
            i = size - 1 - r

            def entry(j: Any, own: jax.Array) -> jax.Array:
                return own - _element(factors, j, i)[0] * _row(x, j)

            own = _row(x, i) * _element(factors, i, i)[0]
            return _set_row(x, i, _loop(i + 1, size, entry, own))

        return _loop(0, size, back, _loop(0, size, forward, x))

    return one_kernel(run)(factors, rhs)


loops = Algebra(_loop_times, _loop_transposed_times, _loop_add_gram, _loop_factor, _loop_solve)


def _lanes_first(x: jax.Array, components: int) -> jax.Array:
    return jnp.moveaxis(x.reshape(*x.shape[:components], -1), -1, 0)


def _whole_factor(k: jax.Array) -> Any:
    lower = jnp.tril(_lanes_first(k, 2))
    return lu_factor(lower + jnp.swapaxes(jnp.tril(lower, -1), 1, 2))


def _whole_solve(factors: Any, rhs: jax.Array) -> jax.Array:
    x = jax.vmap(lu_solve)(factors, _lanes_first(rhs, 1))
    return jnp.moveaxis(x, 0, -1).reshape(rhs.shape)


whole = Algebra(
    times=lambda m, x: jnp.einsum("mn...,n...->m...", m, x),
    transposed_times=lambda m, x: jnp.einsum("mn...,m...->n...", m, x),
    add_gram=lambda h, m, w: h + jnp.einsum("mi...,m...,mj...->ij...", m, w, m),
    factor=_whole_factor,
    solve=_whole_solve,
)
