"""The linear algebra of programs in stages: products and factorisations without a matrix over the horizon.

One small matrix a stage is factorised side by side with all others; what the running sums couple is a
backward recursion over the stages (a Riccati recursion): with R_i the matrix of stage i, D_i the weights of
its sums, M_i = E R_i^-1 E' where E picks the variables that are summed,

    Q_N = D_N,    Z_i = (Q_i^-1 + M_i)^-1,    Q_(i-1) = D_(i-1) + Z_i.

Reference: Rao, Wright & Rawlings, "Application of Interior-Point Methods to Model Predictive Control",
J. Optim. Theory Appl. 99 (1998), sec. 3.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.lax import dynamic_slice_in_dim, dynamic_update_slice_in_dim, fori_loop

from anmjax.lanes.kernels import one_kernel
from anmjax.qp import dense
from anmjax.qp.dense import Algebra


class _Dense(NamedTuple):
    """What is done with the small matrices of the stages."""

    times: Any
    transposed_times: Any
    add_gram: Any
    factor: Any
    solve: Any


_IN_LOOPS = _Dense(
    dense.loops.times,
    dense.loops.transposed_times,
    dense.loop_add_gram,
    dense.loop_factor,
    dense.loop_solve,
)
_WHOLE = _Dense(
    dense.whole.times,
    dense.whole.transposed_times,
    dense.whole_add_gram,
    dense.whole_factor,
    dense.whole_solve,
)


class Shape(NamedTuple):
    """What is static."""

    n: int  # variables of a stage
    stages: int
    sums: int  # the last so many of them are summed
    in_loops: bool

    @property
    def small(self) -> _Dense:
        """The algebra of the stages' own matrices."""
        return _IN_LOOPS if self.in_loops else _WHOLE


class Blocks(NamedTuple):
    """P: a square matrix for every stage."""

    matrix: jax.Array | None  # (n, n, N or 1, lanes or 1)
    free: jax.Array  # (n, N, lanes) 1, or 0 where a column and row count as zero


class Rows(NamedTuple):
    """G: rows for every stage, then the running sums, then minus the running sums."""

    matrix: jax.Array  # (m, n, N or 1, lanes or 1)
    free: jax.Array  # (n, N, lanes) 1, or 0 where a column counts as zero


class _Factors(NamedTuple):
    """Of the normal equations."""

    own: Any  # of R_i, stages and lanes as lanes
    spread: jax.Array  # (n, c, stages * lanes) R_i^-1 E'
    M: jax.Array  # (c, c, stages, lanes)
    Z: jax.Array  # (c, c, stages, lanes)


def algebra_of(shape: Shape) -> Algebra:
    """What the interior point steps do with the matrices ``Blocks`` and ``Rows`` of a block of lanes."""
    base = dense.loops if shape.in_loops else dense.whole
    return Algebra(
        total=base.total,
        largest=base.largest,
        times=functools.partial(_times, shape),
        transposed_times=functools.partial(_transposed_times, shape),
        factor=functools.partial(_factor, shape),
        solve=functools.partial(_solve_normal, shape),
    )


def _product(matrix: jax.Array, x: jax.Array, small: _Dense, transposed: bool) -> jax.Array:
    """A matrix of every stage times a vector of every stage, (k, stages, lanes)."""
    if matrix.shape[2:] == (1, 1):
        shared = matrix[..., 0, 0].T if transposed else matrix[..., 0, 0]
        flat = jnp.dot(shared, x.reshape(len(x), -1), precision=jax.lax.Precision.HIGHEST)
    else:
        full = _of_every(matrix, x.shape[1:])
        times = small.transposed_times if transposed else small.times
        flat = times(full, x.reshape(len(x), -1))
    return flat.reshape(len(flat), *x.shape[1:])


def _of_every(matrix: jax.Array, stages_and_lanes: tuple[int, ...]) -> jax.Array:
    full = jnp.broadcast_to(matrix, (*matrix.shape[:2], *stages_and_lanes))
    return full.reshape(*matrix.shape[:2], -1)


