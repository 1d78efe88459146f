"""``active_set`` as a function for one lane, batched by ``jax.vmap`` and differentiable.

Derivatives come from the conditions of optimality by the implicit function theorem, with A the active rows:

    [ I   A' ] [dx]   [ dc - d(G'z) ]
    [ A   0  ] [du] = [ dh - d(G) x ]     z: u of active rows, w of rows at cost, 0 of others.

Reference: Amos & Kolter, "OptNet: Differentiable Optimization as a Layer in Neural Networks", ICML 2017.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes.schedule import Schedule, scheduled, with_lanes
from anmjax.lanes.trailing import batch_trailing, jvp_of_perturbed
from anmjax.lanes.varying import as_varying, no_tangents, tangents_of
from anmjax.qp.active_set import ActiveSet, Found, Pairs, Program, find_lanes

_Pair = tuple[jax.Array, jax.Array]


@functools.lru_cache(maxsize=256)
def nearest(
    pairs: Pairs, num_iters: int, schedule: Schedule | None = None
) -> Callable[[Program, ActiveSet], Found]:
    """The nearest point within inequalities, see ``active_set``.

    Where a row is active with dual zero, x has a kink: the derivative returned is that of one side.

    Args:
      pairs: what the rows are made of.
      num_iters: steps at most, each of one row.
      schedule: how lanes are worked through; None: as the platform wants it.

    Returns:
      ``solve(program, begin)``, ``begin`` such that x = 0 is optimal for its active rows alone. Inside
      ``batch_trailing`` functions it takes arrays ``[component, *batch]``.
    """

    def of_lanes(program: Program, begin: ActiveSet) -> Found:
        def work(schedule: Schedule, args: tuple[Program, ActiveSet]) -> Found:
            return find_lanes(pairs, num_iters, schedule, *args)

        def lanes(args: tuple[Program, ActiveSet]) -> Found:
            return scheduled(work, args, schedule)

        return with_lanes(lanes, (program, begin), program.c.ndim - 1)

    lane = batch_trailing(of_lanes, schedule)
    first, second = (np.array(x, np.int32) for x in (pairs.first, pairs.second))

    @jax.custom_jvp
    def solve(program: Program, begin: ActiveSet) -> Found:
        return lane(program, begin)

    def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Found, Found]:
        program, begin = primals
        out = solve(program, begin)
        x, active = out.x, out.active
        taken = active.row >= 0
        own = jnp.where(taken, active.row, len(first))

        def excess(program: Program, x: jax.Array) -> jax.Array:
            along = program.base @ x
            every = program.alpha * along[first] + program.beta * along[second] - program.h
            return every.at[own].get(mode="fill", fill_value=0)

        def conditions(program: Program) -> _Pair:
            z = jnp.where(out.side < 0, program.w, 0).at[own].set(active.dual, mode="drop")
            share = jnp.zeros_like(program.base[:, 0])
            share = share.at[first].add(program.alpha * z).at[second].add(program.beta * z)
            return x - program.c + share @ program.base, excess(program, x)

        # What the functions of custom_linear_solve close over has to vary as the solution does.
        with_rows = as_varying(program._replace(h=jnp.zeros_like(program.h)), out)
        A = as_varying(
            jax.vmap(lambda e: excess(with_rows, e), out_axes=1)(jnp.eye(len(x), dtype=x.dtype)), out
        )

        def matvec(d: _Pair) -> _Pair:
            dx, du = d
            return dx + du @ A, A @ dx + jnp.where(taken, 0, du)

        def inverse(_: Callable, rhs: _Pair) -> _Pair:
            c, b = rhs
            N, H = jax.lax.stop_gradient((active.inverse, active.free))
            dx = H @ c + b @ N
            return dx, N @ (c - b @ N) + jnp.where(taken, 0, b)

        _, change = jvp_of_perturbed(conditions, (program,), tangents[:1])
        any_change = sum(part.sum() for part in change)
        rhs = tuple(-jnp.where(False, any_change, part) for part in change)
        dx, du = jax.lax.custom_linear_solve(matvec, rhs, solve=inverse, symmetric=True)
        dx, du = (jnp.where(out.converged, part, 0) for part in (dx, du))
        none = no_tangents(out)
        return out, tangents_of(out, none._replace(x=dx, active=none.active._replace(dual=du)))

    solve.defjvp(rule, symbolic_zeros=True)
    return solve
