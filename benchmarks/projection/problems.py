"""Random projections whose answers are known, and a judge of what solvers make of them.

Quadratic programs are built around a solution; regions of devices are polygons, whose nearest point is found
by trying every edge and corner. Neither needs a solver.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

# Violation up to which a candidate for the nearest point of a polygon lies in it.
INSIDE = 1e-9


class Programs(NamedTuple):
    """A batch of quadratic programs: minimise 1/2 x'Px + q'x subject to Ax = b, Gx <= h."""

    P: np.ndarray  # (batch, n, n)
    q: np.ndarray  # (batch, n)
    A: np.ndarray  # (batch, p, n)
    b: np.ndarray  # (batch, p)
    G: np.ndarray  # (batch, m, n)
    h: np.ndarray  # (batch, m)

    def objective(self, x: np.ndarray) -> np.ndarray:
        """(batch,) objective at each lane's x."""
        return ((self.P @ x[..., None])[..., 0] * x).sum(1) / 2 + (self.q * x).sum(1)

    def violation(self, x: np.ndarray) -> np.ndarray:
        """(batch,) largest violation of a constraint."""
        equality = np.abs((self.A @ x[..., None])[..., 0] - self.b).max(1, initial=0)
        return np.maximum(equality, ((self.G @ x[..., None])[..., 0] - self.h).max(1, initial=0))


@dataclass(frozen=True)
class Known:
    """Programs and what is known of their solutions."""

    programs: Programs
    x: np.ndarray  # (batch, n), the solution
    # (batch, n) and (batch, m), gradient of the sum of x in q and h; None where unknown
    gradient: tuple[np.ndarray, np.ndarray] | None = None

    def first(self, few: int) -> Known:
        """The first of them."""
        gradient = self.gradient and (self.gradient[0][:few], self.gradient[1][:few])
        return Known(Programs(*(x[:few] for x in self.programs)), self.x[:few], gradient)


def random_programs(batch: int, n: int, m: int, p: int, seed: int = 0) -> Known:
    """Programs of well conditioned P, half as many inequalities binding as leave x free to move.

    Every dual and slack is zero or at least 0.1, so that the solution is differentiable.
    """
    rng = np.random.default_rng([seed, batch, n])
    root, x, y = (rng.normal(size=(batch, *shape)) for shape in ((n, n), (n,), (p,)))
    P = root @ root.transpose(0, 2, 1) / n + 0.1 * np.eye(n)
    A, G = rng.normal(size=(batch, p, n)), rng.normal(size=(batch, m, n))
    binding = np.arange(m) < (n - p) // 2
    some = 0.1 + rng.exponential(size=(batch, m))
    z, slack = np.where(binding, some, 0), np.where(binding, 0, some)
    q = -(P @ x[..., None] + A.transpose(0, 2, 1) @ y[..., None] + G.transpose(0, 2, 1) @ z[..., None])
    b, h = (A @ x[..., None])[..., 0], (G @ x[..., None])[..., 0] + slack
    return Known(Programs(P, q[..., 0], A, b, G, h), x, _gradient(P, A, G, binding))


def _gradient(P: np.ndarray, A: np.ndarray, G: np.ndarray, binding: np.ndarray) -> tuple[Any, Any]:
    """Gradient of the sum of x in q and h: binding inequalities are equalities, the others absent."""
    held = np.concatenate([A, G[:, binding]], 1)
    none = np.zeros((len(P), held.shape[1], held.shape[1]))
    rhs = np.concatenate([np.ones(P.shape[1]), np.zeros(held.shape[1])])
    matrix = np.block([[P, held.transpose(0, 2, 1)], [held, none]])
    solved = np.linalg.solve(matrix, np.broadcast_to(rhs[:, None], (len(P), len(rhs), 1)))[..., 0]
    by_h = np.zeros(G.shape[:2])
    by_h[:, binding] = solved[:, P.shape[1] + A.shape[1] :]
    return -solved[:, : P.shape[1]], by_h


@dataclass(frozen=True)
class Regions:
    """Set-points of devices and the regions that they are projected on, ``batch`` of each."""

    point: np.ndarray  # (batch, 2) p.u., P and Q
    limits: tuple[np.ndarray, ...]  # (batch,) p.u. each, in the order of DeviceLimits
    p_low: np.ndarray  # (batch,) p.u.
    p_high: np.ndarray  # (batch,) p.u.

    @property
    def data(self) -> tuple[np.ndarray, ...]:
        """What the projection is given."""
        return (*self.point.T, *self.limits, self.p_low, self.p_high)

    def programs(self, few: int) -> Known:
        """The first of them as quadratic programs in P and Q, sides written down anew."""
        p, q, *limits, p_low, p_high = (x[:few] for x in self.data)
        p_max, p_min, q_max, q_min, p_plus, p_minus, q_plus, q_minus = limits
        one, zero = np.ones_like(p), np.zeros_like(p)
        rows = [(one, zero, np.minimum(p_high, p_max)), (-one, zero, -np.maximum(p_low, p_min))]
        for sign, height, end in ((one, q_max, q_plus), (-one, -q_min, -q_minus)):
            rows.append((zero, sign, height))
            for start, stop in ((p_plus, p_max), (p_minus, p_min)):
                slope = (end - height) / np.where(stop == start, np.inf, stop - start)
                length = np.hypot(1, slope)
                rows.append((-slope / length, sign / length, (height - slope * start) / length))
        a_p, a_q, h = (np.stack(column, 1) for column in zip(*rows, strict=True))
        G, point, batch = np.stack([a_p, a_q], 2), np.stack([p, q], 1), len(p)
        P, A, b = np.tile(np.eye(2), (batch, 1, 1)), np.zeros((batch, 0, 2)), np.zeros((batch, 0))
        return Known(Programs(P, -point, A, b, G, h), nearest(point, G, h))


