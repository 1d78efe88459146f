"""Stable-Baselines3: ends of episodes as its learners need them, and PPO learns on the lanes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

import anmjax
from anmjax.adapters.gymnasium import Env
from anmjax.adapters.sb3 import VecEnv

LIMIT = 3


@pytest.fixture(scope="module")
def envs() -> VecEnv:
    return VecEnv("ANM6Easy-v0", num_envs=2, seed=0, max_episode_steps=LIMIT)


def test_its_checker_has_no_word_to_say() -> None:
    # Warnings are errors here. It would have actions in float32 and from -1 to 1.
    check_env(Env("ANM6Easy-v0", rescale_actions=True, dtype=np.float32))


def test_a_truncated_lane_shows_its_last_observation_and_that_it_was_truncated(envs: VecEnv) -> None:
    single = Env("ANM6Easy-v0", rescale_actions=True)
    envs.seed(0)
    first = envs.reset()
    obs, _ = single.reset(seed=1)
    np.testing.assert_allclose(first[1], obs, rtol=1e-9, atol=1e-9)  # lane 1 has the seed 0 + 1
    action = np.full((2, 6), 0.1, np.float64)
    for t in range(LIMIT):
        seen, reward, done, infos = envs.step(action)
        obs, expected, terminated, _, _ = single.step(action[1])
        assert not terminated
        assert reward[1] == np.float32(reward[1])
        np.testing.assert_allclose(reward[1], expected, rtol=1e-6)  # float32
        if t < LIMIT - 1:
            assert infos == [{}, {}]
            np.testing.assert_allclose(seen[1], obs, rtol=1e-9, atol=1e-9)
    assert done.all()
    assert infos[1]["TimeLimit.truncated"] is True
    np.testing.assert_allclose(infos[1]["terminal_observation"], obs, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(seen[1], single.reset()[0], rtol=1e-9, atol=1e-9)


def test_a_collapse_is_no_truncation() -> None:
    # Batteries and generators at corners of the box collapse this grid within a day's hours, by trying.
    envs = VecEnv("ANM6Easy-v0", num_envs=8, seed=0, rescale_actions=True)
    envs.reset()
    rng = np.random.default_rng(0)
    for _ in range(60):
        _, reward, done, infos = envs.step(np.sign(rng.uniform(-1, 1, (8, 6))))
        if done.any():
            break
    lane = int(np.flatnonzero(done)[0])
    assert infos[lane]["TimeLimit.truncated"] is False
    np.testing.assert_array_equal(infos[lane]["terminal_observation"], np.zeros(18))
    assert reward[lane] == pytest.approx(-100 / (1 - 0.995))  # of a collapse: -c2 / (1 - gamma)


def test_attributes_and_methods_of_lanes(envs: VecEnv) -> None:
    assert envs.get_attr("gamma") == [0.995, 0.995]
    envs.set_attr("label", "b", indices=1)
    assert envs.get_attr("label", indices=[1]) == ["b"]
    assert not envs.has_attr("label")
    assert [type(one) for one in envs.env_method("evaluation_starts", indices=0)] == [anmjax.InitialState]
    assert envs.env_is_wrapped(VecMonitor) == [False, False]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ppo_learns_on_the_lanes(envs: VecEnv) -> None:
    monitored = VecMonitor(VecNormalize(envs, norm_reward=False))
    ppo = PPO("MlpPolicy", monitored, n_steps=6, batch_size=6, n_epochs=1, seed=0, device="cpu")
    before = [p.detach().clone() for p in ppo.policy.parameters()]
    ppo.learn(12)
    assert ppo.num_timesteps >= 12
    assert all(not a.equal(b) for a, b in zip(before, ppo.policy.parameters(), strict=True))
    # Every episode counted has the length of the limit.
    assert {episode["l"] for episode in ppo.ep_info_buffer} == {LIMIT}
