"""The energy that a step loses is what branches, battery and unused sun take, whoever injects."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from tests.envs.samples import RENEWABLE, STORAGE, Feeder, start

FIXED = {"p_fixed": np.array([0.0, -0.02, 0.05, 0.01]), "q_fixed": np.array([0.0, 0.01, 0.0, -0.02])}


@pytest.mark.parametrize("fixed", [{}, FIXED], ids=["devices alone", "fixed injections too"])
def test_it_is_what_branches_and_the_battery_take_and_renewables_leave_unused(fixed: dict) -> None:
    env = Feeder(costs_clipping=(100, 100), tol=1e-11)
    env = env.replace(network=env.network.replace(**fixed))
    net = env.network
    state = jax.jit(env.reset_to)(jax.random.key(0), start(demand=-5.0, potential=6.0, soc=4.0))
    # 3 MW of 6 are let out of the renewable generator, 2 MW go into the battery.
    action = jnp.array([3.0, 1.0, 0.0, 0.0, -2.0, 0.0])
    after = jax.jit(env.step)(state, action)
    p = np.asarray(after.grid.p)
    np.testing.assert_allclose(p[[RENEWABLE, STORAGE]] * net.base_mva, [3.0, -2.0], rtol=1e-9)

    losses = np.asarray(anmjax.branch_losses(net, after.grid.v)).real.sum()
    assert losses > 1e-4
    unused = 6.0 / net.base_mva - p[RENEWABLE]
    by_hand = env.delta_t * (losses - p[STORAGE] + unused)
    np.testing.assert_allclose(
        after.metrics["e_loss"], by_hand, rtol=0, atol=1e-7
    )  # the mismatch that is left
