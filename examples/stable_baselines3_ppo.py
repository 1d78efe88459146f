"""PPO of Stable-Baselines3 on lanes of ANM6Easy-v0; prints the score of ``anmjax evaluate``.

Needs ``pip install "anmjax[sb3]"``.
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

from anmjax.adapters.sb3 import VecEnv
from anmjax.agents.evaluation import HORIZON, evaluate, starts_of


def act(layers: Any, mean: jax.Array, scale: jax.Array, key: jax.Array, obs: jax.Array) -> jax.Array:
    """The mean action of the learned policy, in JAX, so that the evaluation is one compiled call."""
    x = jnp.clip((obs - mean) / scale, -10, 10)
    *hidden, (weight, bias) = layers
    for inner, shift in hidden:
        x = jnp.tanh(x @ inner + shift)
    return jnp.clip(x @ weight + bias, -1, 1)


def main() -> None:
    """Trains, and scores what was learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=float, default=10e6, help="environment steps of the training")
    parser.add_argument("--num-envs", type=int, default=256, help="lanes that run side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--horizon", type=int, default=HORIZON, help="steps of the evaluation")
    options = parser.parse_args()

    lanes = VecEnv("ANM6Easy-v0", options.num_envs, options.seed, max_episode_steps=96)
    # A violated limit costs a thousand times what a good step does, and a collapse more.
    envs = VecNormalize(lanes, gamma=0.995)
    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=32,
        batch_size=4 * options.num_envs,
        n_epochs=4,
        learning_rate=lambda left: 1e-3 * left,
        gamma=0.995,
        gae_lambda=0.98,
        policy_kwargs={"log_std_init": -1.0},
        seed=options.seed,
        device="cpu",
    )

    def forget(*_: Any) -> bool:
        """Lets rewards be scaled by what they are now, not by what they were at first."""
        envs.ret_rms.count = min(envs.ret_rms.count, 3e5)
        return True

    model.learn(int(options.steps), callback=forget)

    network = [*model.policy.mlp_extractor.policy_net, model.policy.action_net]
    layers = [
        (jnp.array(one.weight.detach().T), jnp.array(one.bias.detach()))
        for one in network
        if hasattr(one, "weight")
    ]
    scale = np.sqrt(envs.obs_rms.var + envs.epsilon)
    policy = jax.tree_util.Partial(act, layers, jnp.array(envs.obs_rms.mean), jnp.array(scale))
    starts, described = starts_of(lanes.env, jax.random.key(0))
    score = evaluate(lanes.env, policy, starts, horizon=options.horizon, described=described)
    print(f"discounted return: {score.discounted_return:.2f}")


if __name__ == "__main__":
    main()
