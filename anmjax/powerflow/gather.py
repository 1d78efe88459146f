"""Static gathers along one axis, and sums of gathered rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.powerflow.plan import GatherSum


def take(x: jax.Array, index: np.ndarray, axis: int = 0) -> jax.Array:
    """``x[index]`` along ``axis`` for a static index; a run of consecutive rows is a slice."""
    if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
        return jax.lax.slice_in_dim(x, int(index[0]), int(index[0]) + len(index), axis=axis)
    return x.at[(slice(None),) * axis + (index,)].get(mode="promise_in_bounds")


def gather_sum(plan: GatherSum, x: jax.Array, axis: int = 0) -> jax.Array:
    """Evaluates a ``GatherSum``: rows of ``x`` along ``axis`` summed by static lists."""
    for index, weight in plan.stages:
        total = jnp.zeros((*x.shape[:axis], index.shape[1], *x.shape[axis + 1 :]), x.dtype)
        for k, (rows, mask) in enumerate(zip(index, weight, strict=True)):
            term = take(x, rows, axis)
            if not mask.all():
                there = mask.astype(bool).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
                term = jnp.where(there, term, 0)
            total = term if k == 0 else total + term
        x = total
    return x
