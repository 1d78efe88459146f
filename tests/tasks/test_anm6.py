"""ANM6-v0: the day of ANM6Easy-v0, times noise that planners may be told of."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax.agents.baselines import do_nothing_policy
from anmjax.tasks import ANM6

KEY = jax.random.key(0)
LANES, STEPS = 64, 48


@pytest.fixture(scope="module")
def env() -> ANM6:
    return anmjax.make("ANM6-v0")


@pytest.fixture(scope="module")
def rollout(env: ANM6) -> anmjax.State:
    """States of doing nothing from drawn starts, (STEPS + 1, LANES, ..)."""
    action = do_nothing_policy(env).action

    @jax.jit
    @jax.vmap
    def run(key: jax.Array) -> anmjax.State:
        first = env.reset(key)
        states = jax.lax.scan(lambda s, _: (env.step(s, action),) * 2, first, None, length=STEPS)[1]
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, states)

    states = run(jax.random.split(KEY, LANES))
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), states)


def test_loads_and_potentials_are_the_table_times_factors_within_their_limits(env, rollout):
    net, table = env.network, np.asarray(env.tables)
    z, time = rollout.aux[..., :-1], np.asarray(rollout.aux[..., -1], int)
    factor = np.asarray(jax.vmap(jax.vmap(env.factors))(z))
    loads, generators = np.array(net.loads), np.array(net.generators)
    alive = ~np.asarray(rollout.terminated)
    expected = np.clip(table[time] * factor / 100, *(
        np.concatenate([np.asarray(x)[loads], np.asarray(x)[generators]]) for x in (net.p_min, net.p_max)
    ))  # fmt: skip
    np.testing.assert_allclose(rollout.grid.p[..., loads][alive], expected[..., :3][alive], atol=1e-14)
    np.testing.assert_allclose(rollout.grid.p_potential[alive], expected[..., 3:][alive], atol=1e-14)
    np.testing.assert_array_equal(time[1:][alive[1:]], ((time[:-1] + 1) % 96)[alive[1:]])
    assert factor.min() >= 0
    assert factor[..., 3].max() <= 1


def test_doing_nothing_violates_a_rating_in_the_stated_share_of_the_steps(env, rollout):
    assert not rollout.terminated.any()
    voltage, branch = np.moveaxis(np.asarray(rollout.costs)[1:] > 0, -1, 0)
    assert "a branch rating in 87 % of the steps" in (type(env).__doc__ or "")
    # 64 lanes of half a day: some 64 x 6 memories of the noise.
    assert abs(branch.mean() - 0.87) < 0.05
    assert not voltage.any()


def test_noise_is_stationary_from_the_start_and_remembers_two_hours(rollout):
    z = np.where(np.asarray(rollout.terminated)[..., None], np.nan, rollout.aux[..., :-1])
    # 64 x 5 independent values at the start; later some 5 memories of each lane more.
    assert abs(z[0].mean()) < 5 / np.sqrt(320)
    assert abs(z[0].std() - 1) < 5 / np.sqrt(640)
    assert abs(np.nanstd(z) - 1) < 0.12
    for lag in (1, 8):
        assert abs(np.nanmean(z[lag:] * z[:-lag]) / np.nanvar(z) - np.exp(-lag / 8)) < 0.1
    assert len(np.unique(z[1, :, 0])) == LANES


def test_planners_are_told_what_comes(env, rollout):
    lane = int(np.argmin(np.asarray(rollout.terminated).sum(0)))
    state = jax.tree.map(lambda x: x[3, lane], rollout)
    assert not state.terminated
    p_load, p_max = jax.jit(env.coming_profiles, static_argnums=1)(state, 10)
    n = len(env.network.generators)
    coming = jax.tree.map(lambda x: x[4:14, lane], rollout).grid
    limit = np.asarray(env.network.p_max)[np.array(env.network.generators)][:, None]
    np.testing.assert_allclose(p_load.T, coming.p[:, np.array(env.network.loads)], atol=1e-14)
    np.testing.assert_allclose(np.minimum(p_max, limit).T, coming.p_potential[:, :n], atol=1e-14)


def test_evaluation_starts_are_every_time_of_day_without_noise(env):
    starts = env.evaluation_starts()
    np.testing.assert_array_equal(starts.aux[:, -1], np.arange(96))
    np.testing.assert_array_equal(starts.aux[:, :-1], 0)
    cloud = 0.2 + 0.8 * 0.5**0.5
    np.testing.assert_allclose(starts.p_max, np.asarray(env.tables)[:, 3:] * [cloud, 1.0], rtol=1e-12)
    assert env.observation_cycles == ((22, 96.0),)
    assert (env.observation_space.shape, env.action_space.shape) == ((23,), (6,))
