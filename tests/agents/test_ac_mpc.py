"""Plans by the AC power flow against PYPOWER's optimal power flow, and against the simulator."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gym_anm.envs.anm6_env.network import network as anm6

import anmjax
from anmjax.agents.mpc import MPC, MPCConstant, MPCPerfect
from anmjax.tasks.anm6_easy import ANM6Easy
from tests.agents.ac_opf import optimal_power_flow
from tests.agents.test_mpc import Told, planned, task

LANES = 8


def situations(net: anmjax.Network) -> list[Any]:
    """Light loads and much wind and sun, so that branches are at their limits; charges from empty to full."""
    rng = np.random.default_rng(0)
    loads, generators, storage = (list(x) for x in (net.loads, net.generators, net.storage))
    return [
        (
            net.soc_min[storage] + rng.choice([0, 1, rng.random()]) * (net.soc_max - net.soc_min)[storage],
            net.p_min[loads][:, None] * rng.uniform(0, 0.5, (len(loads), 1)),
            net.p_max[generators][:, None] * rng.uniform(0.2, 1, (len(generators), 1)),
        )
        for _ in range(LANES)
    ]


def policy(r: float = 1.0) -> MPC:
    """A policy that plans one step, on ANM6 with impedances so many times as great."""
    network = {**anm6, "branch": np.array(anm6["branch"], float)}
    network["branch"][:, 2:4] *= r
    return Told(
        task(network, 0.25, 100.0, 0.995), planning_steps=1, safety_margin=1, ac=True, num_linearisations=4
    )


@pytest.mark.slow
def test_one_stage_costs_what_pypowers_optimal_power_flow_costs():
    net = anmjax.Network.from_dict(anm6)
    asked = situations(net)
    plan = planned(policy(), asked)
    at_limit = 0
    for lane, (soc, p_load, p_potential) in enumerate(asked):
        best = optimal_power_flow(net, p_load[:, 0], p_potential[:, 0], soc, 0.25)
        if not best.found:
            continue
        # The polygon within the circle of a branch's rating costs 0.1 % of it.
        slightly_more = 1e-3 * np.abs(net.rating).max()
        limited = best.loading.max() > 0.999
        at_limit += limited
        assert -1e-6 <= plan.cost[lane] - best.cost <= (slightly_more if limited else 1e-6)
    assert at_limit >= 3


@pytest.mark.slow
def test_where_no_plan_has_a_power_flow_it_says_so_in_finite_numbers():
    asked = situations(anmjax.Network.from_dict(anm6))
    plan = planned(policy(r=50.0), asked)
    collapsed = np.isinf(plan.cost)
    assert collapsed.any()
    assert not np.any(plan.converged & collapsed)
    for x in (plan.p_generators, plan.q_generators, plan.p_storage, plan.q_storage, plan.soc):
        assert np.isfinite(x).all()


def simulated(env: Any, states: Any, plan: Any, steps: int) -> tuple[np.ndarray, Any]:
    """What the plans cost in the simulator, (lanes,) p.u., and the states in the end."""
    step, total = jax.jit(jax.vmap(env.step)), 0
    for i in range(steps):
        parts = plan.p_generators, plan.q_generators, plan.p_storage, plan.q_storage
        actions = jnp.concatenate([part[:, :, i] for part in parts], 1) * env.network.base_mva
        states = step(states, actions)
        net, lost = env.network, (states.metrics["e_loss"] + states.metrics["penalty"]) / env.delta_t
        fixed = states.grid.p[:, list(net.loads)].sum(1) + states.grid.p_potential.sum(1)
        total += env.gamma**i * (lost - fixed)
    return np.asarray(total), states


@pytest.mark.slow
def test_a_plan_costs_what_it_says_and_less_than_by_the_dc_power_flow():
    env, steps = ANM6Easy(), 3
    # Three with empty storage, where a branch is overloaded whatever is done.
    hours = jnp.concatenate([jnp.arange(0, 96, 8), jnp.array([30, 36, 66])])
    soc = jnp.concatenate([jnp.linspace(20, 80, 12), jnp.full(3, 0.5)])
    starts = jax.vmap(env.start_at)(hours, soc[:, None])
    states = jax.jit(jax.vmap(env.reset_to))(jax.random.split(jax.random.key(0), 15), starts)
    options = {"planning_steps": steps, "safety_margin": 1.0}
    ours = jax.jit(jax.vmap(MPCPerfect(env, ac=True, **options).plan))(states)
    dc = jax.jit(jax.vmap(MPCPerfect(env, **options).plan))(states)
    cost, after = simulated(env, states, ours, steps)
    np.testing.assert_allclose(ours.cost, cost, atol=1e-4)
    np.testing.assert_allclose(after.grid.soc, ours.soc[:, :, -1], atol=1e-4)
    by_dc, _ = simulated(env, states, dc, steps)
    assert np.all(cost < by_dc)
    assert np.all(cost[12:] < 0.9 * by_dc[12:])


def test_the_number_of_linearisations_is_checked():
    with pytest.raises(ValueError, match="num_linearisations is -1, expected a whole number, not negative"):
        MPCConstant(ANM6Easy(), ac=True, num_linearisations=-1)