def _times(shape: Shape, M: Any, x: jax.Array) -> jax.Array:
    by_stage = x.reshape(shape.n, shape.stages, -1)
    if isinstance(M, Blocks):
        if M.matrix is None:
            return jnp.zeros_like(x)
        return (M.free * _product(M.matrix, M.free * by_stage, shape.small, False)).reshape(x.shape)
    if isinstance(M, Rows):
        own = _product(M.matrix, M.free * by_stage, shape.small, False).reshape(-1, x.shape[-1])
        sums = _running_sum(by_stage[shape.n - shape.sums :]).reshape(-1, x.shape[-1])
        return jnp.concatenate([own, sums, -sums])
    return M  # no rows


def _transposed_times(shape: Shape, M: Any, y: jax.Array) -> jax.Array:
    lanes = y.shape[-1]
    if not isinstance(M, Rows):
        return jnp.zeros((shape.n * shape.stages, lanes), y.dtype)
    own, high, low = _parts(shape, M, y)
    x = M.free * _product(M.matrix, own, shape.small, True)
    sums = _running_sum(high - low, backwards=True)
    x = jnp.concatenate([x[: shape.n - shape.sums], x[shape.n - shape.sums :] + sums])
    return x.reshape(-1, lanes)


def _parts(shape: Shape, M: Rows, y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The rows of the stages, of the sums, and of minus the sums, each (k, stages, lanes)."""
    by_stage = y.reshape(-1, shape.stages, y.shape[-1])
    m = len(M.matrix)
    return by_stage[:m], by_stage[m : m + shape.sums], by_stage[m + shape.sums :]


def _stage(x: jax.Array, i: Any) -> jax.Array:
    """Stage ``i`` of (.., stages, lanes)."""
    return dynamic_slice_in_dim(x, i, 1, x.ndim - 2)


def _set_stage(x: jax.Array, i: Any, value: jax.Array) -> jax.Array:
    return dynamic_update_slice_in_dim(x, value, i, x.ndim - 2)


def _running_sum(x: jax.Array, backwards: bool = False) -> jax.Array:
    """Sums of (c, stages, lanes) over the stages up to each, or from each on."""
    if not len(x):
        return x
    stages = x.shape[1]

    def run(x: jax.Array) -> jax.Array:
        def step(i: Any, x: jax.Array) -> jax.Array:
            here, before = (stages - 1 - i, stages - i) if backwards else (i, i - 1)
            return _set_stage(x, here, _stage(x, here) + _stage(x, before))

        return fori_loop(1, stages, step, x)

    return one_kernel(run)(x)


def _factor(
    shape: Shape, P: Blocks, _: Any, G: Rows, weight: jax.Array, rho: float, share: float
) -> _Factors:
    n, stages, sums, _ = shape
    lanes, small = weight.shape[-1], shape.small
    own, high, low = _parts(shape, G, weight)
    start = jnp.zeros((n, n, stages * lanes), weight.dtype)
    if P.matrix is not None:
        start = _of_every(P.matrix, (stages, lanes))
    if G.matrix.shape[2:] == (1, 1):
        rows = G.matrix[..., 0, 0]
        squares = (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), n * n)
        gram = jnp.dot(squares.T, own.reshape(len(rows), -1), precision=jax.lax.Precision.HIGHEST)
        R = start + gram.reshape(n, n, -1)
    else:
        R = small.add_gram(start, _of_every(G.matrix, (stages, lanes)), own.reshape(len(own), -1))
    free = G.free.reshape(n, -1)
    R = R * (free[:, None] * free[None])
    factors = small.factor(dense.regularised(R, rho, share))
    if not sums:
        none = jnp.zeros((0, 0, stages, lanes), weight.dtype)
        return _Factors(factors, jnp.zeros((n, 0, stages * lanes), weight.dtype), none, none)
    unit = jnp.broadcast_to(jnp.eye(n, dtype=weight.dtype)[:, :, None], (n, n, stages * lanes))
    spread = jnp.stack([small.solve(factors, unit[:, j]) for j in range(n - sums, n)], 1)
    M = spread[n - sums :].reshape(sums, sums, stages, lanes)
    D = jnp.eye(sums, dtype=weight.dtype)[:, :, None, None] * (high + low)[None]
    return _Factors(factors, spread, M, _recursion(M, D, small))


def _recursion(M: jax.Array, D: jax.Array, small: _Dense) -> jax.Array:
    """Z of every stage, (c, c, stages, lanes)."""
    sums, _, stages, lanes = M.shape

    def coupled(Q: jax.Array, M: jax.Array) -> jax.Array:
        """(Q^-1 + M)^-1, all (c, c, 1, lanes)."""
        if sums == 1:
            return Q / (1 + M * Q)
        eye = jnp.broadcast_to(jnp.eye(sums, dtype=Q.dtype)[..., None], (sums, sums, lanes))
        upper, lower = jnp.concatenate([M[:, :, 0], eye], 1), jnp.concatenate([eye, -Q[:, :, 0]], 1)
        whole = small.factor(jnp.concatenate([upper, lower]))
        unit = jnp.concatenate([eye, jnp.zeros_like(eye)])
        Z = jnp.stack([small.solve(whole, unit[:, j])[:sums] for j in range(sums)], 1)
        return (Z + jnp.swapaxes(Z, 0, 1))[:, :, None] / 2

    def run(M: jax.Array, D: jax.Array) -> jax.Array:
        def step(k: Any, at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            i = stages - 1 - k
            Q, Z = at
            own = coupled(Q, _stage(M, i))
            return _stage(D, jnp.maximum(i - 1, 0)) + own, _set_stage(Z, i, own)

        return fori_loop(0, stages, step, (_stage(D, stages - 1), jnp.zeros_like(M)))[1]

    return (one_kernel(run) if sums == 1 else run)(M, D)


def _solve_normal(shape: Shape, factors: _Factors, rhs: jax.Array) -> jax.Array:
    n, stages, sums, _ = shape
    lanes = rhs.shape[-1]
    alone = shape.small.solve(factors.own, rhs.reshape(n, -1))
    if not sums:
        return alone.reshape(-1, lanes)
    price = _prices(alone[n - sums :].reshape(sums, stages, lanes), factors.M, factors.Z)
    held = (factors.spread * price.reshape(1, sums, -1)).sum(1)
    return (alone - held).reshape(-1, lanes)


def _prices(y: jax.Array, M: jax.Array, Z: jax.Array) -> jax.Array:
    """What the sums from each stage on ask of it, (c, stages, lanes); ``y`` is x* without them."""
    stages = y.shape[1]

    def times(A: jax.Array, x: jax.Array) -> jax.Array:
        return (A * x[None]).sum(1)

    def run(y: jax.Array, M: jax.Array, Z: jax.Array) -> jax.Array:
        def back(k: Any, at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            i = stages - 1 - k
            ahead, all_ahead = at
            all_ahead = _set_stage(all_ahead, i, ahead)
            moved = _stage(y, i) + times(_stage(M, i), ahead)
            return ahead - times(_stage(Z, i), moved), all_ahead

        none = jnp.zeros_like(_stage(y, 0))
        all_ahead = fori_loop(0, stages, back, (none, jnp.zeros_like(y)))[1]

        def forth(i: Any, at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            S, prices = at
            own, ahead = _stage(M, i), _stage(all_ahead, i)
            price = times(_stage(Z, i), S + _stage(y, i) + times(own, ahead)) - ahead
            return S + _stage(y, i) - times(own, price), _set_stage(prices, i, price)

        return fori_loop(0, stages, forth, (none, jnp.zeros_like(y)))[1]

    return one_kernel(run)(y, M, Z)
