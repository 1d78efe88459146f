"""PPO of brax on ANM6Easy-v0; prints the score of ``anmjax evaluate``.

Needs ``pip install "anmjax[brax]"``.
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

import jax
import jax.numpy as jnp
from brax.training.agents.ppo import networks, train
from log_reward import LogReward

import anmjax
from anmjax.adapters.brax import Env
from anmjax.agents.evaluation import HORIZON, evaluate, starts_of

if not hasattr(jax, "device_put_replicated"):  # brax 0.14.2 calls it, JAX 0.10 has no longer
    jax.device_put_replicated = lambda tree, devices: jax.tree.map(
        lambda leaf: jnp.stack([leaf] * len(devices)), tree
    )


GAMMA = 0.99  # scored with 0.995, but learned faster with less


def main() -> None:
    """Trains, and scores what was learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=float, default=6e6, help="environment steps of the training")
    parser.add_argument("--num-envs", type=int, default=512, help="lanes that run side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--horizon", type=int, default=HORIZON, help="steps of the evaluation")
    options = parser.parse_args()

    # Half of the lanes begin where random actions led to, with a charged battery say.
    make, learned, _ = train.train(
        environment=Env(anmjax.ExploringStarts(LogReward(anmjax.make("ANM6Easy-v0"), GAMMA), share=0.5)),
        num_timesteps=int(options.steps),
        num_envs=options.num_envs,
        episode_length=96,
        unroll_length=32,
        batch_size=options.num_envs // 8,
        num_minibatches=8,
        num_updates_per_batch=3,
        learning_rate=2e-3,
        max_grad_norm=0.5,
        discounting=GAMMA,
        gae_lambda=0.98,
        clipping_epsilon=0.2,
        entropy_cost=0.0,
        reward_scaling=0.1,
        normalize_observations=True,
        network_factory=functools.partial(
            networks.make_ppo_networks,
            policy_hidden_layer_sizes=(64, 64),
            value_hidden_layer_sizes=(64, 64),
            activation=lambda x: jnp.tanh(jax.nn.standardize(x, epsilon=1e-6)),
            distribution_type="normal",  # clipped to the box by the environment
            noise_std_type="log",
            init_noise_std=0.4,
            # The first actions are near the middle of the box.
            mean_kernel_init_fn=jax.nn.initializers.orthogonal,
            mean_kernel_init_kwargs={"scale": 0.01},
        ),
        run_evals=False,
        seed=options.seed,
    )

    def act(learned: Any, key: jax.Array, obs: jax.Array) -> jax.Array:
        return make(learned, deterministic=True)(obs, key)[0]

    scored = Env("ANM6Easy-v0").env  # the task's own rewards
    starts, described = starts_of(scored, jax.random.key(0))
    policy = jax.tree_util.Partial(act, learned)
    score = evaluate(scored, policy, starts, horizon=options.horizon, described=described)
    print(f"discounted return: {score.discounted_return:.2f}")


if __name__ == "__main__":
    main()
