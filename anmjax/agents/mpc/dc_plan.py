"""gym-anm's N-stage DC optimal power flow as a program in stages.

In every stage i = 1..N, with loads and the generators' potential at their forecast:

    minimise    sum_i gamma^(i-1) ( P of all generators that are not renewable, the slack among them
                + lambda sum_branches max(0, |P_ij| - beta rating) )
    subject to  the DC power flow,     |theta| <= pi,
                p_min <= P <= min(p_max, potential) of generators,     p_min <= P <= p_max of storage units,
                soc_i = soc_(i-1) + dt (eff charge - discharge / eff) within limits, P = discharge - charge.

Angles are eliminated by ``dc_model``. What a storage unit loses in a step, e = (soc_(i-1) - soc_i) / dt,
takes the place of charge and discharge: some pair of the two, burning energy or not, makes every e with
e >= P / eff and e >= eff P, and no other. Sums of e are then all that couples the stages.

Reference: Henry & Ernst, "Gym-ANM", Energy and AI 5 (2021), sec. 5.1; gym-anm 2.0.1, agents/mpc.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.agents.mpc.dc_model import DCModel, dc_model
from anmjax.grid import tables
from anmjax.grid.network import Network
from anmjax.lanes.empty import made_here
from anmjax.projection.control_layout import ControlLayout
from anmjax.qp.stages import StagedProgram, solve_staged

# By bytes of a number: refinements of a step's linear systems, and the error of a plan that converged.
REFINEMENTS, TOL = {8: 1, 4: 2}, {8: 1e-6, 4: 1e-3}
# A row of the program below this share of the largest is no row.
NEGLIGIBLE = 1e-9


@struct.dataclass
class Plan:
    """What is planned for the coming N steps, p.u."""

    p: jax.Array  # (n_controlled, N) active power of the controlled devices
    q: jax.Array  # (n_controlled, N) reactive power of them
    soc: jax.Array  # (n_storage, N) p.u.h, state of charge at the end of every step
    cost: jax.Array  # () p.u., the objective, by the AC power flow if the plan is
    converged: jax.Array  # () bool
    controls: ControlLayout = struct.field(pytree_node=False)

    @property
    def p_generators(self) -> jax.Array:
        """(n_generator, N) active power of the non-slack generators."""
        return self.p[..., self.controls.kinds["generators"], :]

    @property
    def q_generators(self) -> jax.Array:
        """(n_generator, N) reactive power of the non-slack generators."""
        return self.q[..., self.controls.kinds["generators"], :]

    @property
    def p_storage(self) -> jax.Array:
        """(n_storage, N) active power of the storage units."""
        return self.p[..., self.controls.kinds["storage"], :]

    @property
    def q_storage(self) -> jax.Array:
        """(n_storage, N) reactive power of the storage units."""
        return self.q[..., self.controls.kinds["storage"], :]


@struct.dataclass
class Program:
    """The program but for the forecasts and the charge; variables in units of their range.

    Variables of a stage: P of the controlled devices, e of the storage units.
    """

    matrix: jax.Array  # (m, n, 1) rows of G
    price: jax.Array  # (m, 1) cost of a unit of violation in the first stage, infinite where hard
    bound: jax.Array  # (m,) h, but for what the loads give it
    by_load: jax.Array  # (m, n_load) what a load's power takes from h
    gradient: jax.Array  # (n,) of the objective in the first stage
    load_cost: jax.Array  # (n_load,) p.u. per p.u., of the objective
    constant: jax.Array  # () p.u., of the objective, a stage
    idle: tuple[jax.Array, jax.Array, jax.Array]  # by_load, bound, price of flows that only loads make
    discount: jax.Array  # (N,)
    scale: jax.Array  # () p.u., unit of the objective
    p_load: tuple[jax.Array, jax.Array]  # (n_load,) p.u., limits
    p_min: jax.Array  # (n_controlled,) p.u.
    p_range: jax.Array  # (n_controlled,) p.u., unit of the variables
    p_max: jax.Array  # (n_generator,) p.u.
    e_range: jax.Array  # (n_storage,) p.u., unit of the variables
    soc: tuple[jax.Array, jax.Array]  # (n_storage,) p.u.h, limits
    eff: jax.Array  # (n_storage,)
    moves: jax.Array  # (2 n_storage,) bool, whether a unit can change P, and e
    delta_t: jax.Array  # () h
    controls: ControlLayout = struct.field(pytree_node=False)


class _Devices(NamedTuple):
    """The devices on the host, p.u.; by device id unless said."""

    low: np.ndarray  # (n_device,) least P
    high: np.ndarray  # (n_device,) largest P
    controls: ControlLayout
    p_range: np.ndarray  # (n_controlled,) unit of the variables P
    e_range: np.ndarray  # (n_storage,) unit of the variables e
    eff: np.ndarray  # (n_storage,)
    soc: tuple[np.ndarray, np.ndarray]  # (n_storage,) p.u.h, limits

    @property
    def free(self) -> np.ndarray:
        """(n_controlled,) positions of the devices that are planned for."""
        return self.controls.devices


class _Row(NamedTuple):
    """G x <= bound - by_load @ p_load, or what a violation costs."""

    G: np.ndarray  # (n,)
    bound: float
    price: float  # of a unit of violation, infinite where hard
    by_load: np.ndarray  # (n_load,)


def program_of(
    net: Network, delta_t: float, lamb: float, gamma: float, stages: int, margin: float
) -> Program:
    """Builds the program's constant part, on the host in float64."""
    if not net.generators and not net.storage:
        raise ValueError("the network has neither generators nor storage units: there is nothing to plan")
    model, own, loads = dc_model(net), _devices_of(net, delta_t), np.array(net.loads, int)
    of_generators, of_storage = own.controls.kinds["generators"], own.controls.kinds["storage"]
    classical = [net.device_kind[i] == tables.CLASSICAL for i in own.free]
    cost = model.slack[own.free] + np.array(classical, float)
    gradient = np.concatenate([cost * own.p_range, np.zeros(len(net.storage))])
    flows, idle = _flow_rows(net, model, own, lamb, margin)
    rows = [*_device_rows(own, len(loads)), *flows]
    # Prices of violations are up to thousands of times those of energy: the unit in the middle of the two.
    scale = np.abs(gradient).max(initial=0) or 1.0
    dearest = max((row.price for row in flows if np.isfinite(row.price)), default=0.0)
    scale = scale * np.sqrt(max(1.0, dearest / scale))
    dtype = net.dtype

    def array(x: Any) -> jax.Array:
        return jnp.asarray(x, dtype)

    return Program(
        matrix=array(np.stack([row.G for row in rows]))[..., None],
        price=array([row.price / scale for row in rows])[:, None],
        bound=array([row.bound for row in rows]),
        by_load=array(np.stack([row.by_load for row in rows])),
        gradient=array(gradient / scale),
        load_cost=array(model.slack[loads]),
        constant=array(cost @ own.low[own.free] + model.slack_fixed),
        idle=(
            array(np.array([row.by_load for row in idle]).reshape(len(idle), len(loads))),
            array([row.bound for row in idle]),
            array([row.price for row in idle]),
        ),
        discount=array(gamma ** np.arange(stages)),
        scale=array(scale),
        p_load=(array(own.low[loads]), array(own.high[loads])),
        p_min=array(own.low[own.free]),
        p_range=array(own.p_range),
        p_max=array(own.high[own.free[of_generators]]),
        e_range=array(own.e_range),
        soc=(array(own.soc[0]), array(own.soc[1])),
        eff=array(own.eff),
        moves=jnp.asarray(
            np.concatenate([(own.high > own.low)[own.free[of_storage]], own.soc[1] > own.soc[0]])
        ),
        delta_t=array(delta_t),
        controls=own.controls,
    )


