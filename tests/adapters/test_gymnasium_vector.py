"""The vector environment returns what Gymnasium's own SyncVectorEnv of single environments returns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space

import anmjax
from anmjax.adapters.gymnasium import VectorEnv

TASK = "anmjax/ANM6Easy-v0"
NUM_ENVS = 3
LIMIT = 3
# Of another program, of three lanes and not one: sums in another order.
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def vector(mode: AutoresetMode) -> VectorEnv:
    return gymnasium.make_vec(
        TASK, NUM_ENVS, "vector_entry_point", autoreset_mode=mode, max_episode_steps=LIMIT
    )


def one_by_one(mode: AutoresetMode) -> SyncVectorEnv:
    make = [lambda: gymnasium.make(TASK, max_episode_steps=LIMIT, disable_env_checker=True)] * NUM_ENVS
    return SyncVectorEnv(make, autoreset_mode=mode)


def same(ours: Any, theirs: Any) -> None:
    """The same nested info; arrays close, and of the same dtype."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            same(ours[key], theirs[key])
    elif theirs.dtype == object:
        for mine, other in zip(ours, theirs, strict=True):
            assert (mine is None) == (other is None)
            if other is not None:
                np.testing.assert_allclose(mine, other, **CLOSE)
    else:
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, **CLOSE)


def actions_of(env: VectorEnv, steps: int) -> np.ndarray:
    """Small ones, but in one lane charges that no battery has and generators at all they have."""
    low, high = env.single_action_space.low, env.single_action_space.high
    rng = np.random.default_rng(0)
    return rng.uniform(0.2 * low, 0.2 * high, (steps, env.num_envs, low.size))


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_every_mode_is_that_of_gymnasiums_own_vector(mode: AutoresetMode) -> None:
    ours, theirs = vector(mode), one_by_one(mode)
    assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"] is mode
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.action_space == theirs.action_space
    for mine, other in zip(ours.reset(seed=5), theirs.reset(seed=5), strict=True):
        same(mine, other)
    ended = np.zeros(NUM_ENVS, bool)
    for t, actions in enumerate(actions_of(ours, 2 * LIMIT + 2)):
        if mode is AutoresetMode.DISABLED and ended.any():
            with pytest.raises(ValueError, match="reset_mask"):
                ours.step(actions)
            for mine, other in zip(
                ours.reset(options={"reset_mask": ended.copy()}),
                theirs.reset(options={"reset_mask": ended.copy()}),
                strict=True,
            ):
                same(mine, other)
        elif t == 1 and mode is AutoresetMode.DISABLED:
            # One lane out of step with the others, so that masks are neither full nor empty.
            mask = np.array([False, True, False])
            for mine, other in zip(
                ours.reset(seed=[1, 2, 3], options={"reset_mask": mask}),
                theirs.reset(seed=[1, 2, 3], options={"reset_mask": mask}),
                strict=True,
            ):
                same(mine, other)
        stepped = ours.step(actions)
        for mine, other in zip(stepped, theirs.step(actions), strict=True):
            same(mine, other)
        ended = stepped[2] | stepped[3]
        stepped[0][:] = 0  # a learner may write to what it is given
    assert ended.shape == (NUM_ENVS,)


@pytest.mark.slow
@pytest.mark.parametrize("name", anmjax.registered_tasks())
def test_of_every_task_what_a_vector_returns_is_within_its_spaces(name: str) -> None:
    # What Gymnasium's checker asks of one environment; for vectors it has none. Warnings are errors here.
    envs = gymnasium.make_vec(f"anmjax/{name}", 2, "vector_entry_point", max_episode_steps=2)
    assert envs.observation_space == batch_space(envs.single_observation_space, 2)
    assert envs.action_space == batch_space(envs.single_action_space, 2)
    starts = [envs.reset(seed=seed) for seed in (3, 3, 4)]
    assert data_equivalence(starts[0], starts[1], exact=True)
    assert not np.array_equal(starts[0][0], starts[2][0])
    envs.action_space.seed(0)
    for t in range(4):
        obs, reward, terminated, truncated, _ = envs.step(envs.action_space.sample())
        assert envs.observation_space.contains(obs)
        assert (reward.shape, reward.dtype) == ((2,), np.float64)
        assert terminated.dtype == truncated.dtype == np.bool_
        if not terminated.any():
            assert truncated.all() == (t == 1)
    envs.close()


