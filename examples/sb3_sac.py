"""SAC of Stable-Baselines3 on lanes of ANM6Easy-v0; prints the score of ``anmjax evaluate``.

Needs ``pip install "anmjax[sb3]"``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import VecNormalize

import anmjax
from anmjax.adapters.sb3 import VecEnv
from anmjax.agents.evaluation import HORIZON, evaluate, starts_of

GAMMA = 0.98  # scored with 0.995, but learned faster with less


class LogReward(anmjax.Wrapper):
    """Rewards r as sign(r) log(1 + |r|): those of good steps as they are, of violated limits on one scale.

    A collapse then costs 10, more than a good policy loses for ever after with ``GAMMA``, about 3.
    """

    def step(self, state: anmjax.State, action: jax.Array) -> anmjax.State:
        """Advances by one step."""
        after = self.env.step(state, action)
        return replace(after, reward=jnp.sign(after.reward) * jnp.log1p(jnp.abs(after.reward)))


def normed_relu() -> torch.nn.Module:
    """What follows a hidden layer: critics that normalise its values do not run away."""
    return torch.nn.Sequential(torch.nn.LayerNorm(64), torch.nn.ReLU())


def main() -> None:
    """Trains, and scores what was learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=float, default=3e5, help="environment steps of the training")
    parser.add_argument("--num-envs", type=int, default=64, help="lanes that run side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--horizon", type=int, default=HORIZON, help="steps of the evaluation")
    options = parser.parse_args()
    torch.set_num_threads(1)  # more than one only wait for each other: the networks are small

    # Half of the episodes begin where random actions led to, with a charged battery say.
    task = anmjax.ExploringStarts(LogReward(anmjax.make("ANM6Easy-v0")), share=0.5)
    lanes = VecEnv(task, options.num_envs, options.seed, max_episode_steps=96)
    envs = VecNormalize(lanes, norm_reward=False)
    model = SAC(
        "MlpPolicy",
        envs,
        buffer_size=1_000_000,
        learning_starts=10_000,
        train_freq=1,  # of every lane, and then
        gradient_steps=2,
        batch_size=256,
        learning_rate=lambda left: 1e-3 * min(1, 3 * left),  # falls in the last third
        gamma=GAMMA,
        tau=0.01,
        ent_coef="auto_0.3",
        policy_kwargs={"net_arch": [64, 64], "activation_fn": normed_relu},
        seed=options.seed,
        device="cpu",
    )
    model.learn(int(options.steps))

    def predict(obs: jax.Array) -> np.ndarray:
        seen = envs.normalize_obs(np.asarray(obs))
        return np.asarray(model.predict(seen, deterministic=True)[0], lanes.action_space.dtype)

    action = jax.ShapeDtypeStruct(lanes.action_space.shape, lanes.action_space.dtype)
    policy = jax.tree_util.Partial(
        lambda key, obs: jax.pure_callback(predict, action, obs, vmap_method="expand_dims")
    )
    scored = VecEnv("ANM6Easy-v0").env  # the task's own rewards
    starts, described = starts_of(scored, jax.random.key(0))
    score = evaluate(scored, policy, starts, horizon=options.horizon, described=described)
    print(f"discounted return: {score.discounted_return:.2f}")


if __name__ == "__main__":
    main()
