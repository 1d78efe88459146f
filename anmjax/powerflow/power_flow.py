"""AC power flow of a network: the public face of the solver."""

from __future__ import annotations

import functools
import numbers
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.empty import made_here
from anmjax.lanes.schedule import Schedule
from anmjax.lanes.trailing import differentiable_batch_trailing
from anmjax.powerflow.branches import sent_powers
from anmjax.powerflow.implicit import differentiable_solve
from anmjax.powerflow.inputs import (
    angles_apart,
    branch_parameters,
    current_by_bus,
    inputs_of,
    network_plan,
)
from anmjax.powerflow.newton import Stopping
from anmjax.powerflow.solve import Solution
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


def solve_voltages(
    net: Network,
    p: jax.Array,
    q: jax.Array,
    *,
    num_iters: int,
    tol: float,
    pv: tuple[int, ...] = (),
    hold: jax.Array | None = None,
    start: jax.Array | None = None,
    base: jax.Array | None = None,
    schedule: Schedule | None = None,
) -> Solution:
    """Voltages of a power flow, for one lane or in the batch-trailing layout.

    Args:
      net: network with leaves (n, *batch).
      p: (n_bus, *batch) p.u., active injections by bus index; those of slacks are ignored.
      q: (n_bus, *batch) p.u., reactive injections; those of slacks and of PV buses are ignored.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of a solution.
      pv: buses whose voltage magnitude is held at ``net.v_set``; all others are PQ buses.
      hold: (n_bus, *batch) bool, which of ``pv`` hold their voltage, the others are PQ buses; None: all.
      start: (2, n_bus, *batch) angle from the first slack's in rad, |V| - 1 in p.u.; None: flat.
      base: (2, n_bus, *batch) p.u., injections near those of most lanes, so that many lanes of one network
        may share a Jacobian; None: every lane makes the very iterates of Newton's method.
      schedule: how lanes are worked through; None: as the platform wants it.
    """
    inputs = inputs_of(net, p, q, start=start, base=base, hold=hold)
    return differentiable_solve(network_plan(net, pv), Stopping(num_iters, tol), schedule)(inputs)


def solve_power_flow(
    net: Network, p: jax.Array, q: jax.Array, *, num_iters: int, tol: float
) -> tuple[Solution, jax.Array]:
    """Power flow with all buses but the slacks PQ, for use inside ``batch_trailing`` functions.

    Args:
      net: network with leaves (n, *batch).
      p: (n_bus, *batch) p.u., active injections by bus index; those of slacks are ignored.
      q: (n_bus, *batch) p.u., reactive injections; those of slacks are ignored.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of a solution.

    Returns:
      The solution, and the power that each bus sends into the network, (2, n_bus, *batch) p.u.
    """
    solution = solve_voltages(net, p, q, num_iters=num_iters, tol=tol)
    return solution, sent_powers(net, solution.d)


def power_flow(
    net: Network,
    p: jax.Array,
    q: jax.Array,
    *,
    num_iters: int = DEFAULT_NUM_ITERS,
    init: str | jax.Array = "flat",
    tol: float = DEFAULT_TOL,
    schedule: Schedule | None = None,
) -> PowerFlow:
    """Solves the AC power flow: the voltages V at which every bus sends what is injected there.

        I = Y V                    current that a bus sends into the network
        S = V conj(I)              its power
        F = S - s                  at a PV bus |V| - v_set in place of the imaginary part
        J dx = F                   Newton's method, from a flat start
        x <- x - dx                x: voltage angles and magnitudes

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
      schedule: how a batch is worked through, see ``anmjax.lanes.schedule``; None: in blocks on a CPU, all
        at once elsewhere. No solution depends on it.

    Returns:
      The voltages. Where there is no solution, and where an open branch leaves a bus without a path to a
      slack, ``converged`` is False, the voltages are those of the flat start and their derivatives zero:
      never NaN.

    Raises:
      ValueError: an argument has the wrong shape, or what the network holds at slacks or of loads of
        constant current; ``init`` is none of the above, or ``num_iters`` or ``tol``
        is not a number or negative.
    """
    check_arguments(net, p, q, num_iters, tol)
    if isinstance(init, str):
        if init not in ("flat", "dc"):
            raise ValueError(f"init is {init!r}, expected 'flat', 'dc' or (n_bus,) complex voltages")
        method, v_start = init, None
    elif jnp.shape(init) == (net.n_bus,):
        method, v_start = "voltages", jnp.asarray(init)
    else:
        raise ValueError(f"init has shape {jnp.shape(init)}, expected ({net.n_bus},): one voltage per bus")
    return _power_flow(made_here(net, p, q), p, q, v_start, num_iters, method, tol, schedule)


def check_arguments(net: Network, p: jax.Array, q: jax.Array, num_iters: int, tol: float) -> None:
    """What every power flow asks of its arguments.

    Raises:
      ValueError: see ``power_flow``.
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


@functools.partial(jax.jit, static_argnums=(4, 5, 6, 7))
def _power_flow(
    net: Network,
    p: jax.Array,
    q: jax.Array,
    v_start: jax.Array | None,
    num_iters: int,
    method: str,
    tol: float,
    schedule: Schedule | None,
) -> PowerFlow:
    def solve(net: Network, p: jax.Array, q: jax.Array, v_start: jax.Array | None) -> PowerFlow:
        start = None
        if v_start is not None:
            v = jnp.stack([v_start.real, v_start.imag]).astype(net.dtype)
            start = polar(phasor.multiply(v, phasor.conj(slack_rotation(net))))
        elif method == "dc":
            given = DCInputs(branch_parameters(net), net.g_shunt, p, angles_apart(net), current_by_bus(net))
            angle = dc_angles(network_plan(net, net.pv), schedule)(jax.lax.stop_gradient(given))
            held = np.isin(np.arange(net.n_bus), net.pv).reshape(-1, *[1] * (angle.ndim - 1))
            start = jnp.stack(jnp.broadcast_arrays(angle, jnp.where(held, net.v_set - 1, 0)))
        base = phasor.stack(net.p, net.q)
        solved = solve_voltages(
            net, p, q, num_iters=num_iters, tol=tol, pv=net.pv, start=start, base=base, schedule=schedule
        )
        # In real parts, which differentiate to plain arithmetic: the batch may come first here.
        (cosine, sine), re, im = slack_rotation(net), 1 + solved.re, solved.im
        v = jax.lax.complex(cosine * re - sine * im, cosine * im + sine * re)
        return PowerFlow(v, solved.mismatch, solved.converged, solved.iterations)

    net = jax.tree.map(jnp.asarray, net)
    # A number is the angle of the only slack.
    net = replace(net, slack_angle=jnp.reshape(net.slack_angle, net.n_slack))
    p, q = (jnp.asarray(x).astype(net.dtype) for x in (p, q))
    return differentiable_batch_trailing(solve, schedule)(net, p, q, v_start)


def slack_rotation(net: Network) -> jax.Array:
    """exp(j angle) of the first slack, (2, 1, *batch)."""
    angle = jnp.asarray(net.slack_angle)[:1]
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])
