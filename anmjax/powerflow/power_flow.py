"""AC power flow of a network: the public face of the solver."""

from __future__ import annotations

import functools
import numbers
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.gather import take
from anmjax.lanes.trailing import differentiable_batch_trailing
from anmjax.powerflow.admittance import BranchParameters, Shunts, admittance, two_port
from anmjax.powerflow.elimination.plan import SolverPlan, solver_plan
from anmjax.powerflow.implicit import Solved, differentiable_solve
from anmjax.powerflow.newton import Schedule, bus_power, voltage
from anmjax.powerflow.solve import Inputs
from anmjax.powerflow.start import DCInputs, dc_angles, polar

# Newton updates that reach every solution but a few at the very edge of collapse: over 160 random
# networks of 2 to 30 buses, 48,000 loadings through the collapse point, no solution needed more than
# 14, and 0.02 % more than 10.
DEFAULT_NUM_ITERS = 16
# p.u., the stopping tolerance of gym-anm 2.0.1.
DEFAULT_TOL = 1e-5


@struct.dataclass
class PowerFlow:
    """Solution of a power flow."""

    v: jax.Array  # (n_bus,) complex p.u., those of the flat start when not converged
    mismatch: jax.Array  # () p.u., largest power-balance error over the buses
    converged: jax.Array  # () bool, False: no solution, or a bus without a path to a slack
    iterations: jax.Array  # () int, updates made, with a shared Jacobian or an own one


@struct.dataclass
class BranchFlows:
    """Complex power entering each branch at its two ends."""

    s_from: jax.Array  # (n_branch,) complex p.u.
    s_to: jax.Array  # (n_branch,) complex p.u.


class Solution(NamedTuple):
    """A power flow in phasors, by bus index, batch trailing, with angles counted from the first slack's."""

    d: jax.Array  # (2, n_bus, *batch) p.u., voltage deviations V - 1
    sent: jax.Array  # (2, n_bus, *batch) p.u., power each bus sends into the network
    mismatch: jax.Array  # (*batch) p.u.
    converged: jax.Array  # (*batch) bool
    iterations: jax.Array  # (*batch) int


def network_plan(net: Network, pv: tuple[int, ...] = ()) -> SolverPlan:
    """Solver plan of a network's topology, with the given PV buses."""
    return solver_plan(net.n_bus, net.slacks, net.from_bus, net.to_bus, pv)


def branch_parameters(net: Network) -> BranchParameters:
    """Branch leaves of a network as JAX arrays."""
    return jax.tree.map(
        jnp.asarray, BranchParameters(*(getattr(net, name) for name in BranchParameters._fields))
    )


def bus_shunts(net: Network) -> Shunts:
    """Shunt leaves of a network as JAX arrays."""
    return Shunts(jnp.asarray(net.g_shunt), jnp.asarray(net.b_shunt))


def solve_voltages(
    net: Network,
    p: jax.Array,
    q: jax.Array,
    *,
    num_iters: int,
    tol: float,
    pv: tuple[int, ...] = (),
    start: jax.Array | None = None,
    base: jax.Array | None = None,
) -> Solved:
    """Voltages of a power flow, for one lane or in the batch-trailing layout.

    Args:
      net: network with leaves (n, *batch).
      p: (n_bus, *batch) p.u., active injections by bus index; those of slacks are ignored.
      q: (n_bus, *batch) p.u., reactive injections; those of slacks and of PV buses are ignored.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of a solution.
      pv: buses whose voltage magnitude is held at ``net.v_set``; all others are PQ buses.
      start: (2, n_bus, *batch) angle from the first slack's in rad, |V| - 1 in p.u.; None: flat.
      base: (2, n_bus, *batch) p.u., injections near those of most lanes, so that many lanes of one network
        may share a Jacobian; None: every lane makes the very iterates of Newton's method.
    """
    inputs = Inputs(
        branch=branch_parameters(net),
        shunts=bus_shunts(net),
        v_set=jnp.asarray(net.v_set),
        p=p,
        q=q,
        start=start,
        base=base,
        apart=_angles_apart(net),
        current=current_by_bus(net),
    )
    return differentiable_solve(network_plan(net, pv), Schedule(num_iters, tol))(inputs)


