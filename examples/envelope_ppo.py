"""PPO of jax-envelope on ANM6Easy-v0; prints the score of ``anmjax evaluate``.

Its learner is a program in its repository, in no package: clone https://github.com/keraJLi/envelope.
Needs Python 3.12 and ``pip install "anmjax[envelope]" distrax tyro wandb`` beside it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import envelope
import jax
import jax.numpy as jnp
from flax import nnx
from log_reward import LogReward

import anmjax
from anmjax.adapters.envelope import Envelope
from anmjax.agents.evaluation import HORIZON, evaluate, starts_of

GAMMA = 0.99  # scored with 0.995, but learned faster with less


def main() -> None:
    """Trains, and scores what was learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="of envelope's repository")
    parser.add_argument("--steps", type=float, default=10e6, help="environment steps of the training")
    parser.add_argument("--num-envs", type=int, default=256, help="lanes that run side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--horizon", type=int, default=HORIZON, help="steps of the evaluation")
    options = parser.parse_args()

    sys.path.insert(0, str(options.checkout))
    learner = importlib.import_module("examples.ppo.ppo")

    def create(name: str) -> Any:
        task = LogReward(anmjax.make(name), GAMMA)
        return envelope.TruncationWrapper(env=Envelope.of(task), max_steps=96)

    envelope.create = create
    args = learner.Args(
        env_name="ANM6Easy-v0",
        total_timesteps=int(options.steps),
        num_envs=options.num_envs,
        num_steps=32,
        policy_lr=1e-3,
        value_fn_lr=1e-3,
        entropy_coef=0.0,
        gamma=GAMMA,
        seed=options.seed,
    )
    trained = learner.TrainState(args)
    update = learner.make_train_block(1)
    for _ in range(learner.get_num_updates(args)):
        trained, _ = update(trained)

    scored = Envelope.of("ANM6Easy-v0").env  # the task's own rewards
    seen = trained.env_state.rmv_state  # what observations were scaled by

    network, weights = nnx.split(trained.policy)

    def act(learned: Any, key: jax.Array, obs: jax.Array) -> jax.Array:
        weights, mean, std = learned
        normal = nnx.merge(network, weights)((obs - mean) / (std + 1e-8)).distribution.distribution
        return jnp.clip(normal.loc, -1, 1)

    policy = jax.tree_util.Partial(act, (weights, seen.mean, seen.std))
    starts, described = starts_of(scored, jax.random.key(0))
    score = evaluate(scored, policy, starts, horizon=options.horizon, described=described)
    print(f"discounted return: {score.discounted_return:.2f}")


if __name__ == "__main__":
    main()