def nearest(point: np.ndarray, G: np.ndarray, h: np.ndarray) -> np.ndarray:
    """(batch, 2) nearest point of each polygon Gx <= h, whose rows are of unit length.

    The best of the point itself, its feet on all edges and all corners, among those inside.
    """
    found = [point]
    found += [point - g * ((g * point).sum(1) - bound)[:, None] for g, bound in _rows(G, h)]
    for (g, bound), (other, other_bound) in itertools.combinations(_rows(G, h), 2):
        det = g[:, 0] * other[:, 1] - g[:, 1] * other[:, 0]
        corner = [bound * other[:, 1] - other_bound * g[:, 1], other_bound * g[:, 0] - bound * other[:, 0]]
        # Parallel edges have no corner: theirs is put where nothing is nearest.
        found.append(np.where(det, corner / np.where(det, det, 1), np.inf).T)
    candidates = np.stack(found, 1)
    with np.errstate(invalid="ignore"):
        outside = ~((candidates @ G.transpose(0, 2, 1) - h[:, None]).max(2) <= INSIDE)
    distance = np.where(outside, np.inf, np.hypot(*np.moveaxis(candidates - point[:, None], 2, 0)))
    return candidates[np.arange(len(point)), distance.argmin(1)]


def _rows(G: np.ndarray, h: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(G[:, i], h[:, i]) for i in range(h.shape[1])]


def random_regions(batch: int, seed: int = 0) -> Regions:
    """Generators and storage units of about 1 p.u., most with sloped sides, and set-points in and far out."""
    rng = np.random.default_rng([seed, batch])
    storage, sloped = rng.random(batch) < 0.5, rng.random(batch) < 0.7
    p_max, p_min = rng.uniform(0.2, 2, batch), np.where(storage, -rng.uniform(0.2, 2, batch), 0)
    q_min, q_max = np.sort(rng.uniform(-1.5, 1.5, (2, batch)), 0)
    q_minus, q_plus = q_min + np.sort(rng.random((2, batch)), 0) * (q_max - q_min)
    p_minus, p_plus = p_min + np.sort(rng.random((2, batch)), 0) * (p_max - p_min)
    p_minus, p_plus = np.where(sloped & storage, p_minus, p_min), np.where(sloped, p_plus, p_max)
    p_low, p_high = np.where(storage, -rng.uniform(0, 2.5, batch), 0), rng.uniform(0, 2.5, batch)
    point = rng.choice([1.0, 3.0], (batch, 2)) * rng.uniform(-1, 1, (batch, 2))
    limits = (p_max, p_min, q_max, q_min, p_plus, p_minus, q_plus, q_minus)
    return Regions(point, limits, p_low, p_high)


def judge(known: Known, x: np.ndarray, converged: np.ndarray, gradient: Any = None) -> dict[str, Any]:
    """How good answers are, in float64.

    Args:
      known: at least as many programs as there are answers.
      x: (batch, n), answers to the first of them.
      converged: (batch,) bool, which are called solutions.
      gradient: of the sum of x in q and h, (batch, n) and (batch, m); None: not asked for.

    Returns:
      The largest objective gap, of 1 + |objective| of the known solution, the largest violation of a
      constraint and the largest relative error of the gradient, all of those that converged (None: of none);
      the share that did.
    """
    known = known.first(len(x))
    programs, x, converged = known.programs, np.asarray(x, float), np.asarray(converged, bool)
    best = programs.objective(known.x)
    gap = np.abs(programs.objective(x) - best) / (1 + np.abs(best))
    quality = {
        "max_objective_gap": _largest(gap, converged),
        "max_violation": _largest(programs.violation(x), converged),
        "converged": float(converged.mean()),
    }
    if gradient is not None and known.gradient is not None:
        exact, found = (np.concatenate(pair, 1) for pair in (known.gradient, gradient))
        error = np.abs(found - exact).max(1) / (1 + np.abs(exact).max(1))
        quality["max_gradient_error"] = _largest(error, converged)
    return quality


def _largest(values: np.ndarray, converged: np.ndarray) -> float | None:
    return float(values[converged].max()) if converged.any() else None
