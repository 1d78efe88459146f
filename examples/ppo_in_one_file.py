"""PPO in one file and one compiled program, over the gymnax adapter; prints the score of ``anmjax evaluate``.

Needs ``pip install "anmjax[gymnax]"``.
"""

from __future__ import annotations

import argparse
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import anmjax
from anmjax.adapters.gymnax import Environment
from anmjax.agents.baselines import random_policy
from anmjax.agents.evaluation import HORIZON, evaluate, starts_of

GAMMA, TRACE, CLIP, STEPS, EPOCHS, MINIBATCHES = 0.995, 0.98, 0.2, 32, 4, 8


def main() -> None:
    """Trains, and scores what was learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=float, default=10e6, help="environment steps of the training")
    parser.add_argument("--num-envs", type=int, default=256, help="lanes that run side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--horizon", type=int, default=HORIZON, help="steps of the evaluation")
    options = parser.parse_args()
    lanes, updates = options.num_envs, max(1, int(options.steps) // (options.num_envs * STEPS))
    # Half of the episodes begin where random actions led to, with a charged battery say.
    task = anmjax.ExploringStarts(anmjax.make("ANM6Easy-v0"), share=0.5)
    env = Environment(task, max_steps_in_episode=96)
    size = env.num_actions
    # Scales of what is seen and what is earned: those of random actions.
    chance = anmjax.rollout(env.env, random_policy(env.env), starts=256, horizon=96)
    middle, width = chance.obs.mean(axis=(0, 1)), chance.obs.std(axis=(0, 1)) + 1e-6
    unit = chance.returns(GAMMA).std()

    actor = nn.Sequential([nn.Dense(64), nn.tanh, nn.Dense(64), nn.tanh, nn.Dense(size)])
    critic = nn.Sequential([nn.Dense(64), nn.tanh, nn.Dense(64), nn.tanh, nn.Dense(1)])
    rate = optax.linear_schedule(1e-3, 0, updates * EPOCHS * MINIBATCHES)
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(rate))

    def scaled(obs: jax.Array) -> jax.Array:
        return jnp.clip((obs - middle) / width, -10, 10)

    def value(learned: Any, obs: jax.Array) -> jax.Array:
        return critic.apply(learned["critic"], scaled(obs))[..., 0]

    def log_density(learned: Any, obs: jax.Array, action: jax.Array) -> jax.Array:
        apart = (action - actor.apply(learned["actor"], scaled(obs))) / jnp.exp(learned["log_std"])
        return -jnp.sum(apart**2 / 2 + learned["log_std"], axis=-1)

    def advance(carry: Any, key: jax.Array) -> Any:
        learned, obs, state = carry
        noise, *keys = jax.random.split(key, lanes + 1)
        mean = actor.apply(learned["actor"], scaled(obs))
        action = mean + jnp.exp(learned["log_std"]) * jax.random.normal(noise, mean.shape)
        after, state, reward, terminated, truncated, info = jax.vmap(env.step)(jnp.array(keys), state, action)
        # What follows an end is the value of the last observation, not of the next start; of a collapse, 0.
        following = jnp.where(terminated, 0, value(learned, info["final_observation"]))
        reward = jnp.clip(reward / unit, -10, 10)
        error = reward + GAMMA * following - value(learned, obs)
        seen = obs, action, log_density(learned, obs, action), error, terminated | truncated
        return (learned, after, state), seen

    def loss(learned: Any, batch: Any) -> jax.Array:
        obs, action, before, advantage, target = batch
        ratio = jnp.exp(log_density(learned, obs, action) - before)
        weight = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        gain = jnp.minimum(ratio * weight, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * weight)
        return jnp.mean((value(learned, obs) - target) ** 2) / 2 - jnp.mean(gain)

    def descend(carry: Any, batch: Any) -> Any:
        learned, memory = carry
        change, memory = optimizer.update(jax.grad(loss)(learned, batch), memory)
        return (optax.apply_updates(learned, change), memory), None

    def update(carry: Any, key: jax.Array) -> Any:
        learned, memory, obs, state = carry
        play, *shuffles = jax.random.split(key, EPOCHS + 1)
        (_, after, state), (seen, action, density, error, ended) = jax.lax.scan(
            advance, (learned, obs, state), jax.random.split(play, STEPS)
        )

        def back(later: jax.Array, at: Any) -> Any:
            advantage = at[0] + GAMMA * TRACE * jnp.where(at[1], 0, later)
            return advantage, advantage

        _, advantage = jax.lax.scan(back, jnp.zeros(lanes), (error, ended), reverse=True)
        target = advantage + value(learned, seen)
        batch = jax.tree.map(
            lambda x: x.reshape(-1, *x.shape[2:]), (seen, action, density, advantage, target)
        )
        for shuffle in shuffles:
            order = jax.random.permutation(shuffle, lanes * STEPS).reshape(MINIBATCHES, -1)
            parts = jax.tree.map(lambda x, order=order: x[order], batch)
            (learned, memory), _ = jax.lax.scan(descend, (learned, memory), parts)
        return (learned, memory, after, state), None

    @jax.jit
    def train(key: jax.Array) -> Any:
        begin, of_actor, of_critic, play = jax.random.split(key, 4)
        obs, state = jax.vmap(env.reset)(jax.random.split(begin, lanes))
        learned = {"actor": actor.init(of_actor, obs), "critic": critic.init(of_critic, obs)}
        learned["log_std"] = jnp.full(size, -1.0)
        carry = learned, optimizer.init(learned), obs, state
        return jax.lax.scan(update, carry, jax.random.split(play, updates))[0][0]

    def act(learned: Any, key: jax.Array, obs: jax.Array) -> jax.Array:
        return jnp.clip(actor.apply(learned["actor"], scaled(obs)), -1, 1)

    policy = jax.tree_util.Partial(act, train(jax.random.key(options.seed)))
    starts, described = starts_of(env.env, jax.random.key(0))
    score = evaluate(env.env, policy, starts, horizon=options.horizon, described=described)
    print(f"discounted return: {score.discounted_return:.2f}")


if __name__ == "__main__":
    main()
