"""Independent PPO of JaxMARL, an agent for each device of ANM6Easy-v0; prints the score of ``evaluate``.

JaxMARL's learners are programs in its repository, in no package: clone https://github.com/FLAIROx/JaxMARL.
Needs ``pip install "anmjax[jaxmarl]" distrax hydra-core omegaconf wandb matplotlib`` beside it.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxmarl
import wandb
from flax import struct
from jaxmarl.environments import spaces
from log_reward import LogReward

import anmjax
from anmjax.adapters.jaxmarl import Env, State
from anmjax.agents.evaluation import HORIZON, evaluate, starts_of

GAMMA = 0.99  # scored with 0.995, but learned faster with less


class Agents(Env):
    """Agents that one network serves: what each sees from -1 to 1, all as long, and which agent it is."""

    def __init__(self, task: Any, **options: Any) -> None:
        super().__init__(task, **options)
        self.seen = self.observation_spaces
        self.width = max(space.shape[0] for space in self.seen.values())
        alike = spaces.Box(-1.0, 1.0, (self.width + self.num_agents,))
        self.observation_spaces = dict.fromkeys(self.agents, alike)

    def told(self, observations: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Observations as the network takes them."""
        found = {}
        for k, agent in enumerate(self.agents):
            low, high = self.seen[agent].low, self.seen[agent].high
            scaled = 2 * (observations[agent] - low) / jnp.where(high > low, high - low, 1) - 1
            padded = jnp.zeros(self.width).at[: len(scaled)].set(scaled)
            found[agent] = jnp.concatenate([padded, jnp.eye(self.num_agents)[k]])
        return found

    @functools.partial(jax.jit, static_argnums=(0,))
    def reset(self, key: jax.Array) -> tuple[dict[str, jax.Array], State]:
        """A drawn start."""
        observations, state = super().reset(key)
        return self.told(observations), state

    def step_env(self, key: jax.Array, state: State, actions: Mapping[str, jax.Array]) -> tuple[Any, ...]:
        """One step without a reset."""
        observations, *rest = super().step_env(key, state, actions)
        return self.told(observations), *rest


class Learned(struct.PyTreeNode):
    """What was learned, as a policy of the whole task."""

    params: Any
    network: Any = struct.field(pytree_node=False)
    env: Any = struct.field(pytree_node=False)

    def act(self, key: jax.Array, state: anmjax.State) -> jax.Array:
        """Every agent's mean action, put together."""
        seen = self.env.told(self.env.env.observations(state))
        return self.env.env.joined({a: self.network.apply(self.params, seen[a])[0].mean() for a in seen})


def main() -> None:
    """Trains, and scores what was learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path, help="of JaxMARL's repository")
    parser.add_argument("--steps", type=float, default=10e6, help="environment steps of the training")
    parser.add_argument("--num-envs", type=int, default=256, help="lanes that run side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--horizon", type=int, default=HORIZON, help="steps of the evaluation")
    options = parser.parse_args()

    sys.path.insert(0, str(options.checkout / "baselines" / "IPPO"))
    learner = importlib.import_module("ippo_ff_mabrax")
    wandb.init(mode="disabled")
    jaxmarl.make = lambda name, **keywords: Agents(LogReward(anmjax.make(name), GAMMA), **keywords)
    config = {
        "ENV_NAME": "ANM6Easy-v0",
        "ENV_KWARGS": {"by": "device", "max_steps": 96},
        "NUM_ENVS": options.num_envs,
        "NUM_STEPS": 32,
        "TOTAL_TIMESTEPS": int(options.steps),
        "UPDATE_EPOCHS": 4,
        "NUM_MINIBATCHES": 8,
        "LR": 1e-3,
        "ANNEAL_LR": True,
        "GAMMA": GAMMA,
        "GAE_LAMBDA": 0.95,
        "CLIP_EPS": 0.2,
        "ENT_COEF": 0.0,
        "VF_COEF": 0.5,
        "MAX_GRAD_NORM": 0.5,
        "ACTIVATION": "tanh",
        "ACTOR_ARCH": [64, 64],
        "CRITIC_ARCH": [128, 128],
    }
    key, of_network = jax.random.split(jax.random.PRNGKey(options.seed))
    trained = jax.jit(learner.make_train(config, of_network))(key)["runner_state"][0]

    env = Agents("ANM6Easy-v0", by="device")  # the task's own rewards
    network = learner.ActorCritic(2, "tanh", config["ACTOR_ARCH"], config["CRITIC_ARCH"])
    starts, described = starts_of(env.env.env, jax.random.key(0))
    policy = Learned(trained.params, network, env)
    score = evaluate(env.env.env, policy, starts, horizon=options.horizon, described=described)
    print(f"discounted return: {score.discounted_return:.2f}")


if __name__ == "__main__":
    main()
