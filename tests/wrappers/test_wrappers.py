"""Wrappers: ends of episodes, what is kept of them, one trace, the same numbers under vmap and scan."""

from __future__ import annotations

import copy

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from flax import struct

import anmjax
from anmjax.wrappers import AutoReset, EpisodeStatistics, NormalizeObservation, NormalizeReward, TimeLimit
from tests.agents.probes import Capped, Constant, Match

KEY = jax.random.key(0)
ACTION = jnp.array([0.3])
ANM6 = anmjax.make("ANM6Easy-v0")


def episodes(env, num_steps, key=KEY, action=ACTION):
    """The states after each of `num_steps` steps, stacked, in one compiled scan."""

    def body(state, _):
        state = env.step(state, action)
        return state, state

    return jax.jit(lambda: jax.lax.scan(body, env.reset(key), length=num_steps)[1])()


def test_a_time_limit_truncates_and_does_not_terminate():
    states = episodes(TimeLimit(Constant(), max_steps=3), 3)
    np.testing.assert_array_equal(states.truncated, [False, False, True])
    assert not states.terminated.any()


def test_a_termination_at_the_limit_is_not_a_truncation():
    states = episodes(TimeLimit(Constant(length=3), max_steps=3), 3)
    assert states.terminated[-1]
    assert not states.truncated.any()


@pytest.mark.parametrize("max_steps", [0, -4, 2.5, "10"])
def test_a_time_limit_that_is_no_number_of_steps_is_refused(max_steps):
    with pytest.raises(ValueError, match=r"max_steps is .* whole number of at least 1"):
        TimeLimit(Constant(), max_steps=max_steps)


@pytest.mark.parametrize("pool_size", [7, None])
def test_auto_reset_returns_a_start_and_keeps_the_end(pool_size):
    env = AutoReset(TimeLimit(Match(), max_steps=4), pool_size=pool_size)
    states = episodes(env, 9)
    np.testing.assert_array_equal(states.t, [1, 2, 3, 0, 1, 2, 3, 0, 1])
    np.testing.assert_array_equal(states.truncated, np.arange(1, 10) % 4 == 0)
    np.testing.assert_array_equal(states.metrics["final_reward"], states.reward)
    ended = np.asarray(states.truncated)
    same = np.all(np.asarray(states.metrics["final_obs"] == states.obs), -1)
    np.testing.assert_array_equal(same, ~ended)
    # The reward of the step after a reset follows from the observation that the reset returned.
    before = np.asarray(states.obs[:-1, 0])
    np.testing.assert_allclose(states.reward[1:], -((0.3 - 1.0 - before) ** 2), rtol=1e-12)


def test_an_episode_has_one_key_and_the_next_another():
    """Of an environment that leaves its key alone, as those on a grid do."""

    @struct.dataclass
    class Steady(Match):
        def step(self, state, action):
            return Match.step(self, state, action).replace(key=state.key)

    states = episodes(AutoReset(TimeLimit(Steady(), max_steps=4), pool_size=7), 9)
    keys = np.asarray(jax.random.key_data(states.key))
    np.testing.assert_array_equal((keys[1:] != keys[:-1]).any(1), states.truncated[1:])
    # The next one's is none that the environment draws with, or will be asked to foresee its draws with.
    drawn_with = jax.vmap(jax.random.fold_in, (None, 0))(states.key[0], jnp.arange(100))
    assert not (np.asarray(jax.random.key_data(drawn_with)) == keys[3]).all(1).any()


def test_auto_reset_keeps_the_costs_of_the_step_that_ended_the_episode():
    env = AutoReset(EpisodeStatistics(TimeLimit(Capped(), max_steps=2)), pool_size=3)
    assert env.cost_names == ("square",)
    np.testing.assert_array_equal(env.start(KEY).costs, [0.0])
    states = episodes(env, 4)
    np.testing.assert_array_equal(states.t, [1, 0, 1, 0])
    # 0.3^2 in every step, its reward beside it.
    np.testing.assert_allclose(states.costs[:, 0], 0.09, rtol=1e-15)
    np.testing.assert_array_equal(states.reward, np.full(4, 0.3))


def test_auto_reset_draws_its_starts_from_the_pool_and_not_always_the_same():
    env = AutoReset(TimeLimit(Match(), max_steps=1), pool_size=5)
    pool = np.asarray(env.pool.obs[:, 0])
    drawn = np.asarray(episodes(env, 200).obs[:, 0])
    # 200 uniform draws miss one of five with probability 5 * 0.8**200 = 2e-19.
    assert set(drawn.tolist()) == set(pool.tolist())


