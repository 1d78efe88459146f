"""A network that imitates the shipped policy on ANM6Easy-v0; prints the score of ``anmjax evaluate``."""

from __future__ import annotations

import argparse
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import anmjax
from anmjax.agents.evaluation import HORIZON, evaluate, starts_of


def main() -> None:
    """Records the policy, trains on what it did, and scores what was learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5000, help="gradient steps of the training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--horizon", type=int, default=HORIZON, help="steps of the evaluation")
    options = parser.parse_args()

    env = anmjax.make("ANM6Easy-v0")
    box = env.action_space
    expert = anmjax.load_policy("ANM6Easy-v0", "ppo")  # keeps further from the limits than "shac"
    begin, first, rest = jax.random.split(jax.random.key(options.seed), 3)

    def clumsy(key: jax.Array, obs: jax.Array) -> jax.Array:
        noise = 0.05 * (box.high - box.low) * jax.random.normal(key, box.low.shape)
        return expert(key, obs) + noise  # so that the data say how to recover from errors

    recorded = anmjax.rollout(env, clumsy, starts=256, horizon=384, key=begin)
    obs = jnp.asarray(recorded.obs[recorded.valid])
    action = expert(begin, obs)
    mean, scale = obs.mean(axis=0), jnp.maximum(obs.std(axis=0), 0.1)  # some hardly move under the policy
    target = 2 * (action - box.low) / (box.high - box.low) - 1
    network = nn.Sequential([nn.Dense(128), nn.tanh, nn.Dense(128), nn.tanh, nn.Dense(len(box.low))])
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, options.steps))

    def loss(parameters: Any, rows: jax.Array) -> jax.Array:
        answer = network.apply(parameters, (obs[rows] - mean) / scale)
        return jnp.mean((answer - target[rows]) ** 2)

    def update(carry: Any, key: jax.Array) -> Any:
        parameters, state = carry
        rows = jax.random.randint(key, (1024,), 0, len(obs))
        error, gradient = jax.value_and_grad(loss)(parameters, rows)
        change, state = optimizer.update(gradient, state)
        return (optax.apply_updates(parameters, change), state), error

    parameters = network.init(first, obs[0])
    keys = jax.random.split(rest, options.steps)
    (parameters, _), errors = jax.jit(lambda *carry: jax.lax.scan(update, carry, keys))(
        parameters, optimizer.init(parameters)
    )

    def act(parameters: Any, key: jax.Array, obs: jax.Array) -> jax.Array:
        share = (network.apply(parameters, (obs - mean) / scale) + 1) / 2
        return box.low + jnp.clip(share, 0, 1) * (box.high - box.low)

    starts, described = starts_of(env, jax.random.key(0))
    policy = jax.tree_util.Partial(act, parameters)
    score = evaluate(env, policy, starts, horizon=options.horizon, described=described)
    print(f"error: {errors[-1]:.2e}, discounted return: {score.discounted_return:.2f}")


if __name__ == "__main__":
    main()
