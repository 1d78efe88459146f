"""PPO of rejax over the gymnax adapter on ANM6Easy-v0; prints the score of ``anmjax evaluate``.

Needs ``pip install "anmjax[gymnax]" rejax``.
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import optax
from rejax import PPO

from anmjax.adapters.gymnax import Environment
from anmjax.agents.evaluation import HORIZON, evaluate, starts_of


class ForgettingPPO(PPO):
    """Scales rewards by what they are now, not by what they were at first."""

    def update_rew_rms(self, rms_state: Any, rewards: Any, dones: Any, batched: bool = True) -> Any:
        """Its running variance, which forgets after 300,000 steps."""
        after = super().update_rew_rms(rms_state, rewards, dones, batched)
        return after.replace(count=jnp.minimum(after.count, 3e5))


def main() -> None:
    """Trains, and scores what was learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=float, default=20e6, help="environment steps of the training")
    parser.add_argument("--num-envs", type=int, default=256, help="lanes that run side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--horizon", type=int, default=HORIZON, help="steps of the evaluation")
    options = parser.parse_args()

    # rejax takes the five values of old, and a truncation for an end: episodes are long.
    env = Environment("ANM6Easy-v0", legacy=True, max_steps_in_episode=384)
    num_steps, num_epochs, num_minibatches = 32, 4, 8
    updates = max(1, int(options.steps) // (options.num_envs * num_steps))
    algorithm = ForgettingPPO.create(
        env=env,
        num_envs=options.num_envs,
        num_steps=num_steps,
        num_epochs=num_epochs,
        num_minibatches=num_minibatches,
        total_timesteps=updates * options.num_envs * num_steps,
        eval_freq=updates * options.num_envs * num_steps,
        skip_initial_evaluation=True,
        learning_rate=optax.linear_schedule(1e-3, 0, updates * num_epochs * num_minibatches),
        max_grad_norm=0.5,
        gamma=0.995,
        gae_lambda=0.95,
        ent_coef=0.0,
        normalize_observations=True,
        normalize_rewards=True,  # a violated limit costs a thousand times what a good step does
        reward_normalization_discount=0.995,
    ).replace(eval_callback=lambda *_: 0)

    @jax.jit
    def train(key: jax.Array) -> Any:
        begun = algorithm.init_state(key)
        actor = begun.actor_ts.params["params"]
        quieter = {"params": actor | {"action_log_std": actor["action_log_std"] - 1}}
        return algorithm.train(train_state=begun.replace(actor_ts=begun.actor_ts.replace(params=quieter)))[0]

    learned = train(jax.random.key(options.seed))

    def act(learned: Any, key: jax.Array, obs: jax.Array) -> jax.Array:
        seen = algorithm.normalize_obs(learned.obs_rms_state, obs)[None]
        return algorithm.actor.apply(learned.actor_ts.params, seen, method="_action_dist").loc[0]

    starts, described = starts_of(env.env, jax.random.key(0))
    policy = jax.tree_util.Partial(act, learned)
    score = evaluate(env.env, policy, starts, horizon=options.horizon, described=described)
    print(f"discounted return: {score.discounted_return:.2f}")


if __name__ == "__main__":
    main()