def test_auto_reset_resets_after_a_termination_too_and_clears_the_flag():
    states = episodes(AutoReset(Constant(length=2), pool_size=2), 4)
    np.testing.assert_array_equal(states.terminated, [False, True, False, True])
    np.testing.assert_array_equal(states.reward, np.ones(4))


def test_a_start_of_the_pool_is_what_a_reset_is():
    env = AutoReset(EpisodeStatistics(TimeLimit(Match(), max_steps=4)), pool_size=3)
    start, reset = env.start(KEY), env.reset(KEY)
    assert jax.tree.structure(start) == jax.tree.structure(reset)
    assert float(start.obs[0]) in np.asarray(env.pool.obs[:, 0]).tolist()
    np.testing.assert_array_equal(start.metrics["final_obs"], start.obs)
    assert int(start.t) == 0
    np.testing.assert_array_equal(jax.random.key_data(start.key), jax.random.key_data(KEY))
    # Without a pool it is a reset of its own.
    assert np.isfinite(AutoReset(Match(), pool_size=None).start(KEY).obs).all()


def hours_of_starts(*, renew):
    """Hours of 20,480 starts, in 40 chunks of a loop that may renew the pool between them."""
    env = AutoReset(Hour(), pool_size=8192)

    @jax.jit
    def chunk(env, keys):
        return jax.vmap(lambda key: env.start(key).aux[0])(keys)

    hours = []
    for k in range(40):
        hours.append(chunk(env, jax.random.split(jax.random.key(100 + k), 512)))
        if renew:
            env = env.renewed(jax.random.key(k))
    return np.concatenate(hours).astype(int)


@struct.dataclass
class Hour(Constant):
    """Begins at an hour that ANM6Easy-v0 draws for a start, uniform over 96."""

    def next_signal(self, key, action):
        return ANM6.init_state(key).aux


def test_starts_of_a_pool_that_is_renewed_pass_for_draws_of_reset_and_others_do_not():
    # Chi-square of 96 hours, on average 95. With n draws from a pool of m it is 1 + n / m times as large:
    # with 512 from each of 40 pools of 8,192 1.06 times, with 20,480 from one 3.5 times.
    for renew in (True, False):
        p = scipy.stats.chisquare(np.bincount(hours_of_starts(renew=renew), minlength=96)).pvalue
        assert (p > 0.01) == renew, p
    assert p < 1e-10  # of 3.5 * 95 = 333


def test_20_000_hours_after_auto_resets_are_those_of_resets_and_those_of_a_pool_of_1_024_are_not():
    # Chi-square of 96 hours, on average 95, is 1 + n / m times as large with n draws from a pool of m:
    # 1.15 times with the default of 131,072, 20.5 times with 1,024.
    keys = jax.random.split(jax.random.key(1), 20_000)

    @jax.jit
    def ended(env, keys):
        return jax.vmap(lambda key: env.step(env.start(key), ACTION))(keys)

    def p_value(env):
        states = ended(env, keys)
        assert (states.t == 0).all()
        return scipy.stats.chisquare(np.bincount(states.aux[:, 0].astype(int), minlength=96)).pvalue

    env = TimeLimit(Hour(), max_steps=1)
    assert p_value(AutoReset(env)) > 0.01
    assert p_value(AutoReset(env, pool_size=1024)) < 1e-6


def test_a_share_of_the_pool_is_renewed_and_the_rest_stays():
    env = AutoReset(Match(), pool_size=40)
    after = env.renewed(KEY, share=0.25)
    same = np.asarray(after.pool.obs[:, 0]) == np.asarray(env.pool.obs[:, 0])
    assert same.sum() == 30
    assert jax.tree.structure(after) == jax.tree.structure(env)
    assert len(np.unique(env.renewed(KEY).pool.obs[:, 0])) == 40
    assert AutoReset(Match(), pool_size=None).renewed(KEY).pool is None
    for share in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"share is .*, but must be above 0 and at most 1"):
            env.renewed(KEY, share)


def test_a_pool_of_no_starts_is_refused():
    with pytest.raises(ValueError, match="pool_size is 0"):
        AutoReset(Constant(), pool_size=0)


