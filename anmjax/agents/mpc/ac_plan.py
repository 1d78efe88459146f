"""Plans by the AC power flow, reactive power among the decisions: one program in stages after the other.

    minimise    sum_i gamma^(i-1) ( P of all generators that are not renewable, the slack among them
                + lambda (sum of voltage violations, and of max(0, |S| - beta rating) over branches) )
    subject to  the (P, Q) of every device in its region, and charges as in ``dc_plan``.

Around the plan so far, a*, the network's limits are those of ``network_limits``, and the slack's power is

    P(a*) + P'(a*) (a - a*) + sum_branches g |U'(a*) (a - a*)|^2,

U the voltage across the series admittance g + jb of a branch: losses are g |U|^2, and the curvature of U is
left out, as in the method of Gauss and Newton. A flow well beyond its rating costs by |S| to second order.
What comes out is judged by the AC power flow, and the best plan of all is kept.

Reference: Nocedal & Wright, "Numerical Optimization", 2nd ed. (2006), ch. 18 (sequential quadratic
programming) and sec. 10.3 (Gauss-Newton); Henry & Ernst, "Gym-ANM", Energy and AI 5 (2021), sec. 5.1.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.agents.mpc.dc_plan import NEGLIGIBLE, Plan, Program, Situation, as_plan, situation_of
from anmjax.grid import tables
from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.varying import as_varying
from anmjax.powerflow.branches import branch_powers
from anmjax.projection.controls import by_bus, by_device
from anmjax.projection.device_region import DeviceLimits, region_inequalities
from anmjax.projection.network_limits import (
    Limited,
    buses_but_the_slack,
    by_direction,
    deviations,
    inscribed,
    limit_rows,
    limited,
)
from anmjax.qp.stages import StagedProgram, StagedSolution, solve_staged

# Error of a program that converged; the AC power flow differs from its linearisation by more.
TOL = 1e-3
# p.u., by which the plan keeps away from the limits of voltages.
VOLTAGE_MARGIN = 1e-3
# A vertex in the direction of S itself, so that it stays where it is best there.
POLYGON = inscribed(-50, -18, -5, 0, 5, 18, 50)
# Share of a rating above which a flow is well beyond it.
BEYOND = 1.01


@struct.dataclass
class ACProgram:
    """What does not depend on the plan so far; variables in units of their range, as in ``Program``.

    Variables of a stage: P of the controlled devices, Q of them, e of the storage units.
    """

    network: Network
    dc: Program
    rows: jax.Array  # (m, n) the devices' limits, first P of the generators <= their potential
    bound: jax.Array  # (m,) but for the potential's
    unit: jax.Array  # (n,) p.u., unit of the variables
    offset: jax.Array  # (n,) p.u., what a variable of zero stands for
    turns: jax.Array  # (n_controlled,) bool, whether a device can change Q
    cost: jax.Array  # (n_controlled,) of P of the controlled devices
    lamb: jax.Array  # () cost of a p.u. of violation
    rating: jax.Array  # (n_branch,) p.u., flows free of cost
    scale: jax.Array  # () p.u., unit of the objective


class _Quantities(NamedTuple):
    """What the AC power flow of a stage decides."""

    limited: Limited
    slack: jax.Array  # () p.u., P of the slack device
    drop: jax.Array  # (2, n_branch) p.u., sqrt(g) times the voltage across each branch's series admittance


class _Found(NamedTuple):
    """A plan and what it costs by the AC power flow."""

    x: jax.Array  # (n, N)
    cost: jax.Array  # () p.u., infinite where some stage has no power flow
    converged: jax.Array  # () bool, of the program it comes from


def ac_program_of(net: Network, dc: Program, lamb: float, margin: float) -> ACProgram:
    """Builds the constant part, on the host."""
    controlled, n_s = dc.controls.devices, len(net.storage)
    n_c = len(controlled)
    limits = DeviceLimits(
        *(np.asarray(getattr(net, name), float)[controlled] for name in DeviceLimits._fields)
    )
    q_range = np.asarray(limits.q_max - limits.q_min, float)
    q_range = np.where(np.isfinite(q_range) & (q_range > 0), q_range, 1.0)
    p_range, e_range = np.asarray(dc.p_range, float), np.asarray(dc.e_range, float)
    p_min = np.asarray(dc.p_min, float)

    # P and e: the first rows of the DC program.
    dc_rows = np.asarray(dc.matrix[: 2 * n_c + 2 * n_s, :, 0], float)
    of_p = np.concatenate([dc_rows[:, :n_c], np.zeros((len(dc_rows), n_c)), dc_rows[:, n_c:]], 1)
    # Q: the last six inequalities of each device's region.
    a_p, a_q, bound = (
        np.asarray(x, float)[2:] for x in region_inequalities(limits, limits.p_min, limits.p_max)
    )
    eye = np.eye(n_c)
    of_q = np.concatenate(
        [(a_p * p_range)[..., None] * eye, (a_q * q_range)[..., None] * eye, np.zeros((*a_p.shape, n_s))], -1
    )[np.isfinite(bound)]
    room = (bound - a_p * p_min)[np.isfinite(bound)]
    size = np.abs(of_q).max(1, initial=NEGLIGIBLE)

    classical = np.array([net.device_kind[i] == tables.CLASSICAL for i in controlled], float)
    largest = p_range.max(initial=NEGLIGIBLE)
    dtype = net.dtype
    return ACProgram(
        network=jax.tree.map(jnp.asarray, net),
        dc=dc,
        rows=jnp.asarray(np.concatenate([of_p, of_q / size[:, None]]), dtype),
        bound=jnp.concatenate([dc.bound[: len(dc_rows)], jnp.asarray(room / size, dtype)]),
        unit=jnp.asarray(np.concatenate([p_range, q_range, e_range]), dtype),
        offset=jnp.asarray(np.concatenate([p_min, np.zeros(n_c + n_s)]), dtype),
        turns=jnp.asarray(limits.q_max > limits.q_min),
        cost=jnp.asarray(classical, dtype),
        lamb=jnp.asarray(lamb, dtype),
        rating=jnp.asarray(margin * np.asarray(net.rating, float), dtype),
        scale=jnp.asarray(largest * np.sqrt(max(1.0, lamb / largest)), dtype),
    )


def plan_ac(
    program: ACProgram,
    start: Plan,
    p_load: jax.Array,
    p_potential: jax.Array,
    soc: jax.Array,
    *,
    num_linearisations: int,
    num_iters: int,
) -> Plan:
    """The best of a plan and those that follow from it by one linearisation after the other, for one lane.

    Args:
      program: of the network.
      start: plan to begin from.
      p_load: (n_load, N) p.u., active power of the loads.
      p_potential: (n_generator, N) p.u., active power that the non-slack generators could give.
      soc: (n_storage,) p.u.h, present charge.
      num_linearisations: how many programs to solve.
      num_iters: interior point steps of each.

    Returns:
      The plan; its cost is infinite where some stage of every plan has no power flow.
    """
    at, n_c = situation_of(program.dc, p_load, p_potential, soc), len(program.turns)
    over_stages = functools.partial(jax.vmap, in_axes=(None, -1, -1), out_axes=-1)

    def closer(_: jax.Array, found: tuple[_Found, _Found]) -> tuple[_Found, _Found]:
        """A next plan, and the best one up to the last."""
        last, best = found
        here, slope, solved = over_stages(_linearised)(program.network, _powers(program, last.x), at.p_load)
        best = _better(best, last._replace(cost=_cost(program, last.x, here, solved)))
        step = _step(program, at, last.x, here, slope, num_iters)
        return _Found(last.x + step.x, jnp.full_like(last.cost, jnp.inf), step.converged), best

    none_yet = _Found(_variables(program, start, at.soc), jnp.array(jnp.inf, p_load.dtype), start.converged)
    none_yet = as_varying(none_yet, (program, start, at))
    last, best = jax.lax.fori_loop(0, num_linearisations, closer, (none_yet, none_yet))
    here, solved = over_stages(_quantities)(program.network, _powers(program, last.x), at.p_load)
    best = _better(best, last._replace(cost=_cost(program, last.x, here, solved)))
    q = _powers(program, best.x)[n_c:]
    of_dc = jnp.concatenate([best.x[:n_c], best.x[2 * n_c :]])
    return as_plan(program.dc, of_dc, q, at, best.cost, best.converged & jnp.isfinite(best.cost))


def _better(one: _Found, other: _Found) -> _Found:
    return jax.tree.map(lambda a, b: jnp.where(other.cost < one.cost, b, a), one, other)


def _powers(program: ACProgram, x: jax.Array) -> jax.Array:
    """P and Q of the controlled devices, (2 n_controlled, N) p.u., of the variables."""
    return (program.offset[:, None] + program.unit[:, None] * x)[: 2 * len(program.turns)]


def _variables(program: ACProgram, plan: Plan, soc: jax.Array) -> jax.Array:
    """The variables of a plan, (n, N)."""
    before = jnp.concatenate([soc[:, None], plan.soc[:, :-1]], 1)
    given = (before - plan.soc) / program.dc.delta_t
    return (jnp.concatenate([plan.p, plan.q, given]) - program.offset[:, None]) / program.unit[:, None]


def _quantities(net: Network, a: jax.Array, p_load: jax.Array) -> tuple[_Quantities, jax.Array]:
    """The AC power flow of a stage, and whether there is one.

    Args:
      net: network.
      a: (2 n_controlled,) p.u., P and Q.
      p_load: (n_load,) p.u.
    """
    d, solved = deviations(net, a, p_load)
    vm = phasor.magnitude(d + jnp.array([1, 0], d.dtype)[:, None])
    lost = sum(s[0].sum() for s in branch_powers(net, d)) + (net.g_shunt * vm * vm).sum()
    if net.current_load_bus:
        lost = lost + (net.p_current * vm[np.array(net.current_load_bus)]).sum()
    given = by_bus(net, by_device(net, p_load, a[: len(a) // 2]))
    if net.p_fixed is not None:
        given = given + net.p_fixed
    slack = lost - given[buses_but_the_slack(net)].sum()
    # U / t - U over the branches, t the tap.
    turn = jnp.stack([jnp.cos(net.shift), -jnp.sin(net.shift)]) / net.tap[None]
    v = d + jnp.array([1, 0], d.dtype)[:, None]
    start, end = (v[:, np.array(ends, int)] for ends in (net.from_bus, net.to_bus))
    conductance = net.in_service * net.r / (net.r * net.r + net.x * net.x)
    drop = jnp.sqrt(jnp.maximum(conductance, 0))[None] * (phasor.multiply(turn, start) - end)
    return _Quantities(limited(net, d), slack, drop), solved


def _linearised(net: Network, a: jax.Array, p_load: jax.Array) -> tuple[_Quantities, _Quantities, jax.Array]:
    """The AC power flow of a stage, its derivatives by ``a`` along a last axis, and whether there is one."""
    at, push, solved = jax.linearize(lambda a: _quantities(net, a, p_load), a, has_aux=True)
    each = as_varying(jnp.eye(len(a), dtype=a.dtype), a)
    return at, jax.vmap(push, out_axes=-1)(each), solved


def _cost(program: ACProgram, x: jax.Array, at: _Quantities, solved: jax.Array) -> jax.Array:
    """The objective by the AC power flow, () p.u., infinite where some stage has none."""
    p = _powers(program, x)[: len(program.cost)]
    stages = at.slack + program.cost @ p + program.lamb * _violation(program, at.limited).sum(0)
    return jnp.where(solved.all(), program.dc.discount @ stages, jnp.inf)


def _step(
    program: ACProgram, at: Situation, x: jax.Array, here: _Quantities, slope: _Quantities, num_iters: int
) -> StagedSolution:
    """The change of a plan that is best by the linearisation around it."""
    dc, net = program.dc, program.network
    n_c, (n_s, stages) = len(program.turns), at.high.shape
    unit = program.unit[None, : 2 * n_c, None]
    rows, room = jax.vmap(
        lambda at, slope: limit_rows(net, at, slope, VOLTAGE_MARGIN, program.rating, POLYGON),
        in_axes=-1,
        out_axes=-1,
    )(here.limited, slope.limited)
    beyond = phasor.magnitude(here.limited.s) > BEYOND * program.rating[:, None]
    price = _prices(program, beyond)
    # In units that leave neither a row nor its room far above one.
    rows, none = rows * unit, jnp.isinf(room) | jnp.isinf(price)
    size = jnp.maximum(jnp.abs(rows).max(1), jnp.where(none, 1, jnp.abs(room)))
    size = jnp.maximum(size, NEGLIGIBLE)
    rows, room = jnp.where(none[:, None], 0, rows / size[:, None]), jnp.where(none, 1, room / size)
    price = jnp.where(none, program.lamb, price) * size / program.scale

    bound = jnp.broadcast_to(program.bound[:, None], (len(program.bound), stages))
    bound = bound.at[: len(at.most)].set(at.most)
    drop = slope.drop.reshape(-1, *slope.drop.shape[-2:]) * unit
    curvature = 2 * jnp.einsum("kit,kjt->ijt", drop, drop, precision=jax.lax.Precision.HIGHEST)
    turning = _turning(program, here.limited, slope.limited, beyond)
    curvature = curvature + turning * unit * jnp.swapaxes(unit, 0, 1)
    gradient = slope.slack.at[:n_c].add(program.cost[:, None]) * unit[0]
    weight, no_e = dc.discount / program.scale, (0, n_s)
    turns = jnp.broadcast_to(program.turns[:, None], (n_c, stages))
    sums = jnp.cumsum(x[2 * n_c :], 1)
    return solve_staged(
        StagedProgram(
            P=weight[None, None] * jnp.pad(curvature, (no_e, no_e, (0, 0))),
            q=weight[None] * jnp.pad(gradient, (no_e, (0, 0))),
            free=jnp.concatenate([at.free[:n_c], turns, at.free[n_c:]]),
            G=jnp.concatenate(
                [
                    jnp.broadcast_to(program.rows[..., None], (*program.rows.shape, stages)),
                    jnp.pad(rows, ((0, 0), no_e, (0, 0))),
                ]
            ),
            h=jnp.concatenate([bound - program.rows @ x, room]),
            w=jnp.concatenate([jnp.full(bound.shape, jnp.inf, x.dtype), price * dc.discount[None]]),
            high=at.high - sums,
            low=at.low - sums,
        ),
        num_iters=num_iters,
        refinements=0,
        tol=TOL,
    )


def _prices(program: ACProgram, beyond: jax.Array) -> jax.Array:
    """What a p.u. of violation of each of the rows of ``limit_rows`` costs, (m, N); infinite: is no row.

    |S| a little beyond a rating exceeds two sides of the polygon, which share the price. Where it is well
    beyond, (n_branch, N), only the two next to S are rows, and ``_turning`` takes the place of the others.
    """
    stages, lamb = beyond.shape[1], program.lamb
    next_to_s = np.isclose(np.abs(POLYGON.normals), np.abs(POLYGON.normals).min())
    left_out = ~next_to_s[:, None, None] & beyond[None]
    of_sides = jnp.where(left_out, jnp.inf, lamb / 2).reshape(-1, stages)
    return jnp.concatenate([jnp.broadcast_to(lamb, (2 * (program.network.n_bus - 1), stages)), of_sides])


def _turning(program: ACProgram, at: Limited, slope: Limited, beyond: jax.Array) -> jax.Array:
    """Second derivatives of what flows well beyond their ratings cost, (2 n_controlled, 2 n_controlled, N).

    That of |S| is dS dS' / |S| of the part of dS across S.
    """
    size, _, across = by_direction(at.s, slope.s)
    weight = jnp.where(beyond, program.lamb / jnp.where(beyond, size, 1), 0)
    return jnp.einsum("bit,bt,bjt->ijt", across, weight, across, precision=jax.lax.Precision.HIGHEST)


def _violation(program: ACProgram, at: Limited) -> jax.Array:
    """By how much limits are exceeded, (n_bus - 1 + n_branch, N) p.u."""
    net = program.network
    others = buses_but_the_slack(net)
    high, low = net.v_max[others, None], net.v_min[others, None]
    voltage = jnp.maximum(at.vm - high, 0) + jnp.maximum(low - at.vm, 0)
    flow = jnp.maximum(phasor.magnitude(at.s) - program.rating[:, None], 0)
    return jnp.concatenate([voltage, flow])
