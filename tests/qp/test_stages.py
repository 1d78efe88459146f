"""Programs in stages: equal to the same program written down whole, and linear in the horizon."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.qp import solve_qp
from anmjax.qp.stages import StagedProgram, solve_staged
from tests.programs import operations

BATCH = 6
# Stages, variables of a stage, sums, whether P is there, whether the stages share their matrices.
KINDS = [(5, 4, 1, False, True), (7, 5, 2, True, False), (4, 3, 0, False, True)]


def drawn(stages: int, n: int, sums: int, quadratic: bool, shared: bool, seed: int = 0) -> StagedProgram:
    """Random programs with soft and hard rows, some variables fixed; matrices shared have no batch axis."""
    rng = np.random.default_rng([stages, n, seed])
    own = () if shared else (BATCH,)
    count = 1 if shared else stages
    root = rng.normal(size=(*own, n, n, count))
    P = np.einsum("...ijs,...kjs->...iks", root, root) * 0.3
    box = np.concatenate([np.eye(n), -np.eye(n)])[..., None]
    G = np.concatenate(
        [np.broadcast_to(box, (*own, 2 * n, n, count)), rng.normal(size=(*own, 2, n, count))], -3
    )
    w = np.full((BATCH, 2 * n + 2, stages), np.inf)
    w[:, 2 * n :] = rng.uniform(0.1, 2, (BATCH, 2, stages))
    free = np.ones((BATCH, n, stages), bool)
    free[:, 0, 1::2] = False
    arrays = (
        P if quadratic else None,
        rng.normal(size=(BATCH, n, stages)),
        G,
        rng.uniform(0.2, 1, w.shape),
        w,
        rng.uniform(0.3, 1, (BATCH, sums, stages)),
        -rng.uniform(0.3, 1, (BATCH, sums, stages)),
        free,
    )
    return StagedProgram(*(None if x is None else jnp.asarray(x) for x in arrays))


def axes(shared: bool, quadratic: bool) -> Any:
    matrix = None if shared else 0
    return (StagedProgram(matrix if quadratic else None, 0, matrix, 0, 0, 0, 0, 0),)


def written_down_whole(program: StagedProgram) -> tuple[Any, ...]:
    """P, q, G, h and the cost of violations of one lane, with a row for every running sum."""
    n, stages = program.q.shape
    m, sums = len(program.h), len(program.high)
    P, G = np.zeros((n * stages, n * stages)), np.zeros(((m + 2 * sums) * stages, n * stages))
    for i in range(stages):
        columns, rows = np.arange(n) * stages + i, np.arange(m) * stages + i
        G[rows[:, None], columns] = np.asarray(program.G)[..., i % program.G.shape[-1]]
        if program.P is not None:
            P[columns[:, None], columns] = np.asarray(program.P)[..., i % program.P.shape[-1]]
        for k in range(sums):
            so_far = (n - sums + k) * stages + np.arange(i + 1)
            G[(m + k) * stages + i, so_far] = 1
            G[(m + sums + k) * stages + i, so_far] = -1
    h = np.concatenate([np.ravel(x) for x in (program.h, program.high, -program.low)])
    cost = np.concatenate([np.ravel(program.w), np.full(2 * sums * stages, np.inf)])
    # A variable that is fixed: an equality.
    A = np.eye(n * stages)[~np.ravel(program.free)]
    alone = (np.abs(G) @ np.ravel(program.free) == 0) & np.isinf(cost)
    h[alone] = np.inf
    return P, np.ravel(program.q), A, np.zeros(len(A)), G, h, cost


def whole_solutions(programs: list[StagedProgram]) -> tuple[np.ndarray, np.ndarray]:
    """x and objectives of the programs written down whole, by ``solve_qp``."""
    *data, cost = (jnp.asarray(np.stack(x)) for x in zip(*map(written_down_whole, programs), strict=True))
    solve = jax.jit(jax.vmap(lambda *a: solve_qp(*a[:-1], violation_cost=a[-1], num_iters=30)))
    x = np.asarray(solve(*data, cost).x)
    P, q, _, _, G, h = map(np.asarray, data)
    excess = np.maximum(np.einsum("bmn,bn->bm", G, x) - h, 0)
    paid = np.where(np.isfinite(cost), cost * excess, 0).sum(1)
    return x, np.einsum("bi,bij,bj->b", x, P, x) / 2 + (q * x).sum(1) + paid


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(KINDS[0], marks=pytest.mark.long),
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:]),
    ],
    ids=str,
)
def test_it_finds_the_optimum_of_the_program_written_down_whole(kind):
    program, in_axes = drawn(*kind), axes(*kind[:2:-1])
    solve = jax.jit(jax.vmap(lambda p: solve_staged(p, num_iters=30, refinements=2), in_axes=in_axes))
    ours = solve(program)
    assert np.all(ours.converged)
    lanes = [
        jax.tree.map(lambda x, at, lane=lane: x if at is None else x[lane], program, *in_axes)
        for lane in range(BATCH)
    ]
    x, objective = whole_solutions(lanes)
    np.testing.assert_allclose(ours.x.reshape(BATCH, -1), x, atol=1e-6)
    np.testing.assert_allclose(ours.objective, objective, rtol=1e-7)
    np.testing.assert_array_equal(np.asarray(ours.x)[~np.asarray(program.free)], 0)


@pytest.mark.slow
def test_single_precision_is_good_to_four_digits():
    program, in_axes = drawn(*KINDS[0]), axes(*KINDS[0][:2:-1])
    solve = jax.jit(jax.vmap(lambda p: solve_staged(p, num_iters=20, refinements=2), in_axes=in_axes))
    exact = solve(program)
    rough = solve(jax.tree.map(lambda x: x if x.dtype == bool else x.astype(jnp.float32), program))
    assert rough.x.dtype == jnp.float32
    np.testing.assert_allclose(rough.objective, exact.objective, rtol=1e-4)


@pytest.mark.long
def test_nothing_grows_faster_than_the_number_of_stages():
    def largest(stages: int) -> int:
        one = jax.tree.map(lambda x: x[0], drawn(stages, 5, 2, True, False))
        lowered = jax.make_jaxpr(lambda p: solve_staged(p, num_iters=2))(one)
        sizes = [int(np.prod(v.aval.shape)) for one in operations(lowered) for v in one.outvars]
        return max(sizes)

    assert largest(64) <= 4 * largest(16)
