"""The devices' regions as rows of a program, and those that hold the nearest points of the regions.

At the point of a polygon nearest to another, what is missing is a sum of the normals of one or two of the
sides that meet there, each times a dual that is not negative. Arrays are ``[component, *batch]``, see
``anmjax.lanes.trailing``.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.projection.controls import Reach
from anmjax.projection.device_region import region_inequalities
from anmjax.qp.active_set import ActiveSet

# Of the size of a set-point, by the rounding of a number of one: what is as small is rounding.
ROUNDING = 32


class DeviceRows(NamedTuple):
    """alpha P + beta Q <= bound, eight rows of unit length a device, one after the other, by device."""

    first: np.ndarray  # (8 n_controlled,) where P stands among P and Q of all
    second: np.ndarray  # (8 n_controlled,) where Q stands
    alpha: jax.Array  # (8 n_controlled, *batch)
    beta: jax.Array  # (8 n_controlled, *batch)
    bound: jax.Array  # (8 n_controlled, *batch) p.u., infinite: there is no such row


def device_rows(devices: Reach) -> DeviceRows:
    """The rows of all regions."""
    sides = region_inequalities(*devices)
    count, n = sides[0].shape[:2]
    first = np.tile(np.arange(n), count)
    return DeviceRows(first, n + first, *(x.reshape(count * n, *x.shape[2:]) for x in sides))


def rows_at_nearest(devices: Reach, asked: jax.Array, nearest: jax.Array) -> ActiveSet:
    """The rows of ``device_rows`` that hold the nearest points.

    Args:
      devices: their regions.
      asked: (2 n_controlled, *batch) p.u., P and then Q.
      nearest: (2 n_controlled, *batch) p.u., the nearest points of the regions.

    Returns:
      The rows, at x = 0 where x is counted from the nearest points. The two slots of device i are i and
      n_controlled + i.
    """
    a_p, a_q, bound = region_inequalities(*devices)
    (p, q), (dp, dq) = jnp.split(nearest, 2), jnp.split(asked - nearest, 2)
    eps = ROUNDING * jnp.finfo(p.dtype).eps
    tight = bound - a_p * p[None] - a_q * q[None] <= eps * (1 + jnp.abs(p) + jnp.abs(q))[None]
    least = eps * (1 + jnp.abs(dp) + jnp.abs(dq))
    n_controlled, batch = len(p), jnp.broadcast_shapes(bound.shape[2:], p.shape[1:])

    def along(dp: jax.Array, dq: jax.Array) -> tuple[jax.Array, ...]:
        """The tight side whose normal goes farthest along, how far, and its normal."""
        far = jnp.where(tight, a_p * dp[None] + a_q * dq[None], -jnp.inf)
        side, most = jax.lax.argmax(far, 0, np.int32), far.max(0)
        return side, most, *(jnp.take_along_axis(x, side[None], 0)[0] for x in (a_p, a_q))

    one, most, one_p, one_q = along(dp, dq)
    other, rest, other_p, other_q = along(dp - most * one_p, dq - most * one_q)
    cosine = one_p * other_p + one_q * other_q
    left = 1 - cosine * cosine
    holds = most > least
    both = holds & (rest > least) & (left > eps)
    left = jnp.where(both, left, 1)
    second_dual = jnp.where(both, rest / left, 0)
    first_dual = jnp.where(holds, jnp.maximum(most - cosine * second_dual, 0), 0)

    def mixed(p: jax.Array, of_both: jax.Array) -> jax.Array:
        return jnp.where(both, of_both / left, jnp.where(holds, p, 0))

    # The inverse of the two normals, or of the one; and what they leave free.
    of_one = mixed(one_p, one_p - cosine * other_p), mixed(one_q, one_q - cosine * other_q)
    of_other = (jnp.where(both, (x - cosine * y) / left, 0) for x, y in ((other_p, one_p), (other_q, one_q)))
    alone = holds & ~both
    free = tuple(
        jnp.where(both, 0, unit - jnp.where(alone, x * y, 0))
        for unit, x, y in ((1, one_p, one_p), (0, one_p, one_q), (0, one_p, one_q), (1, one_q, one_q))
    )
    ids = np.arange(n_controlled, dtype=np.int32).reshape(-1, *[1] * len(batch))
    row = jnp.concatenate(
        [jnp.where(there, side * n_controlled + ids, -1) for there, side in ((holds, one), (both, other))]
    )
    dual = jnp.concatenate([first_dual, second_dual])
    w = jnp.where(row >= 0, jnp.inf, jnp.zeros_like(dual))
    return ActiveSet(row, dual, w, _blocks(*of_one, *of_other), _blocks(*free))


def _blocks(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array) -> jax.Array:
    """[[diag a, diag b], [diag c, diag d]], each (n, *batch)."""
    eye = np.eye(len(a), dtype=a.dtype).reshape(len(a), len(a), *[1] * (a.ndim - 1))
    upper, lower = (jnp.concatenate([eye * x[None] for x in row], 1) for row in ((a, b), (c, d)))
    return jnp.concatenate([upper, lower])
