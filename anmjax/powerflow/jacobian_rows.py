"""Systems with the Jacobian, as ``jacobian.py`` has them, in one kernel of a GPU, one lane a thread."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

from anmjax.lanes.blocks import num_lanes
from anmjax.lanes.row_kernel import loop, of_rows, row_kernel
from anmjax.powerflow.admittance import Admittance
from anmjax.powerflow.bus_rows import BusRows, Given, Tables, blocks_of, given_rows, tables_of
from anmjax.powerflow.elimination.plan import SolverPlan
from anmjax.powerflow.elimination.rows import Blocks, solve_back
from anmjax.powerflow.equations import voltage
from anmjax.powerflow.jacobian import of_system, of_transposed_system, to_system, to_transposed_system


class _Arrays(NamedTuple):
    network: Given
    d: Any  # (2, n_bus, *batch) p.u., voltage deviations
    rhs: Any  # (2, n_unknown, *batch)


def voltage_change_rows(
    plan: SolverPlan,
    transposed: bool,
    adm: Admittance,
    d: jax.Array,
    rhs: jax.Array,
    current: jax.Array | None,
    hold: jax.Array | None,
    *,
    interpreted: bool = False,
) -> jax.Array:
    """``jacobian.voltage_change`` or its transpose, at voltages of every lane.

    Args:
      plan: solver plan, of two neighbouring unknown buses at least.
      transposed: which of the two.
      adm: bus admittance matrix.
      d: (2, n_bus, *batch) p.u., voltage deviations; here and below with one axis of lanes.
      rhs: (2, n_unknown, *batch).
      current: as of ``Equations``.
      hold: as of ``Equations``.
      interpreted: as of ``row_kernel``.

    Returns:
      (2, n_unknown, lanes).
    """
    arrays = _Arrays(given_rows(adm, current, hold), d, rhs)
    x: jax.Array = row_kernel(
        functools.partial(_solve, plan, transposed),
        arrays,
        tables_of(plan),
        jax.ShapeDtypeStruct((2, plan.n_unknown, num_lanes(arrays)), rhs.dtype),
        blocks_of(plan, rhs.dtype, transposed=transposed),
        name=f"jacobian_{len(plan.order)}_buses" + "_transposed" * transposed,
        interpreted=interpreted,
    )
    return x


def _solve(
    plan: SolverPlan, transposed: bool, arrays: _Arrays, tables: Tables, out: Any, blocks: Blocks
) -> None:
    n, polar = plan.n_unknown, bool(plan.is_pv.any())
    buses = BusRows(polar, arrays.network, tables, blocks, lambda i: arrays.d[i])
    begin, end = (to_transposed_system, of_transposed_system) if transposed else (to_system, of_system)

    def at_voltage(fn: Any, d: jax.Array, x: jax.Array) -> jax.Array:
        changed: jax.Array = fn(polar, voltage(d), x)
        return changed

    def forth(i: jax.Array, _: tuple[()]) -> tuple[()]:
        d = arrays.d[i]
        rhs = of_rows(functools.partial(at_voltage, begin))(d, arrays.rhs[i])
        buses.eliminate(i, d, buses.sent(i, d), rhs)
        return ()

    def back(k: jax.Array, _: tuple[()]) -> tuple[()]:
        i = np.int32(n - 1) - k
        x = solve_back(tables.slots, blocks, i, buses.lower)
        out[i] = of_rows(functools.partial(at_voltage, end))(arrays.d[i], x)
        return ()

    loop(0, n, forth, ())
    loop(0, n, back, ())
