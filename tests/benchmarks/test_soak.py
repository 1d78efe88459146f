"""Every promise that the long run of random steps watches over is seen where it is broken."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import anmjax
from benchmarks.robustness.soak import broken

ENV = anmjax.make("ANM6Easy-v0")
NET = ENV.network
GENERATOR, STORAGE = NET.generators[0], NET.storage[0]


def with_p(device, p):
    return lambda good: good.replace(grid=good.grid.replace(p=good.grid.p.at[device].set(p)))


def with_v(factor):
    return lambda good: good.replace(grid=good.grid.replace(v=good.grid.v.at[-1].multiply(factor)))


SPOILED = {
    "not_finite": lambda good: good.replace(reward=good.reward * np.nan),
    "charge_out_of_limits": lambda good: good.replace(grid=good.grid.replace(soc=good.grid.soc + 10)),
    "injection_out_of_limits": with_p(GENERATOR, 1.01 * NET.p_max[GENERATOR]),
    "observation_out_of_bounds": lambda good: good.replace(obs=ENV.observation_space.high * 1.01 + 1),
    "observation_is_not_the_state": lambda good: good.replace(obs=good.obs.at[0].add(0.001)),
    "ended_though_converged": lambda good: good.replace(terminated=~good.terminated),
    "went_on_though_collapsed": lambda good: good.replace(
        metrics=good.metrics | {"converged": ~good.metrics["converged"]}
    ),
    # 0.1 % of 1 p.u. drives 0.001 |y| through a branch, far more than the 1e-5 p.u. of the power flow.
    "power_out_of_balance": with_v(1.001),
    "steps_miscounted": lambda good: good.replace(t=good.t + 1),
    "negative_losses": with_p(NET.slack_device, -3.0),
    "storage_made_energy": with_p(STORAGE, 0.1),
    "reward_out_of_bounds": lambda good: good.replace(reward=good.reward - 1.01 * sum(ENV.costs_clipping)),
}


@pytest.fixture(scope="module")
def step():
    """A start, and itself as what a step led to: the storage unit gives and takes nothing."""
    initial = jax.tree.map(lambda leaf: leaf[0], ENV.evaluation_starts())
    start = jax.jit(ENV.reset_to)(jax.random.key(0), initial)
    return start, start.replace(t=start.t + 1, metrics=start.metrics | {"final_obs": start.obs})


def test_a_good_step_breaks_no_promise(step):
    flags = broken(ENV, *step)
    assert flags.keys() == SPOILED.keys()
    assert not any(flags.values())


@pytest.mark.parametrize("promise", SPOILED)
def test_a_promise_that_is_broken_is_told_of(step, promise):
    before, good = step
    assert broken(ENV, before, SPOILED[promise](good))[promise]
