"""Line outage distribution factors: what an outage does to the flows, by the DC power flow.

With b the susceptances of the branches and theta_k the angles that one p.u. from the from bus of branch k to
its to bus makes,

    H_lk = b_l (theta_k at the from bus of l - at its to bus),    LODF_lk = H_lk / (1 - H_kk),

and when k, which carries P_k, goes out, P_l becomes P_l + LODF_lk P_k. Without the losses and voltages that
the AC power flow of ``contingencies.py`` knows of: for screening.

Reference: Wood, Wollenberg & Sheble, *Power Generation, Operation, and Control* (3rd ed., 2014), sec. 7.3.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.empty import made_here
from anmjax.lanes.gather import gather_sum, take
from anmjax.lanes.schedule import scheduled
from anmjax.powerflow.branches import branch_powers
from anmjax.powerflow.compensation import islanding
from anmjax.powerflow.contingencies import rows_of
from anmjax.powerflow.inputs import branch_parameters, network_plan
from anmjax.powerflow.start import dc_solved, dc_susceptance, dc_system


def line_outage_distribution_factors(
    net: Network, outages: Sequence[int | str] | jax.Array | None = None
) -> jax.Array:
    """Shares of the flow of branches that go out which the others take over, by the DC power flow.

    Differentiable in the reactances and tap ratios.

    Args:
      net: network.
      outages: (m,) branches that go out, one at a time, by row or name; an array of rows may be traced. None:
        every one.

    Returns:
      (n_branch, m) p.u. of active power a p.u.: by the branch that takes it and the one that is out, itself
      -1. Inf where the outage leaves a bus without a path to a slack.

    Raises:
      ValueError: an outage is of no branch of the network.
    """
    return _factors(made_here(net), rows_of(net, outages))


def screened_loading(
    net: Network, v: jax.Array, outages: Sequence[int | str] | jax.Array | None = None
) -> jax.Array:
    """Loading of every branch after each outage, estimated: active power by the factors, reactive as before.

    ``jnp.argsort(-screened_loading(net, v).max(1))[:100]`` are the outages to begin with, as rows for
    ``contingency_analysis``.

    Args:
      net: network.
      v: (n_bus,) complex p.u., voltages of the intact network.
      outages: as of ``line_outage_distribution_factors``.

    Returns:
      (m, n_branch) apparent power over the rating, of the end that carries more; 0 for the branch that is
      out. Inf where the outage leaves a bus without a path to a slack.

    Raises:
      ValueError: ``v`` has the wrong shape, or an outage is of no branch of the network.
    """
    if jnp.shape(v) != (net.n_bus,):
        raise ValueError(f"v has shape {jnp.shape(v)}, expected ({net.n_bus},): one voltage per bus")
    return _loading(made_here(net, v), v, rows_of(net, outages))


@jax.jit
def _factors(net: Network, branch: jax.Array) -> jax.Array:
    net = jax.tree.map(jnp.asarray, net)
    plan, branch = network_plan(net), branch.astype(jnp.int32)
    b = dc_susceptance(branch_parameters(net))
    blocks, edge = dc_system(plan, b[:, None])
    position = jnp.asarray(plan.position, jnp.int32)
    start, end = (position[np.array(ends, int)] for ends in (net.from_bus, net.to_bus))
    lanes, n = jnp.arange(len(branch), dtype=jnp.int32), plan.n_unknown
    # One p.u. from end to end of each; of slacks there is no equation.
    units = jnp.zeros((n, len(branch)), net.dtype).at[start[branch], lanes].add(1, mode="drop")
    units = units.at[end[branch], lanes].add(-1, mode="drop")
    held = jnp.zeros((plan.n_slack, len(branch)), net.dtype)

    def matvec(angle: jax.Array) -> jax.Array:
        around = edge * take(jnp.concatenate([angle, held]), plan.edge_head)
        return blocks[1][0, 0] * angle - gather_sum(plan.edge_to_bus, around)[:n]

    def solve(_: object, p: jax.Array) -> jax.Array:
        return scheduled(functools.partial(dc_solved, plan), (*blocks, p))

    angle = jax.lax.custom_linear_solve(matvec, units, solve, symmetric=True)
    angle = jnp.concatenate([angle, held])
    taken = b[:, None] * (angle[start] - angle[end])
    left = 1 - taken[branch, lanes]
    ends = np.array([net.from_bus, net.to_bus], int).reshape(2, -1)
    islanded = islanding(plan, net.in_service, branch, ends)
    factors = taken / jnp.where(islanded, 1, left)[None]
    factors = factors.at[branch, lanes].set(-1)
    return jnp.where(islanded[None], jnp.inf, factors)


@jax.jit
def _loading(net: Network, v: jax.Array, branch: jax.Array) -> jax.Array:
    net, branch = jax.tree.map(jnp.asarray, net), branch.astype(jnp.int32)
    factors = _factors(net, branch).T
    islanded = jnp.isinf(factors).any(1)[:, None]
    factors, out = (
        jnp.where(islanded, 0, factors),
        jnp.arange(net.n_branch, dtype=jnp.int32)[None] == branch[:, None],
    )

    def after(s: jax.Array) -> jax.Array:
        p, q = phasor.unstack(s)
        return jnp.hypot(p[None] + factors * take(p, branch)[:, None], q[None]) / net.rating[None]

    s_from, s_to = branch_powers(net, jnp.stack([v.real - 1, v.imag]).astype(net.dtype))
    loading = jnp.maximum(after(s_from), after(s_to))
    return jnp.where(islanded, jnp.inf, jnp.where(out, 0, loading))