def _angles_apart(net: Network) -> jax.Array | None:
    """Angles of the slacks after the first, counted from its, (n_slack - 1, *batch) rad."""
    if net.n_slack == 1:
        return None
    angle = jnp.asarray(net.slack_angle)
    return angle[1:] - angle[:1]


def current_by_bus(net: Network) -> tuple[jax.Array, jax.Array] | None:
    """P and Q of the loads of constant current by bus, (n_bus, *batch) p.u."""
    if not net.current_load_bus:
        return None
    at = np.array(net.current_load_bus)

    def by_bus(x: jax.Array) -> jax.Array:
        return jnp.zeros((net.n_bus, *x.shape[1:]), x.dtype).at[at].add(x)

    return by_bus(jnp.asarray(net.p_current)), by_bus(jnp.asarray(net.q_current))


def solve_power_flow(net: Network, p: jax.Array, q: jax.Array, *, num_iters: int, tol: float) -> Solution:
    """Power flow with all buses but the slacks PQ, for use inside ``batch_trailing`` functions.

    Args:
      net: network with leaves (n, *batch).
      p: (n_bus, *batch) p.u., active injections by bus index; those of slacks are ignored.
      q: (n_bus, *batch) p.u., reactive injections; those of slacks are ignored.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of a solution.
    """
    solved = solve_voltages(net, p, q, num_iters=num_iters, tol=tol)
    plan = network_plan(net)
    d = phasor.stack(solved.re, solved.im)
    adm = admittance(plan, branch_parameters(net), bus_shunts(net))
    sent = bus_power(plan, adm, take(d, plan.order, 1))
    return Solution(d, take(sent, plan.position, 1), solved.mismatch, solved.converged, solved.iterations)


def power_flow(
    net: Network,
    p: jax.Array,
    q: jax.Array,
    *,
    num_iters: int = DEFAULT_NUM_ITERS,
    init: str | jax.Array = "flat",
    tol: float = DEFAULT_TOL,
) -> PowerFlow:
    """Solves the AC power flow.

    The slacks are held at their ``net.v_set`` and ``net.slack_angle``, the buses in ``net.pv`` at their
    ``net.v_set``; all others are PQ buses, with loads of constant current where the network has them.
    Several slacks may feed one island or an island each; ``slack_powers`` and ``island_losses`` tell what
    each gives and loses. Differentiable in the injections and in every leaf of the
    network that it depends on (branches, ``in_service`` and shunts among them), in forward and reverse mode
    and twice; ``jax.vmap`` over any of them: injections, set-points, taps, or all single outages of a grid.

    On a CPU, a batch of 128 or more injections into one network first tries updates with one Jacobian for
    all lanes, that at the network's own injections ``net.p`` and ``net.q``: the nearer they are to the
    lanes', the fewer it takes. Lanes that this does not solve go through Newton's method.

    Args:
      net: network.
      p: (n_bus,) p.u., active injections by bus id, positive into the network; those of slacks are ignored.
      q: (n_bus,) p.u., reactive injections; those of slacks and of PV buses are ignored.
      num_iters: Newton updates at most; those with a shared Jacobian are not counted.
      init: where to start: ``"flat"`` (the angle of a slack nearby; 1 p.u., or the set-point where there is
        one), ``"dc"`` (as flat, with the angles of the DC power flow: for networks with large phase shifts),
        or (n_bus,) complex p.u., the voltages of an earlier solution. Derivatives do not depend on it.
      tol: p.u., largest power-balance error of a solution. A lane stops at its first iterate within
        it; ask for less than the default where voltages are needed to more than five digits.

    Returns:
      The voltages. Where there is no solution, and where an open branch leaves a bus without a path to a
      slack, ``converged`` is False, the voltages are those of the flat start and their derivatives zero:
      never NaN.

    Raises:
      ValueError: an argument has the wrong shape, or what the network holds at slacks or of loads of
        constant current; ``init`` is none of the above, or ``num_iters`` or ``tol``
        is not a number or negative.
    """
    for name, x in (("p", p), ("q", q)):
        if jnp.shape(x) != (net.n_bus,):
            raise ValueError(f"{name} has shape {jnp.shape(x)}, expected ({net.n_bus},): one value per bus")
    n_load = len(net.current_load_bus)
    for name, size in (("slack_angle", net.n_slack), ("p_current", n_load), ("q_current", n_load)):
        if jnp.size(getattr(net, name)) != size:
            shape = jnp.shape(getattr(net, name))
            raise ValueError(f"net.{name} has shape {shape}, expected ({size},)")
    if not isinstance(num_iters, numbers.Integral) or num_iters < 0:
        raise ValueError(f"num_iters is {num_iters!r}, expected a whole number, not negative")
    if not isinstance(tol, numbers.Real) or not tol >= 0:
        raise ValueError(f"tol is {tol!r}, expected one number, not negative")
    if isinstance(init, str):
        if init not in ("flat", "dc"):
            raise ValueError(f"init is {init!r}, expected 'flat', 'dc' or (n_bus,) complex voltages")
        method, v_start = init, None
    elif jnp.shape(init) == (net.n_bus,):
        method, v_start = "voltages", jnp.asarray(init)
    else:
        raise ValueError(f"init has shape {jnp.shape(init)}, expected ({net.n_bus},): one voltage per bus")
    return _power_flow(net, p, q, v_start, num_iters, method, tol)


