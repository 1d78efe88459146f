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
from anmjax.powerflow.chord import End
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.rows import Blocks, Slots, Table, eliminate, plan_slots, solve_back
from anmjax.powerflow.equations import (
    Equations,
    asked_at,
    column,
    edges_of,
    largest_size,
    polar_deviation,
    voltage,
)
from anmjax.powerflow.jacobian import (
    conjugating,
    current_diagonal,
    load_blocks,
    over_square,
    polar_diagonal,
    polar_edges,
    sent_along,
)
from anmjax.powerflow.newton import Stopping, stepped


class _Tables(NamedTuple):
    """What the loops go through."""

    slots: Slots
    edge_ends: Table  # (n_bus + 1,) where the edges of each bus begin and end
    edge: Table  # (n_edge,) edges by their tails
    head: Table  # (n_edge,) their heads
    holds: Table  # (n_unknown,) 1 at PV buses


class _Arrays(NamedTuple):
    """What is given of every lane."""

    equations: Equations
    start: jax.Array  # (2, n_bus, *batch) angle and excess to start from, and at slacks those held


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
    plan: SolverPlan, stopping: Stopping, equations: Equations, x: jax.Array, *, interpret: bool = False
) -> End:
    """Newton's method from ``x`` on.

    Args:
      plan: solver plan, of two neighbouring unknown buses at least.
      stopping: when to stop.
      equations: those of a batch with one axis of lanes.
      x: (2, n_bus, lanes) angle in rad and excess in p.u. to start from, at slacks those that they are held
        at; may be shared by all lanes.
      interpret: as of ``row_kernel``.

    Returns:
      Where the lanes ended: deviations, largest error, updates.
    """
    slots, dtype = plan_slots(plan), x.dtype
    lanes, n_bus, num_slots = num_lanes((equations, x)), len(plan.order), len(slots.pivot)
    order, ends = edges_of(plan).by_tail
    tables = _Tables(slots, ends, order, plan.edge_head[order].astype(np.int32), plan.is_pv.astype(np.int32))
    edge = equations.adm.edge
    nothing = jnp.zeros((2, 1, *edge.shape[2:]), edge.dtype)  # the blocks of fills
    adm = equations.adm._replace(edge=jnp.concatenate([edge, nothing], 1))
    out = _Out(
        jax.ShapeDtypeStruct((2, n_bus, lanes), dtype),
        jax.ShapeDtypeStruct((1, lanes), dtype),
        jax.ShapeDtypeStruct((1, lanes), np.int32),
    )
    block = jax.ShapeDtypeStruct((2, 2, num_slots), dtype)
    lower = block if slots.pairs is not None or plan.is_pv.any() else None
    half = jax.ShapeDtypeStruct((2, plan.n_unknown), dtype)
    work = _Work(jax.ShapeDtypeStruct((2, n_bus), dtype), Blocks(half, block, lower))
    end = row_kernel(
        functools.partial(_iterate, plan, stopping),
        _Arrays(equations._replace(adm=adm, further=None), x),
        jax.tree.map(jnp.asarray, tables),
        out,
        work,
        name=f"newton_{n_bus}_buses",
        interpret=interpret,
    )
    return end.d, end.largest[None], end.updates[None]