def _devices_of(net: Network, delta_t: float) -> _Devices:
    controls, storage = ControlLayout.of(net), np.array(net.storage, int)
    low, high = np.asarray(net.p_min, float).copy(), np.asarray(net.p_max, float).copy()
    eff, soc_min, soc_max = (np.asarray(x, float)[storage] for x in (net.eff, net.soc_min, net.soc_max))
    # No storage unit can give more in a step than its capacity. What it can take has no such bound, as it may
    # burn energy: without a limit of its own it is given one that is out of the way.
    capacity = (soc_max - soc_min) / delta_t
    limits = np.abs(np.concatenate([low, high]))
    ample = 10 * (limits[np.isfinite(limits)].sum() + capacity.sum())
    low[storage] = np.maximum(low[storage], -ample)
    high[storage] = np.minimum(high[storage], capacity * eff)
    return _Devices(
        low=low,
        high=high,
        controls=controls,
        p_range=_unit((high - low)[controls.devices]),
        e_range=_unit(np.maximum(high[storage] / eff, np.minimum(-low[storage] * eff, capacity))),
        eff=eff,
        soc=(soc_min, soc_max),
    )


def _device_rows(own: _Devices, num_loads: int) -> list[_Row]:
    """Limits of P, first those of the generators from above, whose bound is the forecast's; then of e."""
    n_c = own.controls.n_controlled
    of_generators, of_storage = own.controls.kinds["generators"], own.controls.kinds["storage"]
    eye, storage = np.eye(n_c + len(own.eff)), own.free[of_storage]
    p, e, unit = eye[:n_c], eye[n_c:], own.p_range[of_storage]
    blocks = [
        (p[of_generators], np.zeros(len(p[of_generators]))),
        (p[of_storage], (own.high - own.low)[storage] / unit),
        (-p, np.zeros(n_c)),
    ]
    for factor in (1 / own.eff, own.eff):  # e >= factor P
        slope = p[of_storage] * (factor * unit / own.e_range)[:, None] - e
        blocks.append((slope, -factor * own.low[storage] / own.e_range))
    none = np.zeros(num_loads)
    return [_Row(G, h, np.inf, none) for rows, bounds in blocks for G, h in zip(rows, bounds, strict=True)]


