"""Random quadratic programs with known properties, and CLARABEL's answers to them."""

from __future__ import annotations

from typing import Any

import clarabel
import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from anmjax.qp import solve_qp
from benchmarks.projection.problems import Programs

KINDS = ("regular", "strict", "semidefinite", "linear", "degenerate", "scaled")
SHAPE = (8, 20, 3)  # variables, inequalities, equalities
BATCH = 60

solve = jax.jit(jax.vmap(solve_qp))


def drawn(kind: str, batch: int = BATCH, shape: tuple[int, int, int] = SHAPE) -> tuple[Programs, np.ndarray]:
    """Always the same programs of a kind and shape, and their solutions."""
    return solvable(kind, batch, *shape, np.random.default_rng([KINDS.index(kind), *shape]))


def arrays(programs: Programs, dtype: Any = np.float64) -> tuple[jax.Array, ...]:
    """The arguments of ``solve``."""
    return tuple(jnp.asarray(x, dtype) for x in programs)


def solvable(
    kind: str, batch: int, n: int, m: int, p: int, rng: np.random.Generator
) -> tuple[Programs, np.ndarray]:
    """Programs and a solution of each, (batch, n), by construction: x and duals first, then q and h.

    Kinds: ``regular`` (P well conditioned, fewer constraints binding than there are variables, each with a
    dual well above zero), ``strict`` (P definite), ``semidefinite`` (rank a third of n), ``linear`` (P = 0),
    ``degenerate`` (constraints repeated, dependent, and more of them binding than there are variables),
    ``scaled`` (rows and columns multiplied by 1e-3 to 1e3).
    """
    rank = {"semidefinite": max(n // 3, 1), "linear": 0}.get(kind, n)
    root = rng.normal(size=(batch, n, rank)) / np.sqrt(n)
    P = root @ root.transpose(0, 2, 1) + (0.3 * np.eye(n) if kind == "regular" else 0)
    A, G = rng.normal(size=(batch, p, n)), rng.normal(size=(batch, m, n))
    if kind == "degenerate":
        A[:, p // 2 :] = A[:, : p - p // 2] * rng.choice([-1, 2], (batch, p - p // 2, 1))
        G[:, m // 2 :] = G[:, : m - m // 2] * rng.choice([1, 0.5], (batch, m - m // 2, 1))
    x, y = rng.normal(size=(batch, n)), rng.normal(size=(batch, p))
    binding = rng.random((batch, m)) < (0.9 if kind == "degenerate" else 0.5 * min(n / max(m, 1), 1))
    if kind == "linear":  # as many as it takes for a vertex, or the solution is far from unique
        binding |= np.argsort(rng.random((batch, m)), 1) < n - p
    z = binding * rng.exponential(size=(batch, m)) * (rng.random((batch, m)) < 0.8)
    slack = ~binding * rng.exponential(size=(batch, m))
    if kind == "regular":
        binding = np.argsort(rng.random((batch, m)), 1) < (n - p) // 2
        z, slack = (mask * rng.uniform(0.3, 1, (batch, m)) for mask in (binding, ~binding))
    scale_x, scale_A, scale_G = (np.ones((batch, k)) for k in (n, p, m))
    if kind == "scaled":
        scale_x, scale_A, scale_G = (10 ** rng.uniform(-3, 3, (batch, k)) for k in (n, p, m))
    P = P * scale_x[:, None] * scale_x[:, :, None]
    A, G = A * scale_x[:, None] * scale_A[..., None], G * scale_x[:, None] * scale_G[..., None]
    x, y, z, slack = x / scale_x, y / scale_A, z / scale_G, slack * scale_G
    q = -sum(np.einsum(*a) for a in (("bij,bj->bi", P, x), ("bpi,bp->bi", A, y), ("bmi,bm->bi", G, z)))
    b, h = np.einsum("bpn,bn->bp", A, x), np.einsum("bmn,bn->bm", G, x) + slack
    return Programs(P, q, A, b, G, h), x


def infeasible(batch: int, n: int, m: int, p: int, rng: np.random.Generator) -> Programs:
    """Programs whose constraints contradict each other, by a combination of up to n + 1 of them."""
    programs, _ = solvable("strict", batch, n, m, p, rng)
    G, h = programs.G, programs.h
    k = min(n + 1, m)
    z = rng.uniform(0.2, 1, (batch, k - 1))
    G[:, k - 1] = -np.einsum("bk,bkn->bn", z, G[:, : k - 1])
    h[:, k - 1] = -np.einsum("bk,bk->b", z, h[:, : k - 1]) - rng.uniform(0.1, 1, batch)
    return programs


def unbounded(batch: int, n: int, m: int, p: int, rng: np.random.Generator) -> Programs:
    """Programs whose objective falls for ever along a direction of their constraints."""
    programs, _ = solvable("semidefinite", batch, n, m, p, rng)
    d = rng.normal(size=(batch, n))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    across = np.eye(n) - d[:, :, None] * d[:, None]
    P, A = across @ programs.P @ across, programs.A @ across
    G = programs.G @ across - rng.exponential(size=(batch, m, 1)) * d[:, None]
    q = np.einsum("bij,bj->bi", across, programs.q) - d
    x = rng.normal(size=(batch, n))
    b, h = np.einsum("bpn,bn->bp", A, x), np.einsum("bmn,bn->bm", G, x) + rng.exponential(size=(batch, m))
    return Programs(P, q, A, b, G, h)


def by_clarabel(programs: Programs, tol: float = 1e-12) -> tuple[np.ndarray, list[str]]:
    """CLARABEL's x of every program, (batch, n), and its verdicts."""
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tol
    settings.max_threads = 1
    xs, verdicts = [], []
    for lane in zip(*programs, strict=True):
        P, q, A, b, G, h = lane
        cones = [clarabel.ZeroConeT(len(b)), clarabel.NonnegativeConeT(len(h))]
        rows = sparse.csc_matrix(np.concatenate([A, G]))
        upper = sparse.csc_matrix(np.triu(P))
        answer = clarabel.DefaultSolver(upper, q, rows, np.concatenate([b, h]), cones, settings).solve()
        xs.append(answer.x)
        verdicts.append(str(answer.status))
    return np.array(xs), verdicts
