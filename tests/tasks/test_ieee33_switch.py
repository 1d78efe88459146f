"""IEEE33Switch-v0: loops and islands, and what the derivative says of switches."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax.agents.baselines import do_nothing_policy

pytestmark = pytest.mark.long

SWITCHES = 10  # at the end of an action: five sections, closed, then five ties, open


def test_a_closed_tie_is_a_loop_an_open_section_an_island_and_no_derivative_asks_for_islands() -> None:
    env = anmjax.make("IEEE33Switch-v0", tol=1e-10)
    low, high = env.action_space.low[-SWITCHES:], env.action_space.high[-SWITCHES:]
    np.testing.assert_array_equal((low + high) / 2, [1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
    idle = do_nothing_policy(env).action
    start = jax.tree.map(lambda x: x[40], env.evaluation_starts())
    begun = jax.jit(env.reset_to)(jax.random.key(0), start)

    def reward(action: jax.Array) -> tuple[jax.Array, anmjax.State]:
        state = env.step(begun, action)
        return state.reward, state

    step = jax.jit(jax.vmap(jax.value_and_grad(reward, has_aux=True)))
    tie, section = idle.at[-1].set(1.0), idle.at[-SWITCHES].set(0.0)
    both = tie.at[-7].set(0.0)  # line 28 open, tie 37 closed: a tree again
    (rewards, states), slopes = step(jnp.stack([idle, tie, section, both]))
    np.testing.assert_array_equal(states.metrics["loops"], [0, 1, 0, 0])
    np.testing.assert_array_equal(states.terminated, [False, False, True, False])
    # A loop costs 0.05 p.u. of violated limits, the step being a quarter of an hour.
    costs = states.metrics["e_loss"] + states.metrics["penalty"]
    loops = (-rewards - costs)[jnp.array([0, 1, 3])]
    np.testing.assert_allclose(loops, [0, 1.25, 0], atol=1e-9)
    # A section that conducts worse, with an island at its end, serves nobody: nothing asks to open one.
    assert (slopes[0, -SWITCHES:-5] > -1e-3).all(), slopes[0, -SWITCHES:]
