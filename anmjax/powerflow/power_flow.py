"""AC power flow of a network: the public face of the solver."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.grid.network import Network
from anmjax.powerflow import phasor
from anmjax.powerflow.admittance import BranchParameters, admittance, two_port
from anmjax.powerflow.gather import take
from anmjax.powerflow.implicit import differentiable_newton
from anmjax.powerflow.newton import bus_power, deviation, voltage
from anmjax.powerflow.plan import SolverPlan, solver_plan

# Newton updates that reach every solution but a few at the very edge of collapse: over 160 random
# networks of 2 to 30 buses, 48,000 loadings through the collapse point, no solution needed more than
# 14, and 0.02 % more than 10.
DEFAULT_NUM_ITERS = 16
# p.u., the stopping tolerance of gym-anm 2.0.1.
DEFAULT_TOL = 1e-5


@struct.dataclass
class PowerFlow:
    """Solution of a power flow."""

    v: jax.Array  # (n_bus,) complex p.u., 1 + 0j everywhere when not converged
    mismatch: jax.Array  # () p.u., largest power-balance error over the buses
    converged: jax.Array  # () bool, False: no solution, the network has collapsed or is islanded


@struct.dataclass
class BranchFlows:
    """Complex power entering each branch at its two ends."""

    s_from: jax.Array  # (n_branch,) complex p.u.
    s_to: jax.Array  # (n_branch,) complex p.u.


class Solution(NamedTuple):
    """A power flow in phasors, by bus index, batch trailing."""

    d: jax.Array  # (2, n_bus, *batch) p.u., voltage deviations V - 1
    sent: jax.Array  # (2, n_bus, *batch) p.u., power each bus sends into the network
    mismatch: jax.Array  # (*batch) p.u.
    converged: jax.Array  # (*batch) bool


def network_plan(net: Network) -> SolverPlan:
    """Solver plan of a network's topology."""
    return solver_plan(net.n_bus, net.slack, net.from_bus, net.to_bus)


def branch_parameters(net: Network) -> BranchParameters:
    """Branch leaves of a network as JAX arrays."""
    return BranchParameters(*map(jnp.asarray, (net.r, net.x, net.b, net.tap, net.shift, net.in_service)))


def solve_power_flow(net: Network, s: jax.Array, *, num_iters: int, tol: float) -> Solution:
    """Power flow in the batch-trailing layout, for use inside ``batch_trailing`` functions.

    Args:
      net: network with leaves (n, *batch).
      s: (2, n_bus, *batch) p.u., injections by bus index; the slack's are ignored.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of a solution.
    """
    plan, branch = network_plan(net), branch_parameters(net)
    result = differentiable_newton(plan, num_iters, tol)(branch, take(s, plan.order[:-1], 1))
    d = deviation(result.x)
    sent = bus_power(plan, admittance(plan, branch), d)
    return Solution(
        take(d, plan.position, 1), take(sent, plan.position, 1), result.mismatch, result.converged
    )


@functools.partial(jax.jit, static_argnames=("num_iters", "tol"))
def power_flow(
    net: Network,
    p: jax.Array,
    q: jax.Array,
    *,
    num_iters: int = DEFAULT_NUM_ITERS,
    tol: float = DEFAULT_TOL,
) -> PowerFlow:
    """Solves the AC power flow from flat start.

    Every bus but the slack is a PQ bus; the slack is held at 1 + 0j p.u. Differentiable in the
    injections and in the network's branch leaves, ``jax.vmap`` over any of them.

    Args:
      net: network.
      p: (n_bus,) p.u., active injections by bus id, positive into the network; the slack's is ignored.
      q: (n_bus,) p.u., reactive injections.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of a solution. A lane stops at its first iterate within
        it; ask for less than the default where voltages are needed to more than five digits.

    Returns:
      The voltages. Where there is no solution ``converged`` is False, the voltages are those of the
      flat start and their derivatives zero: never NaN.

    Raises:
      ValueError: ``p`` or ``q`` is not of shape (n_bus,).
    """
    for name, x in (("p", p), ("q", q)):
        if jnp.shape(x) != (net.n_bus,):
            raise ValueError(f"{name} has shape {jnp.shape(x)}, expected ({net.n_bus},): one value per bus")
    s = jnp.stack([jnp.asarray(p), jnp.asarray(q)]).astype(net.dtype)
    solution = solve_power_flow(net, s, num_iters=num_iters, tol=tol)
    return PowerFlow(jax.lax.complex(*voltage(solution.d)), solution.mismatch, solution.converged)


def branch_currents(net: Network, d: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Current entering each branch at its ends, batch trailing.

    Args:
      net: network with leaves (n, *batch).
      d: (2, n_bus, *batch) voltage deviations V - 1, by bus index.

    Returns:
      i_from, i_to, both (2, n_branch, *batch) p.u.
    """
    port = two_port(branch_parameters(net))
    d_from, d_to = take(d, np.array(net.from_bus), 1), take(d, np.array(net.to_bus), 1)
    return (
        phasor.multiply(port.transfer_from, d_to - d_from)
        + phasor.multiply(port.shunt_from, voltage(d_from)),
        phasor.multiply(port.transfer_to, d_from - d_to) + phasor.multiply(port.shunt_to, voltage(d_to)),
    )


def branch_powers(net: Network, d: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Power entering each branch at its ends, both (2, n_branch, *batch) p.u.; see ``branch_currents``."""
    i_from, i_to = branch_currents(net, d)
    v_from, v_to = (voltage(take(d, np.array(ends), 1)) for ends in (net.from_bus, net.to_bus))
    return phasor.multiply(v_from, phasor.conj(i_from)), phasor.multiply(v_to, phasor.conj(i_to))


@jax.jit
def branch_flows(net: Network, v: jax.Array) -> BranchFlows:
    """Complex power entering each branch at its from and to end.

    Args:
      net: network.
      v: (n_bus,) complex p.u., bus voltages.

    Returns:
      The flows; their sum is the branch's loss.
    """
    v = jnp.asarray(v)
    s_from, s_to = branch_powers(net, jnp.stack([v.real - 1, v.imag]))
    return BranchFlows(jax.lax.complex(*s_from), jax.lax.complex(*s_to))