def test_the_last_observation_of_an_episode_is_not_the_start_of_the_next() -> None:
    env = vector(AutoresetMode.SAME_STEP)
    env.reset(seed=0)
    for t, actions in enumerate(actions_of(env, LIMIT)):
        obs, _, _, truncated, info = env.step(actions)
        assert truncated.all() == (t == LIMIT - 1)
    final = np.stack(info["final_obs"])
    # The hour of the last observation is that of the start, 3 steps on; the next start has its own.
    assert env.single_observation_space.shape == (18,)
    assert (final[:, -1] != obs[:, -1]).any()
    assert info["_final_obs"].all()


def test_lanes_begin_at_given_states() -> None:
    env = vector(AutoresetMode.NEXT_STEP)
    start = np.zeros(18)
    start[14], start[17] = 50, 12
    obs, _ = env.reset(seed=0, options={"state": start})
    np.testing.assert_allclose(obs[:, [14, 17]], [[50, 12]] * NUM_ENVS)  # charge and hour as asked
    each = np.tile(start, (NUM_ENVS, 1))
    each[:, 17] = [1, 2, 3]
    obs, _ = env.reset(options={"state": each})
    np.testing.assert_allclose(obs[:, 17], [1, 2, 3])


def test_what_a_reset_is_given_is_checked() -> None:
    env = vector(AutoresetMode.DISABLED)
    with pytest.raises(ValueError, match="2 seeds for 3"):
        env.reset(seed=[1, 2])
    with pytest.raises(TypeError, match="reset_mask"):
        env.reset(options={"reset_mask": [True, False, False]})
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        env.reset(options={"reset_mask": np.ones(2, bool)})
    with pytest.raises(ValueError, match="at least one"):
        env.reset(options={"reset_mask": np.zeros(3, bool)})
    with pytest.raises(ValueError, match="num_envs is 0"):
        VectorEnv("ANM6Easy-v0", 0)
    with pytest.raises(ValueError, match="arrays is 'torch'"):
        VectorEnv("ANM6Easy-v0", 1, arrays="torch")


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_jax_arrays_hold_what_numpys_do(mode: AutoresetMode) -> None:
    ours = VectorEnv("ANM6Easy-v0", NUM_ENVS, autoreset_mode=mode, max_episode_steps=LIMIT, arrays="jax")
    theirs = vector(mode)
    same_on_device(ours.reset(seed=5), theirs.reset(seed=5))
    for actions in actions_of(theirs, LIMIT):
        same_on_device(ours.step(jax.numpy.asarray(actions)), theirs.step(actions))
    if mode is AutoresetMode.DISABLED:
        everywhere = {"reset_mask": np.ones(NUM_ENVS, bool)}
        same_on_device(ours.reset(options=everywhere), theirs.reset(options=everywhere))


def same_on_device(ours: Any, theirs: Any) -> None:
    """The same numbers, ours in JAX arrays."""
    for mine, other in zip(ours, theirs, strict=True):
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(mine))
        if isinstance(other, dict):
            final = other.pop("final_obs", None)
            if final is not None:
                np.testing.assert_allclose(mine.pop("final_obs"), np.stack(final), **CLOSE)
            assert mine.keys() == other.keys()
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), mine, other)


@pytest.fixture
def plain_promotion() -> Iterator[None]:
    """Gymnasium's wrappers keep statistics in float32, an array of one lane for all."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("plain_promotion")
@pytest.mark.parametrize("arrays", ["numpy", "jax"])
def test_gymnasiums_wrappers_of_vectors_work_around_it(arrays: str) -> None:
    wrappers = gymnasium.wrappers.vector
    envs = vector_of(arrays)
    scaled = wrappers.NormalizeObservation(wrappers.RecordEpisodeStatistics(envs))
    scaled.reset(seed=0)
    total, bare = np.zeros(NUM_ENVS), vector_of(arrays)
    bare.reset(seed=0)
    for actions in actions_of(envs, LIMIT):
        obs, reward, _, truncated, info = scaled.step(actions)
        np.testing.assert_allclose(reward, bare.step(actions)[1], rtol=1e-9)
        total += np.asarray(reward)
    assert np.asarray(truncated).all()
    assert obs.shape == (NUM_ENVS, 18)
    np.testing.assert_allclose(info["episode"]["r"], total, rtol=1e-6)  # float32
    np.testing.assert_array_equal(info["episode"]["l"], [LIMIT] * NUM_ENVS)


def vector_of(arrays: str) -> VectorEnv:
    return gymnasium.make_vec(TASK, NUM_ENVS, "vector_entry_point", max_episode_steps=LIMIT, arrays=arrays)
