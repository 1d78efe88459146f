"""Episodes through every adapter: what a learner is handed makes the core's returns, lengths and targets.

A level that actions move and that may leave its range, under a time limit: both ends come about.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnasium.vector import AutoresetMode

from anmjax import Box, State

LANES, STEPS, LIMIT, RANGE = 3, 40, 5, 2.0
GAMMA, TRACE = 0.9, 0.8


@struct.dataclass
class Level:
    """A level that the action moves; beyond its range the episode terminates."""

    range: float = RANGE

    @property
    def action_space(self) -> Box:
        return Box(-jnp.ones(1), jnp.ones(1))

    @property
    def observation_space(self) -> Box:
        return Box(-4 * jnp.ones(1), 4 * jnp.ones(1))

    def reset(self, key: jax.Array) -> State:
        return self.at(jax.random.uniform(key, (1,), float, -1.0, 1.0), key)

    def at(self, obs: jax.Array, key: jax.Array) -> State:
        no, zero = jnp.array(False), jnp.zeros(())
        return State(obs, zero, no, no, {}, (), jnp.zeros(0), jnp.int32(0), key, jnp.zeros(0))

    def step(self, state: State, action: jax.Array) -> State:
        level = state.obs + jnp.asarray(action, float)
        beyond = jnp.abs(level[0]) > self.range
        return replace(state, obs=level, reward=-jnp.sum(level**2), terminated=beyond, t=state.t + 1)


class Handed(NamedTuple):
    """What an adapter hands out, leading axes (lane, step)."""

    begun: np.ndarray  # observation that the action was chosen from
    reward: np.ndarray
    terminated: np.ndarray  # bool
    truncated: np.ndarray  # bool
    following: np.ndarray  # observation that a learner bootstraps from; nan where it is handed none
    real: np.ndarray  # bool, a transition of the environment and no reset


def value(obs: np.ndarray) -> np.ndarray:
    """A critic's answer."""
    return 1 - 0.5 * np.asarray(obs)[..., 0] ** 2


def by_hand(start: np.ndarray, actions: np.ndarray) -> list[Any]:
    """Transitions of one episode in the core, from a start until it ends or the actions do."""
    env, rows = Level(), []
    state = env.at(jnp.asarray(start, float), jax.random.key(0))
    for t, action in enumerate(actions):
        before, state = state.obs, env.step(state, action)
        terminated = bool(state.terminated)
        truncated = t + 1 == LIMIT and not terminated
        rows.append((before, float(state.reward), terminated, truncated, state.obs))
        if terminated or truncated:
            break
    return rows


def stacked(rows: list[tuple[Any, ...]]) -> Handed:
    """Steps, each with all lanes, as arrays with the lane first."""
    begun, reward, terminated, truncated, following, real = (
        np.array(part).swapaxes(0, 1) for part in zip(*rows, strict=True)
    )
    return Handed(begun, reward, terminated.astype(bool), truncated.astype(bool), following, real)


EVERY = np.ones(LANES, bool)


def gymnasium_alone(actions: np.ndarray) -> Handed:
    import gymnasium

    from anmjax.adapters.gymnasium import Env

    lanes = [gymnasium.wrappers.TimeLimit(Env(Level()), LIMIT) for _ in range(LANES)]
    obs, rows = np.stack([env.reset(seed=lane)[0] for lane, env in enumerate(lanes)]), []
    for step in actions:
        seen = [env.step(action)[:4] for env, action in zip(lanes, step, strict=True)]
        after, reward, terminated, truncated = (np.array(part) for part in zip(*seen, strict=True))
        rows.append((obs, reward, terminated, truncated & ~terminated, after, EVERY))
        ended = terminated | truncated
        obs = np.stack([env.reset()[0] if ended[i] else after[i] for i, env in enumerate(lanes)])
    return stacked(rows)


def gymnasium_vector(mode: AutoresetMode) -> Callable[[np.ndarray], Handed]:
    def play(actions: np.ndarray) -> Handed:
        from anmjax.adapters.gymnasium import VectorEnv

        envs = VectorEnv(Level(), LANES, autoreset_mode=mode, max_episode_steps=LIMIT)
        (obs, _), rows, over = envs.reset(seed=0), [], np.zeros(LANES, bool)
        for step in actions:
            after, reward, terminated, truncated, info = envs.step(step)
            ended, following = terminated | truncated, after
            if mode is AutoresetMode.SAME_STEP and ended.any():
                final = [info["final_obs"][i] if ended[i] else after[i] for i in range(LANES)]
                following = np.stack(final)
            rows.append((obs, reward, terminated, truncated, following, ~over))
            if mode is AutoresetMode.NEXT_STEP:
                over = ended
            if mode is AutoresetMode.DISABLED and ended.any():
                after, _ = envs.reset(options={"reset_mask": ended})
            obs = after
        return stacked(rows)

    return play


def stable_baselines3(actions: np.ndarray) -> Handed:
    pytest.importorskip("stable_baselines3")
    from anmjax.adapters.sb3 import VecEnv

    envs = VecEnv(Level(), LANES, seed=0, max_episode_steps=LIMIT, rescale_actions=False)
    obs, rows = envs.reset(), []
    for step in actions:
        after, reward, ended, infos = envs.step(step)
        truncated = np.array([info.get("TimeLimit.truncated", False) for info in infos])
        last = [info.get("terminal_observation", after[i]) for i, info in enumerate(infos)]
        rows.append((obs, reward, ended & ~truncated, truncated, np.stack(last), EVERY))
        obs = after
    return stacked(rows)


