"""Energy loss and constraint violations of an operating point, and the reward made of them.

    e_loss  = dt ( sum of P over generators, slack included, loads and fixed injections
                   + sum over renewables of max(0, p_potential - P) )
    penalty = dt lambda ( sum over buses of max(0, |V| - v_max) + max(0, v_min - |V|)
                          + sum over branches of max(0, |S| - rating) )
    reward  = -( sign(e_loss) min(|e_loss|, c1) + min(penalty, c2) ),

|S| the larger of the apparent powers at the two ends of a branch, all in p.u. A reward of "energy" has no
penalty in it. Where loads may wait, any reward has less by

    min(sum over loads that may wait of unserved_cost unserved, c2).

Reference: Henry & Ernst, "Gym-ANM", Energy and AI 5 (2021), eqs. 12-15; gym-anm 2.0.1, simulator.py.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.envs.records import GridState
from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.gather import take
from anmjax.powerflow.branches import branch_powers
from anmjax.powerflow.equations import voltage
from anmjax.powerflow.solve import Solution

REWARDS = ("penalized", "energy")  # energy lost and penalty, or energy lost alone
COST_NAMES = ("voltage_violation", "branch_violation")  # entries of ``State.costs``


@struct.dataclass
class Costs:
    """What one step costs, before weighting and clipping."""

    energy: jax.Array  # (*batch) p.u.h, energy lost, curtailed energy included
    voltage_violation: jax.Array  # (*batch) p.u., summed over buses
    branch_violation: jax.Array  # (*batch) p.u., summed over branches
    curtailment: jax.Array  # (*batch) p.u., summed over renewable generators
    # Of loads that may wait; None: there is none.
    unserved: jax.Array | None = None  # (*batch) p.u.h, not served, summed
    shortfall: jax.Array | None = None  # (*batch) p.u.h, the same weighted by what each costs


def costs(net: Network, grid: GridState, solution: Solution, *, delta_t: float) -> Costs:
    """Costs of an operating point, batch trailing."""
    renewables = np.array(net.renewables, int)
    position = {device: k for k, device in enumerate(net.generators)}
    in_generators = np.array([position[device] for device in net.renewables], int)
    unused = jnp.maximum(0, take(grid.p_potential, in_generators) - take(grid.p, renewables))
    curtailment = jnp.where(jnp.isnan(unused), 0, unused).sum(0)  # a potential that is NaN: a collapse
    not_storage = np.array([i for i in range(net.n_device) if i not in net.storage], int)

    vm = phasor.magnitude(voltage(solution.d))
    too_high, too_low = jnp.maximum(0, vm - net.v_max), jnp.maximum(0, net.v_min - vm)
    s_from, s_to = branch_powers(net, solution.d)
    s = jnp.maximum(phasor.magnitude(s_from), phasor.magnitude(s_to))
    lost = take(grid.p, not_storage).sum(0)
    if net.p_fixed is not None:
        lost = lost + net.p_fixed.sum(0)
    return Costs(
        energy=delta_t * (lost + curtailment),
        voltage_violation=(too_high + too_low).sum(0),
        branch_violation=jnp.maximum(0, s - net.rating).sum(0),
        curtailment=curtailment,
        unserved=None if grid.unserved is None else grid.unserved.sum(0),
        shortfall=None if grid.unserved is None else _shortfall(net, grid.unserved),
    )


def _shortfall(net: Any, unserved: jax.Array) -> jax.Array:
    return (net.flexibility.unserved_cost * unserved).sum(0)


def nothing_lost(net: Network) -> Costs:
    """Costs of no step, all 0."""
    zero = jnp.zeros((), net.dtype)
    return Costs(*[zero] * 4, *[zero if net.flexible else None] * 2)


def reward_of(
    cost: Costs, solved: jax.Array, *, kind: str, weight: float, clipping: tuple[float, float], gamma: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Energy loss and penalty as clipped, and the reward of a step.

    Args:
      cost: of the operating point.
      solved: () bool, False where the network has collapsed: a reward that is the same for all kinds.
      kind: one of ``REWARDS``.
      weight: h, penalty of a violation of 1 p.u.: delta_t lambda.
      clipping: p.u.h, c1 and c2.
      gamma: discount factor.
    """
    c1, c2 = clipping
    e_loss = jnp.clip(cost.energy, -c1, c1)
    penalty = jnp.minimum(weight * (cost.voltage_violation + cost.branch_violation), c2)
    counted = e_loss if kind == "energy" else e_loss + penalty
    if cost.shortfall is not None:
        counted = counted + jnp.minimum(cost.shortfall, c2)
    return (
        jnp.where(solved, e_loss, c1),
        jnp.where(solved, penalty, c2),
        jnp.where(solved, -counted, return_of_collapse(c2, gamma)),
    )


def return_of_collapse(c2: float, gamma: float) -> float:
    """What a collapse costs once and for all: the largest penalty, in every step that would have followed."""
    return -c2 / (1 - gamma) if gamma < 1 else -math.inf


def state_costs(net: Network, cost: Costs, solved: jax.Array) -> jax.Array:
    """What a learner with constraints is to limit, apart from the reward: ``State.costs`` of a step.

    A collapse costs what a network costs whose buses are all at 0 p.u. but the slack bus: without voltage no
    branch carries anything.

    Args:
      net: network.
      cost: of the operating point.
      solved: () bool, False where the network has collapsed.

    Returns:
      (2,) p.u., by ``COST_NAMES``, neither weighted nor clipped.
    """
    dark = net.v_min.sum() - net.v_min[net.slack]
    collapsed = jnp.stack([dark, jnp.zeros_like(dark)])
    return jnp.where(solved, jnp.stack([cost.voltage_violation, cost.branch_violation]), collapsed)


def metrics_of(
    cost: Costs, e_loss: jax.Array, penalty: jax.Array, grid: GridState, action_finite: jax.Array
) -> dict[str, jax.Array]:
    """The metrics of a step, whose meaning is in the docstring of ``ANMEnv``.

    Args:
      cost: of the operating point.
      e_loss: () p.u.h, as clipped in the reward.
      penalty: () p.u.h, as clipped in the reward.
      grid: the operating point.
      action_finite: () bool, the action had no NaN and no infinity in it.
    """
    return {
        **({} if cost.unserved is None else {"unserved": cost.unserved}),
        "e_loss": e_loss,
        "penalty": penalty,
        "voltage_violation": cost.voltage_violation,
        "branch_violation": cost.branch_violation,
        "curtailment": cost.curtailment,
        "mismatch": grid.mismatch,
        "converged": grid.converged,
        "action_finite": action_finite,
    }
