"""PPO of Stable-Baselines3 on lanes of ANM6Easy-v0; prints the score of ``anmjax evaluate``.

Needs ``pip install "anmjax[sb3]"``.
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

import anmjax
from anmjax.adapters.sb3 import VecEnv
from anmjax.agents.evaluation import HORIZON, evaluate, starts_of


def normed_tanh() -> torch.nn.Module:
    """What follows a hidden layer: with its values normalised, it learns at larger step sizes."""
    return torch.nn.Sequential(torch.nn.LayerNorm(64), torch.nn.Tanh())


def main() -> None:
    """Trains, and scores what was learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=float, default=6e6, help="environment steps of the training")
    parser.add_argument("--num-envs", type=int, default=512, help="lanes that run side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--horizon", type=int, default=HORIZON, help="steps of the evaluation")
    options = parser.parse_args()
    torch.set_num_threads(1)  # more than one only wait for each other: the networks are small

    # Half of the episodes begin where random actions led to: from a reset's starts alone, a policy that never
    # charged the battery cannot learn what a charge is worth, and the return stays near -110.
    env = anmjax.ExploringStarts(anmjax.make("ANM6Easy-v0"), share=0.5)
    lanes = VecEnv(env, options.num_envs, options.seed, max_episode_steps=96)
    envs = VecNormalize(lanes, gamma=0.995)
    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=32,
        batch_size=4 * options.num_envs,
        n_epochs=3,
        learning_rate=lambda left: 2e-3 * left,
        gamma=0.995,
        gae_lambda=0.98,
        policy_kwargs={"net_arch": [64, 64], "activation_fn": normed_tanh, "log_std_init": -1.0},
        seed=options.seed,
        device="cpu",
    )

    def forget(*_: Any) -> bool:
        """Lets rewards be scaled by what they are now: a violated limit costs a thousand good steps."""
        envs.ret_rms.count = min(envs.ret_rms.count, 3e5)
        return True

    model.learn(int(options.steps), callback=forget)

    def predict(obs: jax.Array) -> np.ndarray:
        seen = envs.normalize_obs(np.asarray(obs))
        return np.asarray(model.predict(seen, deterministic=True)[0], lanes.action_space.dtype)

    action = jax.ShapeDtypeStruct(lanes.action_space.shape, lanes.action_space.dtype)
    policy = jax.tree_util.Partial(
        lambda key, obs: jax.pure_callback(predict, action, obs, vmap_method="expand_dims")
    )
    starts, described = starts_of(lanes.env, jax.random.key(0))
    score = evaluate(lanes.env, policy, starts, horizon=options.horizon, described=described)
    print(f"discounted return: {score.discounted_return:.2f}")


if __name__ == "__main__":
    main()
