"""Random device regions, and inequalities that describe them independently of the package."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from anmjax.projection import DeviceLimits


@dataclass(frozen=True)
class Regions:
    """Set-points and regions of ``n`` devices."""

    p: np.ndarray  # (n,) p.u.
    q: np.ndarray  # (n,) p.u.
    limits: DeviceLimits  # each (n,) p.u.
    p_low: np.ndarray  # (n,) p.u.
    p_high: np.ndarray  # (n,) p.u.

    def arguments(self, dtype: type = np.float64) -> tuple[object, ...]:
        """What ``project_to_device_region`` takes."""
        p, q, low, high = (jnp.asarray(x, dtype) for x in (self.p, self.q, self.p_low, self.p_high))
        return p, q, DeviceLimits(*(jnp.asarray(x, dtype) for x in self.limits)), low, high

    def inequalities(self) -> tuple[np.ndarray, np.ndarray]:
        """``G x <= h`` of every device, (n, 8, 2) and (n, 8), by the formulas for tau and rho of gym-anm.

        Sides that a device has not are rows 0 x <= inf.
        """
        limit = self.limits
        one, zero = np.ones_like(self.p), np.zeros_like(self.p)
        rows = [
            (-one, zero, -np.maximum(self.p_low, limit.p_min)),
            (one, zero, np.minimum(self.p_high, limit.p_max)),
            (zero, -one, -limit.q_min),
            (zero, one, limit.q_max),
        ]
        right, left = limit.p_max - limit.p_plus, limit.p_minus - limit.p_min
        for width, start, rise, fall in (
            (right, limit.p_plus, limit.q_plus - limit.q_max, limit.q_minus - limit.q_min),
            (left, limit.p_minus, limit.q_max - limit.q_plus, limit.q_min - limit.q_minus),
        ):
            there = width > 0
            above, below = (np.where(there, x / np.where(there, width, 1), 0) for x in (rise, fall))
            for sign, tau, height in ((1, above, limit.q_max), (-1, below, limit.q_min)):
                bound = np.where(there, sign * (height - tau * start), np.inf)
                rows.append((-sign * tau, np.where(there, sign, 0), bound))
        p, q, h = (np.stack(column, 1) for column in zip(*rows, strict=True))
        return np.stack([p, q], 2), h


def random_regions(n: int, seed: int = 0, *, degenerate: bool = True) -> Regions:
    """Generators (P- = PMIN) and storage units, half with sloped sides, about 1 p.u. in size.

    With ``degenerate`` one in five has no interior or a vanishing side: p_low = p_high (nothing to generate,
    storage that holds nothing), P+ = PMAX, P- = PMIN, Q+ = QMAX, Q- = QMIN, Q+ = Q-, QMAX = QMIN.
    """
    rng = np.random.default_rng([seed, n])
    storage = rng.random(n) < 0.5
    p_max = rng.uniform(0.2, 2, n)
    p_min = np.where(storage, -rng.uniform(0.2, 2, n), rng.choice([0.0, 0.1], n) * p_max)
    q_min, q_max = np.sort(rng.uniform(-1.5, 1.5, (2, n)), axis=0)
    q_minus, q_plus = q_min + np.sort(rng.random((2, n)), axis=0) * (q_max - q_min)
    p_minus, p_plus = p_min + np.sort(rng.random((2, n)), axis=0) * (p_max - p_min)
    p_minus = np.where(storage, p_minus, p_min)
    plain = rng.random(n) < 0.3
    p_plus, p_minus = np.where(plain, p_max, p_plus), np.where(plain, p_min, p_minus)
    # Storage can always be idle, a generator always at PMIN.
    p_low = np.where(storage, -rng.uniform(0, 2.5, n), p_min)
    p_high = np.where(storage, rng.uniform(0, 2.5, n), p_min + rng.uniform(0, 2.5, n))
    if degenerate:
        case = rng.integers(0, 40, n)
        p_low, p_high = np.where(case <= 1, np.maximum(p_min, 0), [p_low, p_high])
        p_plus, p_minus = np.where(case == 2, p_max, p_plus), np.where(case == 3, p_min, p_minus)
        q_plus, q_minus = np.where(case == 4, q_max, q_plus), np.where(case == 5, q_min, q_minus)
        q_plus = np.where(case == 6, q_minus, q_plus)
        q_max, q_plus = np.where(case == 7, q_min, q_max), np.where(case == 7, q_min, q_plus)
        q_minus = np.where(case == 7, q_min, q_minus)
    reach = rng.choice([1.0, 3.0, 30.0], (2, n), p=[0.5, 0.4, 0.1])
    p, q = reach * rng.uniform(-1, 1, (2, n))
    limits = DeviceLimits(p_max, p_min, q_max, q_min, p_plus, p_minus, q_plus, q_minus)
    return Regions(p, q, limits, p_low, p_high)
