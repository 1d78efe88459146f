"""IPPO: PPO in which every agent has a ratio, an advantage and networks of its own; all share the reward."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.agents.errors import CannotLearnError
from anmjax.agents.ippo.config import IPPOConfig
from anmjax.agents.ippo.network import IndependentActorCritic
from anmjax.agents.ppo.collect import Rollout
from anmjax.agents.ppo.loss import Batch
from anmjax.agents.ppo.network import Policy, log_prob
from anmjax.agents.ppo.update import PPO
from anmjax.agents.scaling import HARMONICS, cycles_of
from anmjax.envs.protocol import Environment
from anmjax.wrappers import MultiAgent, RunningStatistics


@struct.dataclass
class IPPO(PPO):
    """Independent proximal policy optimization: an ``Agent``.

    The agents are those of ``MultiAgent(env, by=config.by)``. Of the task's observation each sees what is of
    its own devices and buses, and what is of nobody, such as the time (``MultiAgent.views``); the policy
    learned is one of the task's whole observation and action. Everything else is PPO's.
    """

    config: IPPOConfig = struct.field(pytree_node=False)

    @classmethod
    def create(cls, env: Environment, config: Any = None) -> IPPO:
        """See ``PPO.create``.

        Raises:
          CannotLearnError: as there, or the task has no grid, nothing to control, or an observation that does
            not say what its entries are.
        """
        config = IPPOConfig() if config is None else config
        network_for(env, config)
        made: Any = super().create(env, config)
        return made

    @staticmethod
    def initial_policy(key: jax.Array, env: Environment, config: Any) -> Policy:
        """See ``PPO``."""
        return PPO.policy_of(network_for(env, config), key, env, config)

    @property
    def network(self) -> Any:
        """The actor-critics of this task and these options."""
        return network_for(self.env, self.config)

    @property
    def owned(self) -> tuple[tuple[int, ...], ...]:
        """Components of the action of each agent."""
        return network_for(self.env, self.config).owned

    def _batch(self, policy: Policy, rollout: Rollout, return_statistics: RunningStatistics) -> Batch:
        """Densities, values, advantages and targets of every agent, along a last axis."""
        # The reward is everybody's.
        shared = ("reward", "terminated", "done")
        n_agent = len(self.owned)
        wide = {name: jnp.repeat(getattr(rollout, name)[..., None], n_agent, -1) for name in shared}
        batch = super()._batch(policy, replace(rollout, **wide), return_statistics)
        mean, log_std = policy.apply(rollout.obs, method="policy")
        return replace(batch, log_prob=log_prob(mean, log_std, rollout.sample, self.owned))


def network_for(env: Any, config: IPPOConfig) -> IndependentActorCritic:
    """The actor-critics for the agents of an environment.

    Raises:
      CannotLearnError: they cannot be told apart; says why.
    """
    try:
        agents = MultiAgent(env, by=config.by)
        views = agents.views
    except (AttributeError, ValueError) as error:
        raise CannotLearnError(f"IPPO needs agents with devices of their own: {error}") from error
    columns = _columns(env.observation_space.shape[0], cycles_of(env))
    return IndependentActorCritic(
        owned=tuple(tuple(rows.tolist()) for rows in agents.rows.values()),
        seen=tuple(tuple(c for row in rows for c in columns[row]) for rows in views.values()),
        hidden_sizes=config.hidden_sizes,
        initial_log_std=config.initial_log_std,
        dtype=env.observation_space.dtype,
        compute_dtype=config.network_dtype,
        layer_norm=config.layer_norm,
    )


def _columns(n_obs: int, cycles: tuple[tuple[int, float], ...]) -> list[list[int]]:
    """Where each entry of an observation stands in what ``with_cycles`` makes of it."""
    plain = np.setdiff1d(np.arange(n_obs), [index for index, _ in cycles]).tolist()
    found: list[list[int]] = [[] for _ in range(n_obs)]
    for column, index in enumerate(plain):
        found[index] = [column]
    wide = 2 * len(HARMONICS)
    for k, (index, _) in enumerate(cycles):
        found[index] = list(range(len(plain) + k * wide, len(plain) + (k + 1) * wide))
    return found
