"""Costs apart from the reward: what a learner with constraints sees, and what a collapse costs it."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

import anmjax
from anmjax import State
from tests.agents.probes import Match
from tests.envs.samples import COLLAPSE_MW, Feeder, branch_ends, start

KEY = jax.random.key(0)
IDLE = jnp.zeros(6)
# Solved far beyond the default, so that a difference quotient is one of the solution.
ENV = Feeder(tol=1e-12, num_iters=16)


@jax.jit
def reset_to(vector: jax.Array) -> State:
    return ENV.reset_to(KEY, vector)


@jax.jit
def step(state: State, action: jax.Array) -> State:
    return ENV.step(state, action)


def test_costs_are_the_violations_of_voltages_and_of_branches() -> None:
    assert ENV.cost_names == ("voltage_violation", "branch_violation")
    first = reset_to(start())
    np.testing.assert_array_equal(first.costs, np.zeros(2))
    seen = np.zeros(2, bool)
    for demand in (-1.0, -18.0, -25.0):
        state = step(reset_to(start(demand=demand, potential=8.0)), IDLE)
        net, vm = ENV.network, np.abs(state.grid.v)
        flow = np.maximum(*np.abs(branch_ends(net, np.asarray(state.grid.v))))
        voltage = (np.maximum(0, vm - net.v_max) + np.maximum(0, net.v_min - vm)).sum()
        branch = np.maximum(0, flow - net.rating).sum()
        # The same arithmetic in another order, on voltages of about 1.
        np.testing.assert_allclose(state.costs, [voltage, branch], rtol=1e-12, atol=1e-14)
        metrics = [state.metrics[name] for name in ENV.cost_names]
        np.testing.assert_array_equal(state.costs, metrics)
        seen |= np.asarray(state.costs) > 0
    assert seen.all()


def test_a_collapse_costs_the_voltage_of_every_bus_but_the_slack() -> None:
    end = step(replace(reset_to(start()), aux=jnp.array([5.0, COLLAPSE_MW, 1.0])), IDLE)
    assert end.terminated
    # Three buses whose v_min is 0.98, at 0.
    np.testing.assert_allclose(end.costs, [3 * 0.98, 0], rtol=1e-15)
    np.testing.assert_array_equal(step(end, IDLE).costs, np.zeros(2))


def test_costs_have_the_derivatives_of_differences_and_none_of_a_collapse() -> None:
    first = reset_to(start(potential=8.0))

    @jax.jit
    @jax.vmap
    def jacobian_and_costs(action: jax.Array, demand: jax.Array) -> tuple[jax.Array, jax.Array]:
        def costs(action: jax.Array) -> tuple[jax.Array, jax.Array]:
            state = ENV.step(
                replace(first, aux=jnp.stack([jnp.full_like(demand, 5), demand, first.aux[2]])), action
            )
            return state.costs, state.costs

        return jax.jacrev(costs, has_aux=True)(action)

    # P of PV and generator, Q of them, P and Q of storage: inside their regions.
    action, step = jnp.array([4.0, 2.0, 0.5, 0.5, 0.5, 0.5]), 1e-5
    actions = action[None] + step * jnp.concatenate([jnp.eye(6), -jnp.eye(6), jnp.zeros((2, 6))])
    exact, near = jacobian_and_costs(actions, jnp.array(13 * [-25.0] + [COLLAPSE_MW]))
    # Rounding of 1e-16 over a step of 1e-5, and the curvature of 1e-10.
    np.testing.assert_allclose(exact[12], (near[:6] - near[6:12]).T / (2 * step), atol=1e-9)
    assert (np.abs(exact[12]).max(1) > 1e-3).all()
    np.testing.assert_array_equal(exact[13], np.zeros((2, 6)))


def test_an_environment_without_costs_has_none() -> None:
    state = jax.eval_shape(Match().reset, KEY)
    assert state.costs.shape == jax.eval_shape(Match().step, state, jnp.zeros(1)).costs.shape == (0,)
    assert not hasattr(anmjax.TimeLimit(Match(), max_steps=1), "cost_names")
    assert anmjax.TimeLimit(ENV, max_steps=1).cost_names == ENV.cost_names
