"""One step of the grid simulator: set-points in, operating point out.

Loads follow their demand, generators and storage units take the reachable point nearest to their
set-point, storage charges or discharges, and the power flow settles the voltages. Arrays are
``[component, *batch]``, see ``anmjax.lanes.trailing``.

Reference: Henry & Ernst, "Gym-ANM", Energy and AI 5 (2021), sec. 3.4; gym-anm 2.0.1, simulator.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.records import GridState
from anmjax.envs.reward import Costs, costs
from anmjax.envs.voltage_control import Holders, VoltageControl, held_power_flow
from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.empty import made_here
from anmjax.lanes.gather import take, with_rows
from anmjax.lanes.schedule import Fit
from anmjax.lanes.trailing import differentiable_batch_trailing
from anmjax.powerflow.equations import voltage
from anmjax.powerflow.power_flow import DEFAULT_NUM_ITERS, DEFAULT_TOL, solve_power_flow
from anmjax.powerflow.solve import Solution
from anmjax.projection.control_layout import ControlLayout
from anmjax.projection.controls import Asked, by_device, injected, reach
from anmjax.projection.device_region import project_to_device_region
from anmjax.projection.flexible import Served, Waiting, serve
from anmjax.projection.settings import nominal_settings, reachable_settings, settled

# Arguments of a step, of which a core's L2 cache holds all that the step makes.
FIT = Fit(share=0.06, min_lanes=288)


class Setpoints(NamedTuple):
    """What drives one step, p.u."""

    p_load: jax.Array  # (n_load, *batch) demand, negative
    p_potential: jax.Array  # (n_generator, *batch) P the generators could give
    p: jax.Array  # (n_controlled, *batch) of the controlled devices, see ``ControlLayout``
    q: jax.Array  # (n_controlled, *batch)
    settings: jax.Array | None = None  # (n_setting, *batch) of the network; None: it has none
    waiting: Waiting | None = None  # of loads that may wait; None: there is none


def setpoints_of(
    net: Network,
    p_load: jax.Array,
    p_potential: jax.Array,
    asked: Asked,
    owed: jax.Array | None,
    aux: jax.Array,
) -> Setpoints:
    """What drives a step of one lane.

    Args:
      net: network.
      p_load: (n_load,) p.u., demand.
      p_potential: (n_generator,) p.u., P the generators could give.
      asked: what is asked for.
      owed: (n_flexible,) p.u.h, to loads that may wait; None: nothing.
      aux: (K,) auxiliary variables, first the hours that cars stay at the chargers.
    """
    waiting = None
    if asked.p_flexible is not None:
        owed = jnp.zeros_like(asked.p_flexible) if owed is None else owed
        waiting = Waiting(owed, aux[: len(net.chargers)], asked.p_flexible)
    return Setpoints(p_load, p_potential, asked.p, asked.q, asked.settings, waiting)


class Dispatch(NamedTuple):
    """What the devices do, p.u.; the slack device follows from the power flow."""

    p: jax.Array  # (n_device, *batch) 0 for the slack device
    q: jax.Array  # (n_device, *batch)
    soc: jax.Array  # (n_storage, *batch) p.u.h, after the step
    p_potential: jax.Array  # (n_generator, *batch) within the generators' bounds
    served: Served | None = None  # of loads that may wait; None: there is none


class Simulated(NamedTuple):
    """Outcome of one simulator step."""

    grid: GridState
    d: jax.Array  # (2, n_bus, *batch) p.u., voltage deviations V - 1
    cost: Costs


def dispatch(
    net: Network, soc: jax.Array, wanted: Setpoints, *, delta_t: float, control: VoltageControl | None = None
) -> Dispatch:
    """Reachable injections nearest to the set-points, and the charge they leave behind.

    With voltages held the nearest P alone counts of the generators that hold them.
    """
    loads, generators, storage = (np.array(x, int) for x in (net.loads, net.generators, net.storage))
    p_load = jnp.clip(wanted.p_load, take(net.p_min, loads), take(net.p_max, loads))
    served = None
    if wanted.waiting is not None:
        # What arrives may be more than can be drawn at once.
        which = net.flexible_loads
        served = serve(net, wanted.waiting, jnp.maximum(-take(wanted.p_load, which), 0), delta_t=delta_t)
        p_load = with_rows(p_load, which, served.p)
    p_potential = jnp.clip(wanted.p_potential, take(net.p_min, generators), take(net.p_max, generators))
    soc_max, soc_min, eff = (take(x, storage) for x in (net.soc_max, net.soc_min, net.eff))
    reached = reach(net, soc, p_potential, delta_t=delta_t)
    p, q = project_to_device_region(wanted.p, wanted.q, *reached)
    if control is not None:
        holds = Holders.of(net).in_controls(net).reshape(-1, *[1] * (p.ndim - 1))
        low, high = jnp.maximum(reached.p_low, reached.limits.p_min), reached.p_high
        p = jnp.where(holds, jnp.clip(wanted.p, low, jnp.minimum(high, reached.limits.p_max)), p)

    own = ControlLayout.of(net).kinds["storage"]
    # An empty unit told to give does nothing, and has the limit's derivative: so by what it was told. At rest
    # it can still be charged, and what clipping leaves of that derivative stays: the limits cut what rounding
    # puts beyond them and no more.
    gives = jnp.where(p[own] == 0, wanted.p[own], p[own]) > 0
    drawn = jnp.where(gives, p[own] / eff, p[own] * eff)
    left = soc - delta_t * drawn
    q_load = p_load * take(net.qp_ratio, loads)
    # Any of these may be shared by the lanes: a limit, a ratio, a set-point.
    batch = jnp.broadcast_shapes(*(x.shape[1:] for x in (p, q, p_load, q_load)))
    p, q = (jnp.broadcast_to(x, (len(x), *batch)) for x in (p, q))
    return Dispatch(
        p=by_device(net, p_load, p),
        q=by_device(net, q_load, q),
        soc=jnp.where(left < soc_min, soc_min, jnp.where(left > soc_max, soc_max, left)),
        p_potential=p_potential,
        served=served,
    )


def advance(
    net: Network,
    soc: jax.Array,
    wanted: Setpoints,
    *,
    delta_t: float,
    num_iters: int,
    tol: float,
    control: VoltageControl | None = None,
) -> tuple[GridState, Solution, Network]:
    """Settings, dispatch, then power flow; batch trailing.

    All of the slack bus's power goes to the slack device, as in the reference simulator, also where
    other devices share its bus.

    Returns:
      The operating point, the solution of the power flow, and the network as it was set.
    """
    settings = None if wanted.settings is None else reachable_settings(net, wanted.settings)
    net = settled(net, settings)
    done = dispatch(net, soc, wanted, delta_t=delta_t, control=control)
    if control is None:
        p, q = phasor.unstack(injected(net, done.p, done.q))
        solution, sent_by_bus = solve_power_flow(net, p, q, num_iters=num_iters, tol=tol)
    else:
        held = held_power_flow(net, done.p, done.q, control, num_iters=num_iters, tol=tol)
        solution, sent_by_bus, done = held.solution, held.sent, done._replace(q=held.q)
    is_slack = (np.arange(net.n_device) == net.slack_device).reshape(-1, *[1] * (done.p.ndim - 1))
    p, q = (
        jnp.where(is_slack, sent[net.slack][None], x)
        for sent, x in zip(sent_by_bus, (done.p, done.q), strict=True)
    )
    grid = GridState(
        p=p,
        q=q,
        soc=done.soc,
        p_potential=done.p_potential,
        v=phasor.to_complex(voltage(solution.d)),
        mismatch=solution.mismatch,
        converged=solution.converged,
        settings=settings,
        owed=None if done.served is None else done.served.owed,
        unserved=None if done.served is None else done.served.unserved,
    )
    return grid, solution, net


@functools.lru_cache(maxsize=256)
def simulation(
    delta_t: float, num_iters: int, tol: float, control: VoltageControl | None = None
) -> Callable[[Network, jax.Array, Setpoints], Simulated]:
    """The simulator step of a task with its costs, as a function of (network, state of charge, set-points).

    For one lane or, under ``jax.vmap``, for whole batches at once. The same function for the same arguments:
    what JAX remembers of a function it remembers by the object.

    Args:
      delta_t: h, length of a step.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of a solution.
      control: how generators hold voltages; None: they do not, all buses but the slack are PQ buses.
    """
    options: dict[str, Any] = {"delta_t": delta_t, "num_iters": num_iters, "tol": tol, "control": control}

    def run(net: Network, soc: jax.Array, wanted: Setpoints) -> Simulated:
        grid, solution, as_set = advance(net, soc, wanted, **options)
        return Simulated(grid, solution.d, costs(as_set, grid, solution, delta_t=delta_t))

    lane = differentiable_batch_trailing(run, fit=FIT)
    return lambda net, soc, wanted: lane(made_here(net, soc, wanted), soc, wanted)


@functools.partial(jax.jit, static_argnames=("delta_t", "num_iters", "tol"))
def transition(
    net: Network,
    soc: jax.Array,
    p_load: jax.Array,
    p_potential: jax.Array,
    p_set: jax.Array,
    q_set: jax.Array,
    settings: jax.Array | None = None,
    waiting: Waiting | None = None,
    *,
    delta_t: float,
    num_iters: int = DEFAULT_NUM_ITERS,
    tol: float = DEFAULT_TOL,
) -> GridState:
    """One simulator step, without a task around it; differentiable in every argument.

    Args:
      net: network.
      soc: (n_storage,) p.u.h, state of charge before the step.
      p_load: (n_load,) p.u., demand of the loads by id, negative; clipped to their bounds.
      p_potential: (n_generator,) p.u., P that the non-slack generators could give, by id.
      p_set: (n_generator + n_storage,) p.u., active set-points of the non-slack generators by id, then
        of the storage units by id.
      q_set: (n_generator + n_storage,) p.u., reactive set-points in the same order.
      settings: (n_setting,) p.u., of a network that has ``settings``; None: as it has them.
      waiting: of a network with loads that may wait: what is owed, how long cars stay, what is asked for.
      delta_t: h, length of the step.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of a solution.

    Returns:
      The operating point after the step. Where the power flow has no solution ``converged`` is False
      and the voltages are those of the flat start.

    Raises:
      ValueError: an argument has the wrong shape.
    """
    n_controlled = ControlLayout.of(net).n_controlled
    sizes = {
        "soc": (soc, len(net.storage)),
        "p_load": (p_load, len(net.loads)),
        "p_potential": (p_potential, len(net.generators)),
        "p_set": (p_set, n_controlled),
        "q_set": (q_set, n_controlled),
    }
    for name, (x, size) in sizes.items():
        if jnp.shape(x) != (size,):
            raise ValueError(f"{name} has shape {jnp.shape(x)}, expected ({size},)")
    if settings is None:
        settings = nominal_settings(net)
    elif jnp.shape(settings) != (n := 0 if net.settings is None else len(net.settings),):
        raise ValueError(f"settings has shape {jnp.shape(settings)}, expected ({n},)")
    soc, *wanted = (jnp.asarray(x, net.dtype) for x in (soc, p_load, p_potential, p_set, q_set))
    if (waiting is None) != (not net.flexible):
        has = "has" if net.flexible else "has no"
        raise ValueError(f"waiting is {waiting!r}, but the network {has} loads that may wait or chargers")
    waiting = jax.tree.map(lambda x: jnp.asarray(x, net.dtype), waiting)
    p_load, p_potential, p_set, q_set = wanted
    own = Setpoints(p_load, p_potential, p_set, q_set, settings, waiting)
    return _transition(delta_t, num_iters, tol)(as_jax(net), soc, own)


@functools.lru_cache(maxsize=256)
def _transition(delta_t: float, num_iters: int, tol: float):  # type: ignore[no-untyped-def]
    def run(net: Network, soc: jax.Array, wanted: Setpoints) -> GridState:
        return advance(net, soc, wanted, delta_t=delta_t, num_iters=num_iters, tol=tol)[0]

    return differentiable_batch_trailing(run)


def as_jax(net: Network) -> Network:
    """The network with its leaves as JAX arrays."""
    return jax.tree.map(jnp.asarray, net)
