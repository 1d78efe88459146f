"""Random search: a second learner, as small as one can be, to prove what the first one stands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from anmjax.agents import AgentConfig, AgentKind, Metrics, option
from anmjax.agents.ranges import Number, Whole
from anmjax.agents.training.lanes import Lanes
from anmjax.envs.records import State
from anmjax.envs.spaces import Box
from anmjax.lanes.varying import as_varying


@dataclass(frozen=True)
class SearchConfig(AgentConfig):
    total_steps: int = option(96, Whole(1, 10**9), "environment steps to train for, all lanes together")
    num_envs: int = option(4, Whole(1, 2**20), "grids that run side by side")
    max_episode_steps: int = option(4, Whole(1, 2**20), "steps that a policy is tried for")
    updates_per_chunk: int = option(2, Whole(1, 2**20), "updates in one compiled call")
    reach: float = option(0.5, Number(0, 10, above=True), "how far from the best policy the next is drawn")

    @property
    def steps_per_update(self) -> int:
        return self.num_envs * self.max_episode_steps


@struct.dataclass
class Linear:
    """The action is linear in the observation."""

    gains: jax.Array  # (n_obs, n_action)
    box: Box

    def __call__(self, key: jax.Array, obs: jax.Array) -> jax.Array:
        return jnp.clip(obs @ self.gains, self.box.low, self.box.high)


@struct.dataclass
class Search:
    best: jax.Array  # (n_obs, n_action) gains
    best_return: jax.Array  # () mean over the lanes
    states: State  # of num_envs lanes
    num_updates: jax.Array  # () int32
    key: jax.Array


@struct.dataclass
class RandomSearch:
    """Tries a policy near the best one in every update, and keeps the better of the two."""

    env: Any
    config: SearchConfig = struct.field(pytree_node=False)
    axis_name: str | None = struct.field(pytree_node=False, default=None)

    @classmethod
    def create(cls, env, config):
        return cls(env, config)

    @staticmethod
    def initial_policy(key, env, config):
        shape = env.observation_space.shape + env.action_space.shape
        return Linear(jnp.zeros(shape, env.observation_space.dtype), env.action_space)

    @staticmethod
    def layout(shared, own):
        return Search(best=shared, best_return=shared, states=own, num_updates=shared, key=shared)

    def policy(self, learner):
        return Linear(learner.best, self.env.action_space)

    def init(self, key):
        key, reset_key = jax.random.split(key)
        best = self.initial_policy(key, self.env, self.config).gains
        worst = jnp.full((), -jnp.inf, best.dtype)
        return Search(best, worst, self.begin(reset_key), jnp.zeros((), jnp.int32), key)

    def begin(self, key):
        lanes = Lanes(self.axis_name)
        keys = lanes.own(jax.random.split(key, self.config.num_envs))
        return as_varying(jax.vmap(self.env.reset)(keys), keys)

    def update(self, learner):
        key, reset_key, draw_key = jax.random.split(learner.key, 3)
        noise = jax.random.normal(draw_key, learner.best.shape, learner.best.dtype)
        tried = Linear(learner.best + self.config.reach * noise, self.env.action_space)

        def act(states, _):
            actions = jax.vmap(tried, (None, 0))(None, states.obs)
            after = as_varying(jax.vmap(self.env.step)(states, actions), states)
            return after, after.reward.sum()

        steps = self.config.max_episode_steps
        states, rewards = jax.lax.scan(act, self.begin(reset_key), None, length=steps)
        total = Lanes(self.axis_name).sum(rewards.sum())
        mean = total / self.config.num_envs
        better = mean > learner.best_return
        after = Search(
            best=jnp.where(better, tried.gains, learner.best),
            best_return=jnp.where(better, mean, learner.best_return),
            states=states,
            num_updates=learner.num_updates + 1,
            key=key,
        )
        improvements = better.astype(jnp.int32)
        return after, Metrics(per_step={"reward": total}, totals={"improvements": improvements})


KIND = AgentKind("random search", lambda: SearchConfig, lambda: RandomSearch)
