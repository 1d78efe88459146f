"""Sums over all rows of arrays of phasors, a lane each.

As whole arrays, right for a GPU. XLA's CPU backend (jax 0.10.2) hands such sums to a library that takes five
times as long as a loop over the rows, which makes several sums in one go.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from anmjax.lanes.kernels import one_kernel
from anmjax.lanes.rows import row
from anmjax.lanes.varying import as_varying


def totals(terms: Callable[..., tuple[jax.Array, ...]], *arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Sums of ``terms(*arrays)``, element by element, each (1, 1, m).

    Args:
      terms: function of arrays of one shape that gives such arrays.
      arrays: (2, n, m) each.
    """
    whole, loop = functools.partial(_whole, terms), functools.partial(_loop, terms)
    return jax.lax.platform_dependent(*arrays, cpu=loop, default=whole)


def _whole(terms: Callable[..., tuple[jax.Array, ...]], *arrays: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(x.sum((0, 1), keepdims=True) for x in terms(*arrays))


def _loop(terms: Callable[..., tuple[jax.Array, ...]], *arrays: jax.Array) -> tuple[jax.Array, ...]:
    shapes = jax.eval_shape(terms, *(x[:, :1] for x in arrays))
    none = tuple(jnp.zeros(x.shape, x.dtype) for x in shapes)

    def run(*args: jax.Array) -> tuple[jax.Array, ...]:
        own = args[: len(arrays)]

        def add(i: jax.Array, sums: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            more = terms(*(row(x, i, 1) for x in own))
            return tuple(x + y for x, y in zip(sums, more, strict=True))

        return jax.lax.fori_loop(0, arrays[0].shape[1], add, args[len(arrays) :])

    sums = one_kernel(run)(*arrays, *as_varying(none, arrays))
    return tuple(x[:1] + x[1:] for x in sums)
