"""The equations of a bus and the Jacobian's blocks around it, in rows of a kernel, one lane a thread."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.lanes import phasor
from anmjax.lanes.row_kernel import Row, filled, loop, of_rows
from anmjax.powerflow.admittance import Admittance
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.rows import Blocks, Slots, Table, eliminate, plan_slots
from anmjax.powerflow.equations import column, edges_of, voltage
from anmjax.powerflow.jacobian import (
    conjugating,
    current_diagonal,
    load_blocks,
    over_square,
    polar_diagonal,
    polar_edges,
    sent_along,
)


class Tables(NamedTuple):
    """What the loops go through."""

    slots: Slots
    edge_ends: Table  # (n_bus + 1,) where the edges of each bus begin and end
    edge: Table  # (n_edge,) edges by their tails
    head: Table  # (n_edge,) their heads
    holds: Table  # (n_unknown,) 1 at PV buses


class Given(NamedTuple):
    """What the Jacobian is made of beside the voltages, of every lane; ``Rows`` in a kernel."""

    adm: Admittance  # with one edge more, of zeros, for fills
    current: Any | None  # as of ``Equations``
    hold: Any | None


@functools.lru_cache(maxsize=256)
def tables_of(plan: SolverPlan) -> Tables:
    """The tables of a plan."""
    order, ends = edges_of(plan).by_tail
    head = plan.edge_head[order].astype(np.int32)
    return Tables(plan_slots(plan), ends, order, head, plan.is_pv.astype(np.int32))


def given_rows(adm: Admittance, current: jax.Array | None, hold: jax.Array | None) -> Given:
    """What kernels are given of a network, in the plan's numbering."""
    nothing = jnp.zeros((2, 1, *adm.edge.shape[2:]), adm.edge.dtype)
    return Given(adm._replace(edge=jnp.concatenate([adm.edge, nothing], 1)), current, hold)


def blocks_of(plan: SolverPlan, dtype: Any, *, transposed: bool = False) -> Blocks:
    """Shapes of what the elimination of a plan leaves behind."""
    slots, n = plan_slots(plan), plan.n_unknown
    block = jax.ShapeDtypeStruct((2, 2, len(slots.pivot)), dtype)
    return Blocks(
        half=jax.ShapeDtypeStruct((2, n), dtype),
        upper=block,
        lower=block if slots.pairs is not None or plan.is_pv.any() else None,
        inverse=jax.ShapeDtypeStruct((2, 2, n), dtype) if transposed else None,
    )


@dataclasses.dataclass(frozen=True)
class BusRows:
    """The buses of a kernel."""

    polar: bool  # the Jacobian is of the second form, with PV buses
    given: Given
    tables: Tables
    blocks: Blocks
    deviation: Callable[[jax.Array], Row]  # V - 1 of a bus, (2, 1)

    def sent(self, i: jax.Array, d: Row) -> Row:
        """Power that bus ``i`` sends into the network, (2, 1)."""
        adm, tables = self.given.adm, self.tables

        def edge(k: jax.Array, current: Row) -> Row:
            return _with_edge(current, adm.edge[tables.edge[k]], d, self.deviation(tables.head[k]))

        current = filled((2,), jnp.zeros_like(d[0, 0]))
        current = loop(tables.edge_ends[i], tables.edge_ends[i + 1], edge, current)
        return _sent(d, current, adm.row[i])

    def holds(self, i: jax.Array) -> Row | None:
        """Whether bus ``i`` holds its voltage, (1,); None: no bus does."""
        if not self.polar:
            return None
        holds = filled((), self.tables.holds[i] != 0)
        return holds if self.given.hold is None else holds & self.given.hold[i]

    def drawn(self, i: jax.Array) -> Row | None:
        """What loads of constant current draw at bus ``i`` at 1 p.u., (2, 1); None: there is none."""
        return None if self.given.current is None else self.given.current[i]

    def eliminate(self, i: jax.Array, d: Row, sent: Row, rhs: Row) -> None:
        """Eliminates bus ``i`` at its deviation, the power that it sends and a right-hand side."""
        diagonal = _diagonal(self.given.adm.diagonal[i], d, sent, self.drawn(i), self.holds(i))
        edges = functools.partial(self._edges, i, d)
        eliminate(self.tables.slots, self.blocks, i, diagonal, rhs, edges, self.lower)

    def lower(self, s: jax.Array) -> Row:
        """Block J[a, i] of a slot, (2, 2, 1), where it does not depend on the voltages."""
        return of_rows(conjugating)(self.given.adm.edge[self.tables.slots.back[s]])

    def _edges(self, i: jax.Array, d: Row, s: jax.Array) -> tuple[Row, Row]:
        """Blocks J[i, a] and J[a, i] of a slot of bus ``i``."""
        edge, slots = self.given.adm.edge, self.tables.slots
        there = edge[slots.there[s]]
        if not self.polar:
            return of_rows(conjugating)(there), self.lower(s)
        a = slots.target[s]
        held = self.holds(i), self.holds(a)
        return _polar_blocks(d, self.deviation(a), there, edge[slots.back[s]], *held)


@of_rows
def _with_edge(current: jax.Array, y: jax.Array, d: jax.Array, d_head: jax.Array) -> jax.Array:
    return current + phasor.multiply(y, d_head - d)


@of_rows
def _sent(d: jax.Array, current: jax.Array, row: jax.Array) -> jax.Array:
    v = voltage(d)
    return phasor.multiply(v, phasor.conj(current + phasor.multiply(row, v)))


@of_rows
def _diagonal(
    diagonal: jax.Array,
    d: jax.Array,
    sent: jax.Array,
    drawn: jax.Array | None,
    holds: jax.Array | None,
) -> jax.Array:
    v = voltage(d)
    if holds is not None:
        return polar_diagonal(diagonal, v, sent, drawn, column([False, True], 0, 3) & holds[None, None])
    block = current_diagonal(diagonal, over_square(sent, v))
    return block if drawn is None else block + load_blocks(drawn, v)


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
