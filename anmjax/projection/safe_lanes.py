"""The safety layer for whole batches: which lanes need it, and the linearisations of those.

An action that, projected on the devices' regions, keeps the limits by the AC power flow is the answer itself.
On a CPU the other lanes are gathered, so many at a time, and worked off together. Arrays are
``[component, *batch]``, see ``anmjax.lanes.trailing``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.grid.network import Network
from anmjax.lanes.blocks import num_lanes, set_lanes, take_lanes
from anmjax.lanes.gather import take
from anmjax.lanes.kernels import evaluated
from anmjax.lanes.schedule import AllAtOnce, Schedule, scheduled, with_lanes
from anmjax.lanes.trailing import differentiable_batch_trailing
from anmjax.lanes.varying import as_varying, tangents_of
from anmjax.projection.controls import Reach
from anmjax.projection.device_region import project_to_device_region
from anmjax.projection.device_rows import DeviceRows, device_rows, rows_at_nearest
from anmjax.projection.network_limits import (
    Limited,
    LimitRows,
    deviations,
    inscribed,
    limit_base,
    limit_room,
    limited,
    limited_slopes,
)
from anmjax.qp.active_set import Pairs, Program
from anmjax.qp.dense import Algebra, algebra_of, whole
from anmjax.qp.nearest import nearest
from anmjax.qp.solve_qp import solve_qp

POLYGON = inscribed(-75, -45, -15, 15, 45, 75)
# Lanes that are worked off together: with fewer, starting kernels costs more than their arithmetic.
WIDTH = 128


class Situation(NamedTuple):
    """What is asked for, and what it meets."""

    asked: jax.Array  # (2 n_controlled, *batch) p.u., P and then Q
    present: jax.Array  # (2 n_controlled, *batch) p.u., at the present operating point
    now: jax.Array  # (n_load, *batch) p.u., P of the loads there
    ahead: jax.Array  # (n_load, *batch) p.u., P of the loads over the next step
    devices: Reach  # over the next step
    voltage_margin: jax.Array  # (*batch) p.u.
    flow_margin: jax.Array  # (*batch) share of the rating
    violation_cost: jax.Array  # (*batch) p.u.
    smoothing: jax.Array | None  # (*batch) of the derivatives; None: they are not smoothed


class Found(NamedTuple):
    """The answer so far."""

    a: jax.Array  # (2 n_controlled, *batch) p.u., P and then Q
    violation: jax.Array  # (*batch) p.u., of the linearised limits
    converged: jax.Array  # (*batch) bool, the last program was solved


class _Task(NamedTuple):
    """A lane that the layer works on."""

    net: Network
    situation: Situation
    begin: jax.Array  # (2 n_controlled, *batch) p.u., what is asked for, projected on the devices' regions


@functools.lru_cache(maxsize=256)
def safe_lanes(num_linearisations: int, num_iters: int) -> Callable[[Network, Situation], Found]:
    """The layer for one lane or, under ``jax.vmap``, for whole batches at once.

    Args:
      num_linearisations: of the limits, see ``project_safe``.
      num_iters: steps of the active set method at most, for each.
    """
    answer = functools.partial(_answer, num_linearisations, num_iters)

    def one(net: Network, situation: Situation) -> Found:
        task, safe, kept = _begin(net, situation)
        return _chosen(safe, kept, answer(whole, task))

    def run(net: Network, situation: Situation) -> Found:
        task, safe, kept = _begin(net, situation._replace(smoothing=None))

        def work(schedule: Schedule, args: tuple[_Task, jax.Array, Found]) -> Found:
            task, safe, kept = args
            own = functools.partial(answer, algebra_of(schedule))
            if isinstance(schedule, AllAtOnce):
                return _chosen(safe, kept, own(task))
            return _gathered(own, task, ~safe, kept)

        def of_lanes(args: tuple[_Task, jax.Array, Found]) -> Found:
            return scheduled(work, args)

        return with_lanes(of_lanes, (task, safe, kept), safe.ndim)

    return differentiable_batch_trailing(run, of_one=one)


def _begin(net: Network, situation: Situation) -> tuple[_Task, jax.Array, Found]:
    """The projection on the devices' regions, whether it keeps the network's limits, and the answer then."""
    batch = (num_lanes((net, situation)),) if situation.asked.ndim > 1 else ()
    begin = _onto_devices(situation.devices, situation.asked)
    d, solved = deviations(net, begin, situation.ahead)
    safe = solved & (_room(net, situation, limited(net, d)) >= 0).all(0)
    begin, safe = jnp.broadcast_to(begin, (len(begin), *batch)), jnp.broadcast_to(safe, batch)
    return _Task(net, situation, begin), safe, _nothing_yet(begin)


def _nothing_yet(begin: jax.Array) -> Found:
    none = jnp.zeros(begin.shape[1:], begin.dtype), jnp.ones(begin.shape[1:], bool)
    return Found(begin, *as_varying(none, begin))


def _chosen(mask: jax.Array, one: Found, other: Found) -> Found:
    """``one`` where the mask (*batch) says so."""
    return jax.tree.map(lambda x, y: jnp.where(jnp.broadcast_to(mask, x.shape), x, y), one, other)


def _gathered(answer: Callable[[_Task], Found], task: _Task, waiting: jax.Array, found: Found) -> Found:
    """``found`` with the answers of the lanes that wait for one."""
    lanes = num_lanes(waiting)
    width = min(WIDTH, lanes)

    def some(carry: tuple[jax.Array, Found]) -> tuple[jax.Array, Found]:
        waiting, found = carry
        (index,) = jnp.nonzero(waiting, size=width, fill_value=lanes)
        own = answer(take_lanes(task, index))
        return waiting.at[index].set(False, mode="drop"), set_lanes(found, own, index)

    return jax.lax.while_loop(lambda carry: carry[0].any(), some, (waiting, found))[1]


def _answer(num_linearisations: int, num_iters: int, algebra: Algebra, task: _Task) -> Found:
    """The nearest action within the linearised limits."""
    net, situation, begin = task
    devices, rows = device_rows(situation.devices), LimitRows.of(net, POLYGON)
    n = len(begin)
    pairs = Pairs(*((*x.tolist(), *(n + y).tolist()) for x, y in zip(devices[:2], rows[:2], strict=True)))
    active = rows_at_nearest(situation.devices, situation.asked, begin)

    def closer(k: jax.Array, found: Found) -> Found:
        """The answer of one more linearisation."""
        at, load = (
            jnp.where(k == 0, x, y)
            for x, y in ((situation.present, found.a), (situation.now, situation.ahead))
        )
        near, slope = _linearise(net, at, load, found.a, situation.ahead)
        room = _room(net, situation, near)
        if not n:  # nothing to control: nothing to solve
            return found._replace(violation=jnp.maximum(-room, 0).sum(0))
        base = limit_base(near, slope)
        room = room + _combined(algebra, rows, base, found.a - begin)
        program = _program(situation, begin, (devices, rows), base, room)
        done = nearest(pairs, num_iters)(program, active)
        x = done.x
        if situation.smoothing is not None:
            smoothed = _solved_inside(pairs, program, situation.smoothing)
            x = smoothed + jax.lax.stop_gradient(x - smoothed)
        # Exactly within the regions, whatever the rounding of the program.
        a = _onto_devices(situation.devices, begin + x)
        exceeded = _combined(algebra, rows, base, a - begin) - room
        violation = algebra.total(lambda x: jnp.maximum(x, 0), exceeded)[0]
        return Found(a, violation, done.converged)

    return jax.lax.fori_loop(0, num_linearisations, closer, _nothing_yet(begin))


def _onto_devices(devices: Reach, a: jax.Array) -> jax.Array:
    """The nearest point of the devices' regions, (2 n_controlled, *batch) P and then Q."""
    p, q = jnp.split(a, 2)
    return jnp.concatenate(project_to_device_region(p, q, *devices))


