"""Exact projection of a set-point (P, Q) onto the region that a device can reach.

The region is the convex polygon

    { p_low <= P <= p_high,  lower(P) <= Q <= upper(P) }

whose ``upper`` (``lower``) is q_max (q_min) between the breaks p_minus and p_plus and falls (rises)
linearly to q_plus (q_minus) at p_max and p_min. A point above the polygon is nearest to one of the
three straight pieces of ``upper``; a point below to one of ``lower``; any other to its own P clamped.
No iteration and no tolerance: the derivative is exact almost everywhere and finite everywhere.

Reference: Henry & Ernst, "Gym-ANM: Reinforcement learning environments for active network management
tasks in electricity distribution systems", Energy and AI 5 (2021), sec. 3.2 and fig. 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class DeviceLimits(NamedTuple):
    """Fixed limits of devices, each (n, *batch) p.u.; P and Q bounds may be infinite."""

    p_max: jax.Array
    p_min: jax.Array
    q_max: jax.Array
    q_min: jax.Array
    p_plus: jax.Array  # P above which ``upper`` and ``lower`` close in
    p_minus: jax.Array  # P below which they do
    q_plus: jax.Array  # ``upper`` at p_max, and at p_min if p_minus > p_min
    q_minus: jax.Array  # ``lower`` at p_max, and at p_min if p_minus > p_min


def storage_power_limits(
    soc: jax.Array, soc_max: jax.Array, soc_min: jax.Array, eff: jax.Array, delta_t: float
) -> tuple[jax.Array, jax.Array]:
    """Least and largest P that keep a storage unit's charge within limits over one step, p.u.

    (soc - soc_max) / (delta_t eff) <= P <= eff (soc - soc_min) / delta_t, positive P discharging.

    Args:
      soc: (n, *batch) p.u.h, state of charge.
      soc_max: (n, *batch) p.u.h.
      soc_min: (n, *batch) p.u.h.
      eff: (n, *batch) efficiency of charging, and of discharging, in (0, 1].
      delta_t: h, length of a step.
    """
    return (soc - soc_max) / (delta_t * eff), eff * (soc - soc_min) / delta_t


def reactive_range(p: jax.Array, limits: DeviceLimits) -> tuple[jax.Array, jax.Array]:
    """Least and largest Q at some P, both (n, *batch) p.u.; infinite where there is no limit.

    Args:
      p: (n, *batch) p.u., within p_min and p_max.
      limits: the devices' fixed limits.
    """
    right, left = _slope(limits.p_max - limits.p_plus), _slope(limits.p_min - limits.p_minus)

    def bound(height: jax.Array, end: jax.Array) -> jax.Array:
        fall = jnp.where(jnp.isfinite(height) & jnp.isfinite(end), end - height, 0)
        p_minus, p_plus = (jnp.where(jnp.isfinite(x), x, p) for x in (limits.p_minus, limits.p_plus))
        return _height(_Cap(height, fall * right, fall * left, p_plus, p_minus), p)

    return bound(limits.q_min, limits.q_minus), bound(limits.q_max, limits.q_plus)


def project_to_device_region(
    p: jax.Array, q: jax.Array, limits: DeviceLimits, p_low: jax.Array, p_high: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Euclidean-nearest reachable point of each set-point.

    Args:
      p: (n, *batch) p.u., active set-points.
      q: (n, *batch) p.u., reactive set-points.
      limits: the devices' fixed limits.
      p_low: (n, *batch) p.u., least P at present, e.g. by the state of charge.
      p_high: (n, *batch) p.u., largest P at present, e.g. by the weather.

    Returns:
      P and Q, both (n, *batch) p.u. Where p_low > p_high no point is reachable and P is p_high.
    """
    # A bound at infinity is inactive at any value clear of the set-point and of the other bounds.
    bounds = (limits.p_max, limits.p_min, p_low, p_high)
    clear_p = 1 + jnp.abs(p) + sum(jnp.abs(_finite(x, 0)) for x in bounds)
    clear_q = 1 + jnp.abs(q)
    right = _slope(limits.p_max - limits.p_plus)
    left = _slope(limits.p_min - limits.p_minus)
    p_low = _finite(jnp.maximum(p_low, limits.p_min), -clear_p)
    p_high = _finite(jnp.minimum(p_high, limits.p_max), clear_p)
    p_minus, p_plus = _finite(limits.p_minus, -clear_p), _finite(limits.p_plus, clear_p)
    q_max, q_plus = _finite(limits.q_max, clear_q), _finite(limits.q_plus, clear_q)
    q_min, q_minus = _finite(limits.q_min, -clear_q), _finite(limits.q_minus, -clear_q)

    upper = _Cap(q_max, (q_plus - q_max) * right, (q_plus - q_max) * left, p_plus, p_minus)
    # Reflected in Q, ``lower`` is an upper limit too and a point below it one above.
    lower = _Cap(-q_min, (q_min - q_minus) * right, (q_min - q_minus) * left, p_plus, p_minus)
    p_near = jnp.clip(p, p_low, p_high)
    above, below = q > _height(upper, p_near), -q > _height(lower, p_near)
    sign = jnp.where(below, -1, 1).astype(q.dtype)
    cap = _Cap(*(jnp.where(below, x, y) for x, y in zip(lower, upper, strict=True)))
    p_cap, q_cap = _nearest_on_cap(p, sign * q, cap, p_low, p_high)
    return jnp.where(above | below, p_cap, p_near), jnp.where(above | below, sign * q_cap, q)


