"""Newton's method of ``newton.py`` in one kernel of a GPU, loops over buses and edges, one lane a thread.

An update goes over the buses twice. In the order of the elimination the equations of a bus are evaluated at
the voltages around it, and the bus is eliminated; back again its change is found, and its voltage moved. A
block of lanes goes on until none of its lanes moves. Angles and excesses, half solutions and factors are all
that is kept of a lane in memory.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes import phasor
from anmjax.lanes.blocks import num_lanes
from anmjax.lanes.row_kernel import LANES, Row, filled, loop, of_rows, row_kernel
from anmjax.powerflow.bus_rows import BusRows, Given, Tables, blocks_of, given_rows, tables_of
from anmjax.powerflow.chord import End
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.rows import Blocks, solve_back
from anmjax.powerflow.equations import (
    Equations,
    asked_at,
    column,
    largest_size,
    polar_deviation,
    voltage,
)
from anmjax.powerflow.jacobian import to_system
from anmjax.powerflow.newton import Stopping, stepped


class _Arrays(NamedTuple):
    """What is given of every lane."""

    network: Given
    injections: Any  # (2, n_unknown, *batch) as ``given`` of ``Equations``
    start: Any  # (2, n_bus, *batch) angle and excess to start from, and at slacks those held


class _Out(NamedTuple):
    """Where the iteration ended."""

    d: Any  # (2, n_bus, lanes) p.u., voltage deviations
    largest: Any  # (1, lanes) p.u., largest error
    updates: Any  # (1, lanes) int32, updates made


class _Work(NamedTuple):
    """What is kept of every lane."""

    x: Any  # (2, n_bus) angle and excess
    blocks: Blocks


def with_slacks(plan: SolverPlan, equations: Equations, x: jax.Array, apart: jax.Array | None) -> jax.Array:
    """Angles and excesses (2, n_unknown, *batch) with those of the slacks, ``apart`` as of ``Inputs``."""
    excess = equations.excess[plan.n_unknown :]
    angle = jnp.zeros_like(excess[:1]) if apart is None else jnp.pad(apart, ((1, 0), (0, 0)))
    held = phasor.stack(angle, excess)
    batch = jnp.broadcast_shapes(x.shape[2:], held.shape[2:])
    return jnp.concatenate([jnp.broadcast_to(y, (*y.shape[:2], *batch)) for y in (x, held)], 1)


def iterate_rows(
    plan: SolverPlan, stopping: Stopping, equations: Equations, x: jax.Array, *, interpreted: bool = False
) -> End:
    """Newton's method from ``x`` on.

    Args:
      plan: solver plan, of two neighbouring unknown buses at least.
      stopping: when to stop.
      equations: those of a batch with one axis of lanes.
      x: (2, n_bus, lanes) angle in rad and excess in p.u. to start from, at slacks those that they are held
        at; may be shared by all lanes.
      interpreted: as of ``row_kernel``.

    Returns:
      Where the lanes ended: deviations, largest error, updates.
    """
    n_bus, lanes, dtype = len(plan.order), num_lanes((equations, x)), x.dtype
    out = _Out(
        jax.ShapeDtypeStruct((2, n_bus, lanes), dtype),
        jax.ShapeDtypeStruct((1, lanes), dtype),
        jax.ShapeDtypeStruct((1, lanes), np.int32),
    )
    network = given_rows(equations.adm, equations.current, equations.hold)
    end = row_kernel(
        functools.partial(_iterate, plan, stopping),
        _Arrays(network, equations.given, x),
        tables_of(plan),
        out,
        _Work(jax.ShapeDtypeStruct((2, n_bus), dtype), blocks_of(plan, dtype)),
        name=f"newton_{n_bus}_buses",
        interpreted=interpreted,
    )
    return end.d, end.largest[None], end.updates[None]


def _iterate(
    plan: SolverPlan, stopping: Stopping, arrays: _Arrays, tables: Tables, out: _Out, work: _Work
) -> None:
    n_bus, n, polar, dtype = len(plan.order), plan.n_unknown, bool(plan.is_pv.any()), work.x.dtype
    buses = BusRows(polar, arrays.network, tables, work.blocks, lambda i: _deviation(work.x[i]))

    def begin(i: jax.Array, _: tuple[()]) -> tuple[()]:
        work.x[i] = arrays.start[i]
        return ()

    def forth(i: jax.Array, largest: Row) -> Row:
        x = work.x[i]
        d = _deviation(x)
        sent = buses.sent(i, d)
        given = arrays.injections[i], buses.drawn(i), buses.holds(i)
        largest, rhs = of_rows(functools.partial(_error, polar))(largest, x, d, sent, *given)
        buses.eliminate(i, d, sent, rhs)
        return largest

    def turn(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        going, _, updates = carry
        (largest,) = loop(0, n, forth, filled((), jnp.zeros((), dtype)))
        largest = jnp.where(largest < jnp.inf, largest, jnp.nan)
        moves = (largest > stopping.tol) & (updates < stopping.num_iters)
        moves = moves if out.d.inside is None else moves & out.d.inside

        def back(k: jax.Array, _: tuple[()]) -> tuple[()]:
            i = n - 1 - k
            change = solve_back(tables.slots, work.blocks, i, buses.lower)
            work.x[i] = of_rows(functools.partial(_moved, polar))(work.x[i], change, filled((), moves))
            return ()

        # Triton (jax 0.10.2) has no reduction of booleans, and fails where a loop's condition reads what its
        # body does not.
        going = going * moves.astype(np.int32).max()
        jax.lax.cond(going > 0, lambda: loop(0, n, back, ()), lambda: ())
        return going, largest, updates + moves.astype(np.int32)

    def end(i: jax.Array, _: tuple[()]) -> tuple[()]:
        out.d[i] = _deviation(work.x[i])
        return ()

    loop(0, n_bus, begin, ())
    carry = jnp.int32(1), jnp.zeros(LANES, dtype), jnp.zeros(LANES, np.int32)
    _, largest, updates = jax.lax.while_loop(lambda carry: carry[0] > 0, turn, carry)
    out.largest[0], out.updates[0] = filled((), largest), filled((), updates)
    loop(0, n_bus, end, ())


@of_rows
def _deviation(x: jax.Array) -> jax.Array:
    return jnp.stack(polar_deviation(x[0], x[1]))


def _error(
    polar: bool,
    largest: jax.Array,
    x: jax.Array,
    d: jax.Array,
    sent: jax.Array,
    given: jax.Array,
    drawn: jax.Array | None,
    holds: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    """Largest error so far, (1,), and the right-hand side of a bus."""
    v = voltage(d)
    held = None if holds is None else column([False, True], 0, 2) & holds[None]
    error = asked_at(v, sent, drawn, x[1], held) - given
    return jnp.maximum(largest, largest_size(error)[0]), to_system(polar, v, error)


def _moved(polar: bool, x: jax.Array, change: jax.Array, moves: jax.Array) -> jax.Array:
    """Angle and excess after an update."""
    over_v = phasor.inverse(voltage(jnp.stack(polar_deviation(x[0], x[1]))))
    relative = jnp.flip(change, 0) if polar else phasor.multiply(over_v, change)
    return jnp.where(moves[None], stepped(x, relative), x)
