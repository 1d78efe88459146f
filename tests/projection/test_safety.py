"""The safety layer: within limits by the AC power flow, differentiable, never without an answer."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax.agents.violation import VIOLATION_TOLERANCE, violates
from anmjax.projection import project_safe, project_to_device_region
from anmjax.projection.controls import reach
from anmjax.wrappers import SafeAction

LANES = 96


@pytest.fixture(scope="module")
def env():
    return anmjax.make("ANM6Easy-v0")


@pytest.fixture(scope="module")
def states(env):
    """Reached by a step of a random action each; collapsed ones left out."""
    keys = jax.random.split(jax.random.key(0), 4 * LANES)
    start = jax.jit(jax.vmap(env.reset))(keys)
    after = jax.jit(jax.vmap(env.step))(start, jax.vmap(env.action_space.sample)(keys))
    lanes = np.flatnonzero(~np.asarray(after.terminated))[:LANES]
    return jax.tree.map(lambda x: x[lanes], after)


@pytest.fixture(scope="module")
def actions(env):
    return jax.vmap(env.action_space.sample)(jax.random.split(jax.random.key(1), LANES))


@pytest.fixture(scope="module")
def project(env):
    """The layer with a perfect forecast, for one lane, compiled for batches of ``LANES``."""

    def run(network, state, action):
        p_load, p_potential, _ = env.exogenous(state)
        return project_safe(
            network,
            state.grid,
            action,
            delta_t=env.delta_t,
            p_load=p_load,
            p_potential=p_potential,
            num_linearisations=3,  # from states far beyond their limits
            num_iters=25,
        )

    return jax.jit(jax.vmap(run, in_axes=(None, 0, 0)))


@pytest.fixture(scope="module")
def safe(project, env, states, actions):
    return project(env.network, states, actions)


@pytest.mark.long
def test_what_the_linear_limits_allow_the_power_flow_confirms(env, states, actions, safe):
    step = jax.jit(jax.vmap(env.step))
    raw, after = step(states, actions), step(states, safe.action)
    allowed = np.asarray(safe.violation) < VIOLATION_TOLERANCE
    assert allowed.mean() > 0.5
    broken = np.asarray(violates(after.metrics) | after.terminated)
    assert np.asarray(violates(raw.metrics) | raw.terminated).mean() > 0.9
    assert broken[allowed].mean() < 0.05
    total = [np.asarray(s.metrics["voltage_violation"] + s.metrics["branch_violation"]) for s in (raw, after)]
    assert total[1].mean() < 0.1 * total[0].mean()


@pytest.mark.slow
def test_random_days_keep_the_limits_that_are_in_reach(env):
    wrapped = SafeAction(env)

    def day(key):
        def step(state, key):
            after = wrapped.step(state, env.action_space.sample(key))
            broken = violates(after.metrics) | after.terminated
            return after, (broken, after.metrics["safe_violation"] < VIOLATION_TOLERANCE)

        return jax.lax.scan(step, wrapped.reset(key), jax.random.split(key, 96))[1]

    broken, allowed = jax.jit(jax.vmap(day))(jax.random.split(jax.random.key(3), 16))
    assert allowed.mean() > 0.5
    assert broken[allowed].mean() < 0.01


def test_project_safe_names_an_argument_that_does_not_fit(env, states):
    grid = jax.tree.map(lambda x: x[0], states.grid)
    for arguments, message in (
        ({"action": jnp.zeros(5)}, r"the action has shape \(5,\), expected \(6,\)"),
        ({"p_load": jnp.zeros(1)}, r"p_load has shape \(1,\), expected \(3,\)"),
        ({"p_potential": jnp.zeros((2, 1))}, r"p_potential has shape \(2, 1\), expected \(2,\)"),
        ({"num_linearisations": -1}, "num_linearisations is -1, expected a whole number, not negative"),
        ({"num_linearisations": 1.5}, "num_linearisations is 1.5, expected a whole number, not negative"),
    ):
        given = {"action": jnp.zeros(6), **arguments}
        action = given.pop("action")
        with pytest.raises(ValueError, match=message):
            project_safe(env.network, grid, action, delta_t=env.delta_t, **given)


def test_every_device_can_follow_the_action(env, states, safe):
    after = jax.jit(jax.vmap(env.step))(states, safe.action)
    net = env.network
    done = (
        after.grid.p[:, list(net.generators + net.storage)],
        after.grid.q[:, list(net.generators + net.storage)],
    )
    asked = np.asarray(safe.action) / net.base_mva
    np.testing.assert_allclose(done[0], asked[:, [0, 1, 4]], atol=1e-9)
    np.testing.assert_allclose(done[1], asked[:, [2, 3, 5]], atol=1e-9)


def test_without_network_limits_it_is_the_projection_on_the_devices(env, project, states, actions):
    net = env.network
    wide = replace(
        net,
        rating=jnp.full_like(net.rating, jnp.inf),
        v_max=jnp.full_like(net.v_max, jnp.inf),
        v_min=jnp.full_like(net.v_min, -jnp.inf),
    )
    ours = project(wide, states, actions)

    def alone(state, action):
        _, potential, _ = env.exogenous(state)
        potential = jnp.clip(potential, 0, net.p_max[np.array(net.generators)])
        devices = reach(net, state.grid.soc, potential, delta_t=env.delta_t)
        a = action / net.base_mva
        return jnp.concatenate(
            project_to_device_region(a[np.array([0, 1, 4])], a[np.array([2, 3, 5])], *devices)
        )

    nearest = jax.vmap(alone)(states, actions)[:, [0, 1, 3, 4, 2, 5]] * net.base_mva
    # MW: without limits of the network only the rounding of the region's program is left.
    np.testing.assert_allclose(ours.action, nearest, atol=1e-4)
    assert np.all(ours.violation == 0)


def test_a_safe_action_is_left_where_it_is(env, project, states, safe):
    inside = np.asarray(safe.violation) < 1e-9
    again = project(env.network, states, safe.action)
    # The second linearisation is at another point, so the margin may move a little.
    assert np.median(np.asarray(again.distance)[inside]) < 2e-3


@pytest.mark.long
def test_derivatives_are_central_differences(env, project, states, actions):
    change = jax.random.normal(jax.random.key(2), actions.shape)
    ours = jax.jit(lambda s, a, d: jax.jvp(lambda a: project(env.network, s, a).action, (a,), (d,))[1])(
        states, actions, change
    )
    step = 1e-4
    ends = [project(env.network, states, actions + s * change).action for s in (step, -step)]
    slope = (np.asarray(ends[0]) - np.asarray(ends[1])) / (2 * step)
    error = np.abs(slope - np.asarray(ours)).max(1) / (1 + np.abs(slope).max(1))
    assert np.all(np.isfinite(ours))
    # A fifth of the lanes may stand at kinks, where a limit begins to bind within the step.
    assert np.quantile(error, 0.8) < 1e-4


def test_a_collapsed_lane_is_answered_and_disturbs_no_other(env, project, states, actions, safe):
    ended = jax.tree.map(
        lambda x: x.at[0].set(jnp.zeros_like(x[0])), replace(states.grid, v=jnp.ones_like(states.grid.v))
    )
    mixed = project(env.network, replace(states, grid=replace(ended, v=states.grid.v)), actions)
    assert np.all(np.isfinite(mixed.action))
    np.testing.assert_array_equal(mixed.action[1:], safe.action[1:])


@pytest.mark.long
def test_the_wrapper_steps_with_the_safe_action_and_says_how_far_it_moved(env, states, actions, safe):
    wrapped = SafeAction(env, num_linearisations=3, num_iters=25)
    begun = jax.eval_shape(wrapped.reset, jax.random.key(0))
    inner = replace(
        states,
        metrics={
            **states.metrics,
            "safe_distance": jnp.zeros(LANES, states.reward.dtype),
            "safe_violation": jnp.zeros(LANES, states.reward.dtype),
        },
    )
    after = jax.jit(jax.vmap(wrapped.step))(inner, actions)
    assert jax.tree.structure(begun) == jax.tree.structure(after)
    # Two compiled programs round differently: of the projection's answer, then of a step's penalties, which
    # are lambda delta_t = 25 times a violation.
    np.testing.assert_allclose(after.metrics["safe_distance"], safe.distance, atol=1e-6)
    direct = jax.jit(jax.vmap(env.step))(states, safe.action)
    np.testing.assert_allclose(after.reward, direct.reward, atol=1e-5)


def test_an_unknown_forecast_is_refused(env):
    with pytest.raises(ValueError, match="forecast is 'tomorrow', expected 'perfect' or 'persistence'"):
        SafeAction(env, forecast="tomorrow")
