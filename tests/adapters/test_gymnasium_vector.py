"""The vector environment returns what Gymnasium's own SyncVectorEnv of single environments returns."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

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