def _room(net: Network, situation: Situation, near: Limited) -> jax.Array:
    rating = net.rating * (1 - situation.flow_margin)[None]
    room = functools.partial(limit_room, polygon=POLYGON)
    return evaluated(room)(net, near, situation.voltage_margin[None], rating)


def _combined(algebra: Algebra, rows: LimitRows, base: jax.Array, change: jax.Array) -> jax.Array:
    """How the limited quantities follow a change of the set-points, (m, *batch) p.u."""
    along = algebra.times(base, change)
    alpha, beta = (_column(x, along) for x in (rows.alpha, rows.beta))
    return alpha * take(along, rows.first) + beta * take(along, rows.second)


def _column(values: np.ndarray, like: jax.Array) -> jax.Array:
    """Numbers that all lanes share."""
    return jnp.asarray(values, like.dtype).reshape(-1, *[1] * (like.ndim - 1))


def _program(
    situation: Situation,
    begin: jax.Array,
    made: tuple[DeviceRows, LimitRows],
    base: jax.Array,
    room: jax.Array,
) -> Program:
    """Half the objective, x counted from ``begin``; the rows of the devices, then those of the limits."""
    devices, rows = made
    batch, n = begin.shape[1:], len(begin)
    eye = jnp.asarray(np.eye(n, dtype=begin.dtype).reshape(n, n, *[1] * len(batch)))

    def joined(of_devices: jax.Array, of_limits: jax.Array) -> jax.Array:
        parts = (
            jnp.broadcast_to(x, (*x.shape[: x.ndim - len(batch)], *batch)) for x in (of_devices, of_limits)
        )
        return jnp.concatenate(list(parts))

    held = devices.alpha * take(begin, devices.first) + devices.beta * take(begin, devices.second)
    cost = situation.violation_cost[None] / 2
    return Program(
        base=joined(eye, base),
        alpha=joined(devices.alpha, _column(rows.alpha, begin)),
        beta=joined(devices.beta, _column(rows.beta, begin)),
        h=joined(devices.bound - held, room),
        w=joined(jnp.full_like(devices.bound, jnp.inf), jnp.broadcast_to(cost, (len(room), *cost.shape[1:]))),
        c=situation.asked - begin,
    )