def _flow_rows(
    net: Network, model: DCModel, own: _Devices, lamb: float, margin: float
) -> tuple[list[_Row], list[_Row]]:
    """Limits of the network that can be exceeded: rows that plans change, and rows that loads alone do."""
    loads, e = np.array(net.loads, int), np.zeros(len(own.eff))
    rows: list[_Row] = []
    idle: list[_Row] = []
    for sensitivity, fixed, limit, price in (
        (model.flow, model.flow_fixed, margin * np.asarray(net.rating, float), lamb),
        (model.angle, model.angle_fixed, np.full(net.n_bus, np.pi), np.inf),
    ):
        reach = _reach(sensitivity, own.low, own.high) + np.abs(fixed)
        for i in np.flatnonzero(~(reach <= limit)):
            G = np.concatenate([sensitivity[i, own.free] * own.p_range, e])
            largest = np.abs(G).max(initial=0)
            offset = fixed[i] + sensitivity[i, own.free] @ own.low[own.free]
            unit = max(largest, limit[i])  # so that neither the row nor its bound is far above one
            for sign in (1, -1):
                h, by_load = limit[i] - sign * offset, sign * sensitivity[i, loads]
                if largest > NEGLIGIBLE * np.abs(sensitivity[i]).max():
                    rows.append(_Row(sign * G / unit, h / unit, price * unit, by_load / unit))
                elif np.isfinite(price):
                    idle.append(_Row(G, h, price, by_load))
    return rows, idle


def _unit(size: np.ndarray) -> np.ndarray:
    """The size as a unit: 1 where it is none."""
    return np.where(np.isfinite(size) & (size > 0), size, 1.0)


