"""Generators that hold the voltage of their bus: PV buses in a simulator step.

At a PV bus P is the dispatch's and |V| is ``net.v_set``; the reactive power that this takes is a result of
the power flow, and that of the bus's generators. With limits enforced it is kept within their range, as
pandapower and MATPOWER do on request (their default is not to):

    hold every PV bus
    solve; where Q is beyond the range set it to that limit and make the bus a PQ bus, for good; again, until
        no bus is beyond its range, at most ``MAX_ROUNDS`` times
    solve

A bus beyond its range after the last round stays beyond it. Which buses hold is piecewise constant; the
derivative is that of the last power flow, with the buses as they are there.

Arrays are ``[component, *batch]``, see ``anmjax.lanes.trailing``.

Reference: Zimmerman & Murillo-Sanchez, *MATPOWER User's Manual*, sec. 4.1 and option pf.enforce_q_lims.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.grid import tables
from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.gather import GatherSum, gather_sum, take
from anmjax.lanes.varying import as_varying
from anmjax.powerflow.branches import sent_powers
from anmjax.powerflow.equations import voltage
from anmjax.powerflow.inputs import current_by_bus
from anmjax.powerflow.power_flow import solve_voltages
from anmjax.powerflow.solve import Solution
from anmjax.powerflow.start import polar
from anmjax.projection.control_layout import ControlLayout
from anmjax.projection.controls import injected
from anmjax.projection.device_region import DeviceLimits, reactive_range

MAX_ROUNDS = 8

_Net = TypeVar("_Net")


class VoltageControl(NamedTuple):
    """How generators hold voltages."""

    enforce_q_lims: bool  # within their reactive ranges


class Holders(NamedTuple):
    """The generators that hold voltages: static, NumPy."""

    devices: np.ndarray  # (n_holder,) positions in the network, ascending
    buses: np.ndarray  # (n_held,) bus indices that these hold, ascending
    bus_of: np.ndarray  # (n_holder,) which of ``buses``

    @classmethod
    def of(cls, net: Network) -> Holders:
        """The classical generators at PV buses; where there is none, the renewable ones."""
        found: list[int] = []
        for bus in net.pv:
            here = [k for k in net.generators if net.device_bus[k] == bus]
            classical = [k for k in here if net.device_kind[k] == tables.CLASSICAL]
            found += classical or here
        devices = np.array(sorted(found), int)
        at = np.array(net.device_bus, int)[devices]
        buses, bus_of = np.unique(at, return_inverse=True)
        return cls(devices, buses, bus_of)

    def in_controls(self, net: Network) -> np.ndarray:
        """(n_controlled,) bool, where they stand among the controlled devices."""
        return np.isin(ControlLayout.of(net).devices, self.devices)

    def summed(self, x: jax.Array) -> jax.Array:
        """Sums over the holders of each bus, (n_held, *batch), of (n_holder, *batch)."""
        lists = [np.flatnonzero(self.bus_of == k).tolist() for k in range(len(self.buses))]
        return gather_sum(GatherSum.build(lists), x, 0)


class HeldFlow(NamedTuple):
    """A power flow with voltages held."""

    solution: Solution
    sent: jax.Array  # (2, n_bus, *batch) p.u., power that each bus sends into the network
    q: jax.Array  # (n_device, *batch) p.u., reactive power of the devices, the holders' among it


class _Needs(NamedTuple):
    """What a power flow with some voltages held starts from."""

    net: Network
    p: jax.Array  # (n_bus, *batch) p.u., injected
    q: jax.Array  # (n_bus, *batch) p.u., injected but by holders
    low: jax.Array  # (n_held, *batch) p.u., reactive range of the holders of each bus
    high: jax.Array


def unlimited(net: _Net) -> _Net:
    """The network with no limits of the reactive power of holders: what can be observed of it."""
    own: Any = net
    devices = Holders.of(own).devices
    changes = {
        name: jnp.asarray(getattr(own, name)).at[..., devices].set(limit)
        for name, limit in (("q_min", -jnp.inf), ("q_max", jnp.inf))
    }
    freed: _Net = replace(own, **changes)
    return freed


def held_power_flow(
    net: Network, p: jax.Array, q: jax.Array, control: VoltageControl, *, num_iters: int, tol: float
) -> HeldFlow:
    """Power flow in which the buses ``net.pv`` hold their voltage.

    The reactive power of a bus is shared among its holders so that all are as far within their ranges; evenly
    where one of them has no limits, or none has a range at all. A bus whose holders state no range (0 to 0)
    is without limits, and so is one that no device holds, whose reactive power is no device's.

    Args:
      net: network with leaves (n, *batch).
      p: (n_device, *batch) p.u., active power of the devices.
      q: (n_device, *batch) p.u., reactive power of them; that of holders is ignored.
      control: how.
      num_iters: Newton updates at most, of each power flow.
      tol: p.u., largest power-balance error of a solution.
    """
    holders = Holders.of(net)
    holds = np.isin(np.arange(net.n_device), holders.devices).reshape(-1, *[1] * (q.ndim - 1))
    others = jnp.where(holds, 0, q)
    limits = DeviceLimits(*(take(getattr(net, name), holders.devices) for name in DeviceLimits._fields))
    low, high = reactive_range(take(p, holders.devices), limits)
    at = _Needs(net, *phasor.unstack(injected(net, p, others)), holders.summed(low), holders.summed(high))

    def solve(at: _Needs, side: jax.Array | None, start: jax.Array | None) -> tuple[Solution, jax.Array]:
        q, hold = at.q, None
        if side is not None:
            limit = jnp.where(side > 0, at.high, jnp.where(side < 0, at.low, 0))
            q, hold = q + _by_bus(holders, net, limit), _by_bus(holders, net, side) == 0
        solution = solve_voltages(
            at.net, at.p, q, pv=net.pv, hold=hold, start=start, num_iters=num_iters, tol=tol
        )
        return solution, sent_powers(at.net, solution.d)

    enforced = control.enforce_q_lims and len(holders.devices) > 0
    side, start = _sides(holders, jax.lax.stop_gradient(at), solve) if enforced else (None, None)
    solution, sent = solve(at, side, start)
    total = _taken(holders, at, solution, sent)
    if side is not None:
        total = jnp.where(side > 0, at.high, jnp.where(side < 0, at.low, total))
    position = np.zeros(net.n_device, int)
    position[holders.devices] = np.arange(len(holders.devices))
    own = _shared(holders, total, low, high)
    return HeldFlow(solution, sent, jnp.where(holds, take(own, position), others) if len(own) else others)


def _sides(holders: Holders, at: _Needs, solve: Any) -> tuple[jax.Array, jax.Array]:
    """Which buses are at a limit, and where the power flow with them there is to start.

    Returns:
      (n_held, *batch) -1 at the least reactive power, 1 at the largest, 0 voltage held; and the start,
      (2, n_bus, *batch) as ``solve_voltages`` takes it.
    """
    net = at.net
    batch = jax.eval_shape(lambda: solve(at, None, None)[0]).converged.shape
    stated = at.low < at.high
    held = np.isin(np.arange(net.n_bus), net.pv).reshape(-1, *[1] * len(batch))
    excess = jnp.broadcast_to(jnp.where(held, net.v_set - 1, 0), (net.n_bus, *batch))
    side = jnp.zeros((len(holders.buses), *batch), jnp.int32)

    def settle(carry: Any) -> Any:
        rounds, side, start, done = carry
        found, sent = solve(at, side, start)
        need = _taken(holders, at, found, sent)
        beyond = jnp.where(need > at.high, 1, jnp.where(need < at.low, -1, 0))
        moves = (beyond != 0) & (side == 0) & stated & found.converged[None] & ~done[None]
        # A lane that has settled stays as it is while the others go on.
        start = jnp.where(done[None, None] | ~found.converged[None, None], start, polar(voltage(found.d)))
        return rounds + 1, jnp.where(moves, beyond, side), start, done | ~moves.any(0)

    carry = jnp.int32(0), side, jnp.stack([jnp.zeros_like(excess), excess]), jnp.zeros(batch, bool)
    carry = jax.lax.while_loop(
        lambda carry: (carry[0] < MAX_ROUNDS) & ~carry[3].all(), settle, as_varying(carry, at)
    )
    return carry[1], carry[2]


def _taken(holders: Holders, at: _Needs, solution: Solution, sent: jax.Array) -> jax.Array:
    """(n_held, *batch) p.u., reactive power that the voltages take of the holders of each bus."""
    q, current = sent[1] - at.q, current_by_bus(at.net)
    if current is not None:
        q = q + current[1] * phasor.magnitude(voltage(solution.d))
    return take(q, holders.buses)


def _by_bus(holders: Holders, net: Network, x: jax.Array) -> jax.Array:
    """(n_bus, *batch) of (n_held, *batch): zeros at other buses."""
    row = np.full(net.n_bus, len(holders.buses))
    row[holders.buses] = np.arange(len(holders.buses))
    return take(jnp.concatenate([x, jnp.zeros_like(x[:1])]), row)


def _shared(holders: Holders, total: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """What each holder gives, (n_holder, *batch), of what those of its bus give, (n_held, *batch)."""
    limited = jnp.isfinite(low) & jnp.isfinite(high)
    least, width = (jnp.where(limited, x, 0) for x in (low, high - low))
    of_bus, free = holders.summed(width), holders.summed((~limited).astype(low.dtype))
    in_proportion = (of_bus > 0) & (free == 0)
    part = (total - holders.summed(least)) / jnp.where(in_proportion, of_bus, 1)
    even = total / np.bincount(holders.bus_of, minlength=len(holders.buses)).reshape(
        -1, *[1] * (total.ndim - 1)
    ).astype(total.dtype)
    part, even, in_proportion = (take(x, holders.bus_of) for x in (part, even, in_proportion))
    return jnp.where(in_proportion, least + part * width, even)