@pytest.mark.parametrize("outside", [False, True])
def test_episode_statistics_add_up_inside_and_outside_auto_reset(outside):
    limited = TimeLimit(Constant(), max_steps=3)
    if outside:
        env = EpisodeStatistics(AutoReset(limited, pool_size=2))
    else:
        env = AutoReset(EpisodeStatistics(limited), pool_size=2)
    metrics = episodes(env, 7).metrics
    np.testing.assert_array_equal(metrics["episode_return"], [1, 2, 3, 1, 2, 3, 1])
    np.testing.assert_array_equal(metrics["episode_length"], [1, 2, 3, 1, 2, 3, 1])
    np.testing.assert_array_equal(metrics["last_return"], [0, 0, 3, 3, 3, 3, 3])
    np.testing.assert_array_equal(metrics["last_length"], [0, 0, 3, 3, 3, 3, 3])


def test_normalised_observations_have_mean_zero_and_variance_one_after_an_update():
    env = NormalizeObservation(AutoReset(TimeLimit(Match(), max_steps=5), pool_size=16))
    first = episodes(env, 400)
    np.testing.assert_array_equal(first.obs, first.metrics["raw_obs"])
    again = episodes(env.update(first), 400)
    np.testing.assert_allclose(again.metrics["raw_obs"], first.metrics["raw_obs"], rtol=1e-12)
    # The second entry never changes: it becomes 0, not an amplified rounding error.
    np.testing.assert_allclose(again.obs.mean(0), [0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(again.obs.std(0), [1.0, 0.0], atol=1e-9)
    going_on = ~np.asarray(again.truncated)
    np.testing.assert_array_equal(again.metrics["final_obs"][going_on], again.obs[going_on])
    assert np.abs(again.metrics["final_obs"]).max() < 10


def test_scaled_rewards_are_rewards_over_the_deviation_of_the_discounted_return():
    env = NormalizeReward(AutoReset(TimeLimit(Match(), max_steps=5), pool_size=16))
    first = episodes(env, 100)
    raw = np.asarray(first.metrics["raw_reward"])
    returns, total = np.zeros(100), 0.0
    for i in range(100):
        total = raw[i] + (0.0 if i % 5 == 0 else 0.9 * total)
        returns[i] = total
    np.testing.assert_allclose(first.metrics["discounted_return"], returns, rtol=1e-12)
    again = episodes(env.update(first), 100)
    scaled = raw / returns.std()
    np.testing.assert_allclose(again.reward, scaled, rtol=1e-12)
    most = np.median(np.abs(scaled))
    clipped = episodes(NormalizeReward(env.env, env.update(first).statistics, clip=most), 100)
    np.testing.assert_allclose(clipped.reward, np.clip(scaled, -most, most), rtol=1e-12)


def test_every_wrapper_traces_once_across_reset_step_and_auto_reset():
    env = NormalizeReward(
        NormalizeObservation(AutoReset(EpisodeStatistics(TimeLimit(Match(), max_steps=2)), pool_size=4))
    )
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(lambda state: env.step(state, ACTION), 1))
    state = jax.jit(env.reset)(KEY)
    for _ in range(5):
        after = step(state)
        chex.assert_trees_all_equal_shapes_and_dtypes(state, after)
        state = after
    assert state.t == 1


def test_a_batch_of_lanes_gives_what_each_lane_gives_alone():
    env = AutoReset(EpisodeStatistics(TimeLimit(Match(), max_steps=2)), pool_size=4)
    keys = jax.random.split(KEY, 3)
    together = jax.jit(jax.vmap(lambda key: episodes(env, 5, key)))(keys)
    alone = episodes(env, 5, keys[1])
    together = jax.tree.map(lambda leaf: leaf[1], together)
    chex.assert_trees_all_close(together.replace(key=0), alone.replace(key=0), rtol=1e-12)


def test_a_wrapper_hands_on_attributes_and_leaves_of_what_it_wraps():
    env = AutoReset(TimeLimit(Match(), max_steps=2), pool_size=4)
    assert env.delta_t == 0.25
    assert env.max_steps == 2
    assert env.action_space.high == 3.0
    assert copy.deepcopy(env).max_steps == 2
    longer = env.replace(env=env.env.replace(max_steps=3))
    assert longer.max_steps == 3
    assert jax.tree.structure(longer) == jax.tree.structure(env)
    with pytest.raises(AttributeError, match="no_such_thing"):
        env.no_such_thing  # noqa: B018


def test_stepping_a_state_that_the_wrapper_did_not_make_is_explained():
    probe = Match()
    with pytest.raises(ValueError, match="metrics lack final_obs, final_reward"):
        AutoReset(probe, pool_size=1).step(probe.reset(KEY), ACTION)