def _reach(sensitivity: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The largest magnitude of each row that devices within their limits can make."""
    with np.errstate(invalid="ignore"):
        ends = [np.where(sensitivity == 0, 0, sensitivity * side[None]) for side in (low, high)]
    return np.maximum(np.maximum(*ends).sum(1), -np.minimum(*ends).sum(1))


class Situation(NamedTuple):
    """Forecasts and charge in the program's units."""

    p_load: jax.Array  # (n_load, N) p.u., within the loads' limits
    soc: jax.Array  # (n_storage,) p.u.h, within its limits
    most: jax.Array  # (n_generator, N) largest P of the generators
    free: jax.Array  # (n, N) bool, which variables have room to move
    high: jax.Array  # (n_storage, N) limits of the running sum of e
    low: jax.Array  # (n_storage, N)


def situation_of(program: Program, p_load: jax.Array, p_potential: jax.Array, soc: jax.Array) -> Situation:
    """What a plan starts from; arguments as of ``plan_dc``."""
    of_generators = program.controls.kinds["generators"]
    n_s, stages = len(soc), len(program.discount)
    p_load = jnp.clip(p_load, program.p_load[0][:, None], program.p_load[1][:, None])
    most = jnp.minimum(p_potential, program.p_max[:, None]) - program.p_min[of_generators, None]
    most = jnp.maximum(most, 0) / program.p_range[of_generators, None]
    # What has no room is no variable: a program needs an interior.
    moves = jnp.broadcast_to(program.moves[:, None], (2 * n_s, stages))
    soc = jnp.clip(soc, *program.soc)
    has_capacity, unit = program.moves[n_s:], program.delta_t * program.e_range
    high = jnp.where(has_capacity, (soc - program.soc[0]) / unit, 1)
    low = jnp.where(has_capacity, (soc - program.soc[1]) / unit, -1)
    high, low = (jnp.broadcast_to(x[:, None], (n_s, stages)) for x in (high, low))
    return Situation(p_load, soc, most, jnp.concatenate([most > 0, moves]), high, low)


def as_plan(
    program: Program, x: jax.Array, q: jax.Array, at: Situation, cost: jax.Array, converged: jax.Array
) -> Plan:
    """The plan of variables x, (n, N), and reactive powers, (n_controlled, N) p.u."""
    p = program.p_min[:, None] + program.p_range[:, None] * x[: program.controls.n_controlled]
    # Of what e may be, the least: no more energy is burnt than does not fit.
    p_storage = p[program.controls.kinds["storage"]]
    drawn = program.delta_t * jnp.maximum(p_storage / program.eff[:, None], p_storage * program.eff[:, None])

    def left(soc: jax.Array, drawn: jax.Array) -> tuple[jax.Array, jax.Array]:
        return (after := jnp.clip(soc - drawn, *program.soc)), after

    soc = jax.lax.scan(left, at.soc, drawn.T)[1].T
    return Plan(p, q, soc, cost, converged, program.controls)


def plan_dc(
    program: Program, p_load: jax.Array, p_potential: jax.Array, soc: jax.Array, num_iters: int
) -> Plan:
    """Plans from forecasts and a charge, for one lane.

    Args:
      program: of the network.
      p_load: (n_load, N) p.u., active power of the loads.
      p_potential: (n_generator, N) p.u., active power that the non-slack generators could give.
      soc: (n_storage,) p.u.h, present charge.
      num_iters: interior point steps.
    """
    program = made_here(program, p_load, p_potential, soc)
    size, at = p_load.dtype.itemsize, situation_of(program, p_load, p_potential, soc)
    h = program.bound[:, None] - program.by_load @ at.p_load
    solution = solve_staged(
        StagedProgram(
            P=None,
            q=program.gradient[:, None] * program.discount[None],
            free=at.free,
            G=program.matrix,
            h=h.at[: len(at.most)].set(at.most),
            w=program.price * program.discount[None],
            high=at.high,
            low=at.low,
        ),
        num_iters=num_iters,
        refinements=REFINEMENTS[size],
        tol=TOL[size],
    )
    idle_by_load, idle_bound, idle_price = program.idle
    over = jnp.maximum(idle_by_load @ at.p_load - idle_bound[:, None], 0)
    fixed = program.constant + program.load_cost @ at.p_load + idle_price @ over
    cost = solution.objective * program.scale + (program.discount * fixed).sum()
    no_q = jnp.zeros((len(program.p_min), len(program.discount)), p_load.dtype)
    return as_plan(program, solution.x, no_q, at, cost, solution.converged)