@functools.partial(jax.jit, static_argnums=(4, 5, 6))
def _power_flow(
    net: Network,
    p: jax.Array,
    q: jax.Array,
    v_start: jax.Array | None,
    num_iters: int,
    method: str,
    tol: float,
) -> PowerFlow:
    def solve(net: Network, p: jax.Array, q: jax.Array, v_start: jax.Array | None) -> PowerFlow:
        start = None
        if v_start is not None:
            v = jnp.stack([v_start.real, v_start.imag]).astype(net.dtype)
            start = polar(phasor.multiply(v, phasor.conj(_slack_rotation(net))))
        elif method == "dc":
            given = DCInputs(branch_parameters(net), net.g_shunt, p, _angles_apart(net), current_by_bus(net))
            angle = dc_angles(network_plan(net, net.pv))(jax.lax.stop_gradient(given))
            held = np.isin(np.arange(net.n_bus), net.pv).reshape(-1, *[1] * (angle.ndim - 1))
            start = jnp.stack(jnp.broadcast_arrays(angle, jnp.where(held, net.v_set - 1, 0)))
        base = phasor.stack(net.p, net.q)
        solved = solve_voltages(net, p, q, num_iters=num_iters, tol=tol, pv=net.pv, start=start, base=base)
        # In real parts, which differentiate to plain arithmetic: the batch may come first here.
        (cosine, sine), re, im = _slack_rotation(net), 1 + solved.re, solved.im
        v = jax.lax.complex(cosine * re - sine * im, cosine * im + sine * re)
        return PowerFlow(v, solved.mismatch, solved.converged, solved.iterations)

    net = jax.tree.map(jnp.asarray, net)
    # A number is the angle of the only slack.
    net = replace(net, slack_angle=jnp.reshape(net.slack_angle, net.n_slack))
    p, q = (jnp.asarray(x).astype(net.dtype) for x in (p, q))
    return differentiable_batch_trailing(solve)(net, p, q, v_start)


def _slack_rotation(net: Network) -> jax.Array:
    """exp(j angle) of the first slack, (2, 1, *batch)."""
    angle = jnp.asarray(net.slack_angle)[:1]
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])


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
    return BranchFlows(phasor.to_complex(s_from), phasor.to_complex(s_to))