def _iterate(
    plan: SolverPlan, stopping: Stopping, arrays: _Arrays, tables: _Tables, out: _Out, work: _Work
) -> None:
    n_bus, n = len(plan.order), plan.n_unknown

    def begin(i: jax.Array, _: tuple[()]) -> tuple[()]:
        work.x[i] = arrays.start[i]
        return ()

    def turn(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        going, _, updates = carry
        bus = functools.partial(_bus, plan, arrays.equations, tables, work)
        (largest,) = loop(0, n, bus, filled((), jnp.zeros((), dtype)))
        largest = jnp.where(largest < jnp.inf, largest, jnp.nan)
        moves = (largest > stopping.tol) & (updates < stopping.num_iters)
        moves = moves if out.d.inside is None else moves & out.d.inside

        def back(k: jax.Array, _: tuple[()]) -> tuple[()]:
            i = n - 1 - k
            change = solve_back(tables.slots, work.blocks, i)
            work.x[i] = _moved(work.x[i], change, filled((), moves), bool(plan.is_pv.any()))
            return ()

        # Triton (jax 0.10.2) has no reduction of booleans, and fails where a loop's condition reads what its
        # body does not.
        going = going * moves.astype(np.int32).max()
        jax.lax.cond(going > 0, lambda: loop(0, n, back, ()), lambda: ())
        return going, largest, updates + moves.astype(np.int32)

    def end(i: jax.Array, _: tuple[()]) -> tuple[()]:
        out.d[i] = _deviation(work.x[i])
        return ()

    dtype = work.x.ref.dtype
    loop(0, n_bus, begin, ())
    carry = jnp.int32(1), jnp.zeros(LANES, dtype), jnp.zeros(LANES, np.int32)
    _, largest, updates = jax.lax.while_loop(lambda carry: carry[0] > 0, turn, carry)
    out.largest[0], out.updates[0] = filled((), largest), filled((), updates)
    loop(0, n_bus, end, ())


def _bus(
    plan: SolverPlan, equations: Equations, tables: _Tables, work: _Work, i: jax.Array, largest: Row
) -> Row:
    """Evaluates the equations of bus ``i``, and eliminates it; the largest error so far, (1,)."""
    adm, slots, polar = equations.adm, tables.slots, bool(plan.is_pv.any())
    x = work.x[i]
    d = _deviation(x)

    def edge(k: jax.Array, current: Row) -> Row:
        return _with_edge(current, adm.edge[tables.edge[k]], d, _deviation(work.x[tables.head[k]]))

    def holds(i: jax.Array) -> Row | None:
        """Whether a bus holds its voltage, (1,)."""
        if not polar:
            return None
        holds = filled((), tables.holds[i] != 0)
        return holds if equations.hold is None else holds & equations.hold[i]

    def blocks(s: jax.Array) -> tuple[Row, Row]:
        there, back = adm.edge[slots.there[s]], adm.edge[slots.back[s]]
        if not polar:
            return of_rows(conjugating)(there), of_rows(conjugating)(back)
        a = slots.target[s]
        return _polar_blocks(d, _deviation(work.x[a]), there, back, holds(i), holds(a))

    def back(s: jax.Array) -> Row:
        return of_rows(conjugating)(adm.edge[slots.back[s]])

    current = loop(tables.edge_ends[i], tables.edge_ends[i + 1], edge, filled((2,), jnp.zeros_like(x[0, 0])))
    drawn = None if equations.current is None else equations.current[i]
    own = adm.row[i], adm.diagonal[i], equations.given[i], drawn, holds(i)
    largest, diagonal, rhs = of_rows(functools.partial(_equation, polar))(largest, x, d, current, *own)
    eliminate(slots, work.blocks, i, diagonal, rhs, blocks, back)
    return largest


def _equation(
    polar: bool,
    largest: jax.Array,
    x: jax.Array,
    d: jax.Array,
    current: jax.Array,
    row: jax.Array,
    diagonal: jax.Array,
    given: jax.Array,
    drawn: jax.Array | None,
    holds: jax.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Largest error so far, diagonal block of the Jacobian and right-hand side of a bus."""
    v = voltage(d)
    sent = phasor.multiply(v, phasor.conj(current + phasor.multiply(row, v)))
    held = None if holds is None else column([False, True], 0, 2) & holds[None]
    error = asked_at(v, sent, drawn, x[1], held) - given
    largest = jnp.maximum(largest, largest_size(error)[0])
    if held is not None:
        return largest, polar_diagonal(diagonal, v, sent, drawn, held[:, None]), error
    block = current_diagonal(diagonal, over_square(sent, v))
    block = block if drawn is None else block + load_blocks(drawn, v)
    return largest, block, phasor.multiply(phasor.inverse(v), error)


@of_rows
def _deviation(x: jax.Array) -> jax.Array:
    return jnp.stack(polar_deviation(x[0], x[1]))


@of_rows
def _with_edge(current: jax.Array, y: jax.Array, d: jax.Array, d_head: jax.Array) -> jax.Array:
    return current + phasor.multiply(y, d_head - d)


@of_rows
def _polar_blocks(
    d: jax.Array,
    d_head: jax.Array,
    there: jax.Array,
    back: jax.Array,
    holds: jax.Array,
    head_holds: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    second = column([False, True], 0, 3)
    along, against = sent_along(voltage(d), voltage(d_head), there, back)
    return (
        jnp.where(second & holds[None, None], 0, polar_edges(along)),
        jnp.where(second & head_holds[None, None], 0, polar_edges(against)),
    )


def _moved(x: Row, change: Row, moves: Row, polar: bool) -> Row:
    """Angle and excess after an update."""

    def run(x: jax.Array, change: jax.Array, moves: jax.Array) -> jax.Array:
        v = voltage(jnp.stack(polar_deviation(x[0], x[1])))
        relative = jnp.flip(change, 0) if polar else phasor.multiply(phasor.inverse(v), change)
        return jnp.where(moves[None], stepped(x, relative), x)

    return of_rows(run)(x, change, moves)