def gymnax(legacy: bool) -> Callable[[np.ndarray], Handed]:
    def play(actions: np.ndarray) -> Handed:
        pytest.importorskip("gymnax")
        from anmjax.adapters.gymnax import Environment

        env = Environment(Level(), legacy=legacy, max_steps_in_episode=LIMIT, rescale_actions=False)
        advance, rows = jax.vmap(env.step), []
        obs, state = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), LANES))
        for t, step in enumerate(actions):
            keys = jax.random.split(jax.random.key(t), LANES)
            after, state, reward, *ends, info = advance(keys, state, jnp.asarray(step))
            last = info["final_observation"]
            # Of old there is one flag: the level that it ended at says which end it was.
            terminated = ends[0] & (jnp.abs(last[:, 0]) > RANGE) if legacy else ends[0]
            truncated = ends[0] & ~terminated if legacy else ends[1]
            rows.append((obs, reward, terminated, truncated, last, EVERY))
            obs = after
        return stacked(rows)

    return play


def brax(actions: np.ndarray) -> Handed:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of jaxopt: it is no longer maintained
        wrap = pytest.importorskip("brax.envs.wrappers.training").wrap
    from anmjax.adapters.brax import Env

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        env = wrap(Env(Level(), rescale_actions=False), episode_length=LIMIT)
        state, rows = jax.jit(env.reset)(jax.random.split(jax.random.PRNGKey(0), LANES)), []
        advance = jax.jit(env.step)
        for step in actions:
            obs, state = state.obs, advance(state, jnp.asarray(step))
            ended, truncated = np.array(state.done, bool), np.array(state.info["truncation"], bool)
            last = np.where(ended[:, None], np.nan, state.obs)  # it keeps none
            rows.append((obs, state.reward, ended & ~truncated, truncated, last, EVERY))
        return stacked(rows)


ADAPTERS = {
    "gymnasium": gymnasium_alone,
    **{f"gymnasium vector, {mode.value}": gymnasium_vector(mode) for mode in AutoresetMode},
    "stable_baselines3": stable_baselines3,
    "gymnax": gymnax(legacy=False),
    "gymnax, five values": gymnax(legacy=True),
    "brax": brax,
}


@pytest.mark.parametrize("adapter", list(ADAPTERS))
def test_returns_lengths_and_targets_are_those_of_a_loop_over_the_core(adapter: str) -> None:
    actions = np.random.default_rng(1).uniform(-1, 1, (STEPS, LANES, 1))
    handed = ADAPTERS[adapter](actions)
    ends = {"terminated": 0, "truncated": 0}
    for lane in range(LANES):
        steps = np.flatnonzero(handed.real[lane])
        seen = Handed(*(part[lane][steps] for part in handed))
        t = 0
        while t < len(steps):
            expected = by_hand(seen.begun[t], actions[steps[t:], lane])
            episode = Handed(*(part[t : t + len(expected)] for part in seen))
            before, reward, terminated, truncated, after = map(np.array, zip(*expected, strict=True))
            # Stable-Baselines3's rewards are float32.
            close = {"rtol": 1e-6, "atol": 1e-6}
            np.testing.assert_allclose(episode.reward, reward, **close)
            np.testing.assert_allclose(episode.begun, before, **close)
            handed_none = np.isnan(episode.following)
            np.testing.assert_allclose(episode.following, np.where(handed_none, np.nan, after), **close)
            np.testing.assert_array_equal(episode.terminated, terminated)
            np.testing.assert_array_equal(episode.truncated, truncated)
            np.testing.assert_allclose(targets(episode), targets_by_hand(expected, episode), **close)
            ends["terminated"] += int(terminated[-1])
            ends["truncated"] += int(truncated[-1])
            t += len(expected)
    assert min(ends.values()) >= 3, ends


def targets(episode: Handed) -> np.ndarray:
    """Targets of a critic by generalised advantages, from what was handed out."""
    values = value(episode.begun)
    following = np.where(episode.terminated, 0, value(np.nan_to_num(episode.following)))
    error = episode.reward + GAMMA * following - values
    error = np.where(np.isnan(episode.following[:, 0]) & episode.truncated, 0, error)
    advantage, later = np.zeros_like(error), 0.0
    for t in reversed(range(len(error))):
        advantage[t] = later = error[t] + GAMMA * TRACE * later
    return values + advantage


def targets_by_hand(expected: list[Any], episode: Handed) -> np.ndarray:
    """The same as weighted means of the n-step returns, (1 - trace) trace^(n-1) for each n."""
    rewards = [row[1] for row in expected]
    after = [0.0 if row[2] else float(value(row[4])) for row in expected]
    if np.isnan(episode.following[-1]).any() and expected[-1][3]:
        # brax has nothing to bootstrap from at a limit: the last step is as its critic has it.
        rewards[-1], after[-1] = float(value(expected[-1][0])), 0.0
    found = []
    for t in range(len(rewards)):
        total, reward, weight = 0.0, 0.0, 1.0
        for n in range(len(rewards) - t):
            reward += GAMMA**n * rewards[t + n]
            n_step = reward + GAMMA ** (n + 1) * after[t + n]
            share = weight if t + n == len(rewards) - 1 else weight * (1 - TRACE)
            total, weight = total + share * n_step, weight * TRACE
        found.append(total)
    return np.array(found)