def _solved_inside(pairs: Pairs, program: Program, smoothing: jax.Array) -> jax.Array:
    """The same of one lane by ``solve_qp``, whose derivatives are smoothed, (2 n_controlled,) p.u."""
    base, alpha, beta, h, w, c = program
    G = alpha[:, None] * base[np.array(pairs.first)] + beta[:, None] * base[np.array(pairs.second)]
    P = 2 * jnp.eye(len(c), dtype=c.dtype)
    return solve_qp(P, -2 * c, G=G, h=h, violation_cost=2 * w, smoothing=smoothing).x


def _linearise(
    net: Network, at: jax.Array, load_at: jax.Array, to: jax.Array, load_to: jax.Array
) -> tuple[Limited, Limited]:
    """Limited quantities at the action and the loads ``to``, and slopes, by derivatives at those ``at``."""
    at, load_at = jnp.broadcast_arrays(at, to)[0], jnp.broadcast_to(load_at, (len(load_at), *at.shape[1:]))
    d, push = jax.linearize(lambda *x: deviations(net, *x)[0], at, load_at)
    each = np.eye(len(at), dtype=at.dtype).reshape(len(at), len(at), *[1] * (at.ndim - 1))
    every = jnp.broadcast_to(each, (len(at), *at.shape))
    tangents = tangents_of((at, load_at), (every, jnp.zeros_like(load_at)))
    slope = jax.vmap(push, in_axes=(0, None), out_axes=2)(*tangents)
    change = push(to - at, load_to - load_at)
    here, moved = jax.jvp(functools.partial(limited, net), (d,), tangents_of((d,), (change,)))
    return jax.tree.map(jnp.add, here, moved), limited_slopes(net, d, slope)