class _Cap(NamedTuple):
    """An upper limit of Q: ``height`` between the breaks, straight lines beyond them."""

    height: jax.Array
    right: jax.Array  # slope beyond p_plus, <= 0
    left: jax.Array  # slope below p_minus, >= 0
    p_plus: jax.Array
    p_minus: jax.Array


def _finite(bound: jax.Array, otherwise: jax.Array | float) -> jax.Array:
    return jnp.where(jnp.isfinite(bound), bound, otherwise)


def _slope(width: jax.Array) -> jax.Array:
    """1 / width, and 0 where the piece has no width (p_plus = p_max, both infinite included)."""
    bends = jnp.abs(width) > 0
    return jnp.where(bends, 1 / jnp.where(bends, width, 1), 0)


def _height(cap: _Cap, p: jax.Array) -> jax.Array:
    """The upper limit at P: the least of its three straight lines."""
    beyond, short = jnp.maximum(p - cap.p_plus, 0), jnp.minimum(p - cap.p_minus, 0)
    return cap.height + cap.right * beyond + cap.left * short


def _nearest_on_cap(
    p: jax.Array, q: jax.Array, cap: _Cap, p_low: jax.Array, p_high: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Nearest point of the upper limit to a point above it: the best of its three pieces."""
    p_plus, p_minus = jnp.clip(cap.p_plus, p_low, p_high), jnp.clip(cap.p_minus, p_low, p_high)

    def foot(slope: jax.Array, start: jax.Array) -> jax.Array:
        # Foot of the perpendicular on the line Q = height + slope (P - start).
        return (p + slope * (q - cap.height + slope * start)) / (1 + slope * slope)

    best_p = jnp.clip(p, p_minus, p_plus)
    best_q = _height(cap, best_p)
    for piece in (
        jnp.clip(foot(cap.right, cap.p_plus), p_plus, p_high),
        jnp.clip(foot(cap.left, cap.p_minus), p_low, p_minus),
    ):
        piece_q = _height(cap, piece)
        nearer = _square(p - piece, q - piece_q) < _square(p - best_p, q - best_q)
        best_p, best_q = jnp.where(nearer, piece, best_p), jnp.where(nearer, piece_q, best_q)
    return best_p, best_q


def _square(dp: jax.Array, dq: jax.Array) -> jax.Array:
    return dp * dp + dq * dq


def region_inequalities(
    limits: DeviceLimits, p_low: jax.Array, p_high: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The regions as ``a_p P + a_q Q <= bound``, eight rows of unit length a device.

    Args:
      limits: the devices' fixed limits.
      p_low: (n, *batch) p.u., least P at present.
      p_high: (n, *batch) p.u., largest P at present.

    Returns:
      a_p, a_q and bound, each (8, n, *batch). A bound at infinity is infinite. Where p_low > p_high the
      region is the one of P = p_high.
    """
    p_high = jnp.minimum(p_high, limits.p_max)
    p_low = jnp.minimum(jnp.maximum(p_low, limits.p_min), p_high)
    right, left = _slope(limits.p_max - limits.p_plus), _slope(limits.p_min - limits.p_minus)
    rows: list[tuple[Any, Any, jax.Array]] = [(1, 0, p_high), (-1, 0, -p_low)]
    for sign, height, end in ((1, limits.q_max, limits.q_plus), (-1, -limits.q_min, -limits.q_minus)):
        rows.append((0, sign, height))
        for slope, start in ((right, limits.p_plus), (left, limits.p_minus)):
            finite = jnp.isfinite(start) & jnp.isfinite(height) & jnp.isfinite(end) & (slope != 0)
            fall = jnp.where(finite, slope * (jnp.where(finite, end, 0) - jnp.where(finite, height, 0)), 0)
            length = jnp.sqrt(1 + fall * fall)
            bound = (jnp.where(finite, height, 0) - fall * jnp.where(finite, start, 0)) / length
            rows.append((-fall / length, sign / length, jnp.where(finite, bound, jnp.inf)))
    shape = jnp.broadcast_shapes(*(jnp.shape(x) for row in rows for x in row))
    a_p, a_q, bound = (
        jnp.stack([jnp.broadcast_to(jnp.asarray(x, p_high.dtype), shape) for x in column])
        for column in zip(*rows, strict=True)
    )
    return a_p, a_q, bound
