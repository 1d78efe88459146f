"""Contingency analysis: what the loss of each branch, one at a time, does to a network."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.empty import made_here
from anmjax.lanes.schedule import Schedule
from anmjax.powerflow.equations import voltage
from anmjax.powerflow.inputs import inputs_of, network_plan
from anmjax.powerflow.newton import Stopping
from anmjax.powerflow.outages import solve_outages
from anmjax.powerflow.power_flow import (
    DEFAULT_NUM_ITERS,
    DEFAULT_TOL,
    check_arguments,
    power_flow,
    slack_rotation,
)
from anmjax.powerflow.quantities import branch_loading
from anmjax.powerflow.start import polar


@struct.dataclass
class Contingencies:
    """Outages of one branch each."""

    branch: jax.Array  # (m,) int, the branch that is out, by row
    v: jax.Array  # (m, n_bus) complex p.u., those of the flat start where not converged
    mismatch: jax.Array  # (m,) p.u., largest power-balance error over the buses
    converged: jax.Array  # (m,) bool, False: no solution, or islanded
    islanded: jax.Array  # (m,) bool, the outage leaves a bus without a path to a slack
    iterations: jax.Array  # (m,) int, updates made

    def loading(self, net: Network) -> jax.Array:
        """Loading of every branch after each outage, (m, n_branch); 0 for the branch that is out.

        Where there is no solution, that of the flat start, which says nothing: see ``converged``.

        Args:
          net: the network of the analysis.
        """
        return jax.vmap(lambda k, v: branch_loading(_without(net, k), v))(self.branch, self.v)

    def worst(self, net: Network) -> jax.Array:
        """Largest loading after each outage, (m,); inf where there is no solution.

        ``jnp.argsort(-found.worst(net))`` ranks the outages, the severest first.

        Args:
          net: the network of the analysis.
        """
        return jnp.where(self.converged, self.loading(net).max(1), jnp.inf)


def contingency_analysis(
    net: Network,
    p: jax.Array,
    q: jax.Array,
    *,
    outages: Sequence[int | str] | jax.Array | None = None,
    num_iters: int = DEFAULT_NUM_ITERS,
    tol: float = DEFAULT_TOL,
    init: jax.Array | None = None,
    schedule: Schedule | None = None,
) -> Contingencies:
    """The AC power flow after each outage of one branch (N-1), as of ``power_flow``.

    All outages share the factorised Jacobian of the intact network, see ``anmjax.powerflow.outages``: several
    times faster than ``jax.vmap`` of ``power_flow`` over ``in_service``, which goes for outages of several
    branches. Differentiable in the injections and in every leaf of the network; ``jax.vmap`` over injections
    works through them one by one.

    Args:
      net: network.
      p: (n_bus,) p.u., active injections by bus id, positive into the network; those of slacks are ignored.
      q: (n_bus,) p.u., reactive injections; those of slacks and of PV buses are ignored.
      outages: (m,) branches to take out, by row or name; an array of rows may be traced. None: every one.
      num_iters: Newton updates at most, of the intact network and of an outage that needs them.
      tol: p.u., largest power-balance error of a solution.
      init: (n_bus,) complex p.u., voltages of the intact network to start from; None: flat.
      schedule: as of ``power_flow``.

    Returns:
      The voltages after each outage. Where there is no solution ``converged`` is False, the voltages are
      those of the flat start and their derivatives zero.

    Raises:
      ValueError: an argument has the wrong shape, or an outage is of no branch of the network.
    """
    check_arguments(net, p, q, num_iters, tol)
    if init is not None and jnp.shape(init) != (net.n_bus,):
        raise ValueError(f"init has shape {jnp.shape(init)}, expected ({net.n_bus},): one voltage per bus")
    branch = rows_of(net, outages)
    return _analysis(made_here(net, p, q), p, q, branch, init, num_iters, tol, schedule)


def rows_of(net: Network, outages: Sequence[int | str] | jax.Array | None) -> jax.Array:
    """Rows of the branches that go out, (m,) int, given by row or name; None: every one.

    Raises:
      ValueError: one is no branch of the network.
    """
    if isinstance(outages, jax.Array):
        if outages.ndim != 1 or not jnp.issubdtype(outages.dtype, jnp.integer):
            raise ValueError(
                f"outages has shape {outages.shape} of {outages.dtype}, expected (m,) rows of branches"
            )
        return outages
    if outages is None:
        return jnp.arange(net.n_branch, dtype=jnp.int32)
    names = {name: k for k, name in enumerate(net.branch_names or ())}
    found: list[int] = []
    for one in outages:
        k = names.get(one) if isinstance(one, str) else one
        if not isinstance(k, numbers.Integral) or not 0 <= k < net.n_branch:
            raise ValueError(
                f"outages: {one!r} is no branch, neither a row of 0 to {net.n_branch - 1} nor a name"
            )
        found.append(int(k))
    return jnp.asarray(found, jnp.int32)


def _without(net: Network, k: jax.Array) -> Network:
    """The network with a branch out of service."""
    return replace(net, in_service=jnp.asarray(net.in_service).at[k].set(0))


@functools.partial(jax.jit, static_argnums=(5, 6, 7))
def _analysis(
    net: Network,
    p: jax.Array,
    q: jax.Array,
    branch: jax.Array,
    init: jax.Array | None,
    num_iters: int,
    tol: float,
    schedule: Schedule | None,
) -> Contingencies:
    net = jax.tree.map(jnp.asarray, net)
    net = replace(net, slack_angle=jnp.reshape(net.slack_angle, net.n_slack))
    p, q = (jnp.asarray(x).astype(net.dtype) for x in (p, q))
    start = None
    if init is not None:
        v = jnp.stack([init.real, init.imag]).astype(net.dtype)
        start = polar(phasor.multiply(v, phasor.conj(slack_rotation(net))))
    solve = _differentiable(Stopping(num_iters, tol), schedule)
    v, (mismatch, *flags) = solve(net, p, q, branch, start)
    converged, islanded, iterations = flags
    return Contingencies(
        branch, v, mismatch, converged > 0, islanded > 0, jnp.round(iterations).astype(jnp.int32)
    )


@functools.lru_cache(maxsize=64)
def _differentiable(stopping: Stopping, schedule: Schedule | None) -> Any:
    """Voltages after outages; mismatch, converged, islanded and updates as numbers with derivative zero."""

    @jax.custom_batching.sequential_vmap
    def solved(
        net: Network, p: jax.Array, q: jax.Array, branch: jax.Array, start: jax.Array | None
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        inputs = inputs_of(net, p, q, start=start)
        inputs = jax.tree.map(lambda x: x[..., None], inputs)
        ends = np.array([net.from_bus, net.to_bus], int).reshape(2, -1)
        plan = network_plan(net, net.pv)
        found, islanded = solve_outages(plan, stopping, schedule, inputs, branch, ends)
        v = phasor.to_complex(phasor.multiply(voltage(found.d), slack_rotation(net)[..., None])).T
        told = (found.mismatch, found.converged, islanded, found.iterations)
        return v, tuple(x.astype(net.dtype) for x in told)

    @jax.custom_jvp
    def solve(net: Network, p: jax.Array, q: jax.Array, branch: jax.Array, start: jax.Array | None) -> Any:
        return solved(net, p, q, branch, start)

    @solve.defjvp
    def jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
        net, p, q, branch, _ = primals
        v, told = solve(*primals)
        at = jax.lax.stop_gradient(v)

        # At a solution already: what is left of it is the implicit derivative.
        def again(net: Network, p: jax.Array, q: jax.Array) -> jax.Array:
            def one(k: jax.Array, v: jax.Array) -> jax.Array:
                num_iters, tol = stopping
                out = _without(net, k)
                return power_flow(out, p, q, num_iters=num_iters, tol=tol, init=v, schedule=schedule).v

            return jax.vmap(one)(branch, at)

        _, dv = jax.jvp(again, (net, p, q), tangents[:3])
        return (v, told), (jnp.where(told[1][:, None] > 0, dv, 0), jax.tree.map(jnp.zeros_like, told))

    return solve
