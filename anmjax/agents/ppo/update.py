"""PPO: the pure functions `init` and `update` that a training is made of."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from anmjax.agents.constraint import Multiplier, check_costs
from anmjax.agents.metrics import Metrics
from anmjax.agents.ppo.collect import Rollout, collect
from anmjax.agents.ppo.config import PPOConfig
from anmjax.agents.ppo.gae import generalized_advantages
from anmjax.agents.ppo.loss import Batch, ppo_loss
from anmjax.agents.ppo.network import ActorCritic, Policy
from anmjax.agents.scaling import check_bounded, cycles_of, with_cycles
from anmjax.agents.training.lanes import Lanes
from anmjax.envs.protocol import Environment
from anmjax.envs.records import State
from anmjax.lanes.varying import as_varying
from anmjax.wrappers import AutoReset, EpisodeStatistics, RunningStatistics, TimeLimit
from anmjax.wrappers.exploring_starts import NUM_STARTS, pool_of_starts


@struct.dataclass
class Learner:
    """All that changes in a training. Saved and restored whole, it goes on bit for bit."""

    policy: Policy
    optimizer: optax.OptState
    return_statistics: RunningStatistics  # () of the discounted return, scales the rewards
    states: State  # of num_envs lanes
    totals: jax.Array  # (num_envs,) discounted sums of rewards of the running episodes
    num_updates: jax.Array  # () int32, updates so far
    key: jax.Array  # PRNG key
    multiplier: Multiplier | None = None  # of the limit on costs; None: there is no limit


@struct.dataclass
class PPO:
    """Proximal policy optimization on one environment: an ``Agent``.

    ``learner = ppo.init(key)`` and ``learner, metrics = ppo.update(learner)`` can be jitted, scanned, and
    vmapped over keys to train several seeds side by side. Inside ``jax.shard_map``, with the name of a mesh
    axis, they work on this device's share of the lanes: ``states`` and ``totals`` of the learner are the
    device's own, all else is the same on every device. The numbers depend on the number of devices by
    rounding only.
    """

    env: Any  # wrapped: time limit, episode statistics, auto reset
    config: PPOConfig = struct.field(pytree_node=False)
    axis_name: str | None = struct.field(pytree_node=False, default=None)  # mesh axis of the lanes

    @classmethod
    def create(cls, env: Environment, config: PPOConfig | None = None) -> PPO:
        """Wraps a bare environment for training.

        Args:
          env: a bare environment, of whatever episode length.
          config: the options; None: the defaults.

        Returns:
          The agent.

        Raises:
          CannotLearnError: an action bound is infinite, so that [-1, 1] cannot be scaled to the box; or there
            is to be a limit on costs, but there are none.
        """
        config = PPOConfig() if config is None else config
        check_bounded(env.action_space, "PPO")
        if config.cost_limit is not None:
            check_costs(env, "PPO")
        if config.max_episode_steps:
            env = TimeLimit(env, max_steps=config.max_episode_steps)
        env = EpisodeStatistics(env)
        return cls(env=AutoReset(env, NUM_STARTS, pool=_pool(env, config, 0)), config=config)

    @property
    def renewal_period(self) -> int:
        """Updates after which the agent is another one; 0: it never is."""
        return self.config.renew_starts

    def renewed(self, num_updates: int) -> PPO:
        """The agent with the pool of starts that update number ``num_updates``, from 0, draws from.

        Every ``renew_starts`` updates it is another one, which follows from their number alone: a training
        that goes on draws from the same as one that never stopped.
        """
        period = self.config.renew_starts
        pool = _pool(self.env.env, self.config, num_updates // period if period else 0)
        return replace(self, env=replace(self.env, pool=pool))

    @staticmethod
    def initial_policy(key: jax.Array, env: Environment, config: PPOConfig) -> Policy:
        """A policy that has learned nothing: near the middle of the action box everywhere."""
        return PPO.policy_of(network_for(env, config), key, env, config)

    @staticmethod
    def policy_of(network: Any, key: jax.Array, env: Environment, config: PPOConfig) -> Policy:
        """A policy of such a network that has learned nothing."""
        space, cycles = env.observation_space, cycles_of(env)
        blank = jnp.zeros(space.shape, space.dtype)
        return Policy(
            params=network.init(key, with_cycles(blank, blank, cycles)),
            statistics=RunningStatistics.create(space.shape, space.dtype),
            box=env.action_space,
            network=network,
            observation_clip=config.observation_clip,
            cycles=cycles,
        )

    @staticmethod
    def layout(shared: Any, own: Any) -> Learner:
        """See ``Agent``: a device has its own lanes and their totals."""
        marks = {field.name: shared for field in fields(Learner)}
        return Learner(**marks | {"states": own, "totals": own})

    @property
    def lanes(self) -> Lanes:
        """How the lanes are shared out over devices."""
        return Lanes(self.axis_name)

    @property
    def gamma(self) -> float:
        """Discount factor in use."""
        return self.env.gamma if self.config.gamma is None else self.config.gamma

    @property
    def network(self) -> ActorCritic:
        """The actor-critic of this task and these options."""
        return network_for(self.env, self.config)

    @property
    def owned(self) -> tuple[tuple[int, ...], ...] | None:
        """Components of the action by agent; None: there is one agent."""
        return None

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """Adam on gradients of bounded norm."""
        config = self.config
        step_size = self.step_size if config.anneal_learning_rate else config.learning_rate
        return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(step_size, eps=1e-5))

    @property
    def step_size(self) -> optax.Schedule:
        """Step size by gradient steps taken: lowered linearly, to 0 at the end of a training."""
        config = self.config
        gradient_steps = config.num_updates * config.gradient_steps_per_update
        return optax.linear_schedule(config.learning_rate, 0.0, gradient_steps)

    def init(self, key: jax.Array) -> Learner:
        """The learner before its first update.

        Args:
          key: PRNG key; all of a training follows from it.

        Returns:
          Networks just initialised, every lane at a start of the pool.
        """
        key, network_key, reset_key, age_key = jax.random.split(key, 4)
        policy = self.initial_policy(network_key, self.env, self.config)
        if self.config.normalize_observations:
            policy = replace(policy, statistics=policy.statistics.update(self.env.pool.obs))
        num_envs = self.config.num_envs
        states = jax.vmap(self.env.start)(self.lanes.own(jax.random.split(reset_key, num_envs)))
        if limit := self.config.max_episode_steps:
            # First episodes of every length: lanes in step would show each update one part of an episode.
            ages = jax.random.randint(age_key, (num_envs,), 0, limit, states.t.dtype)
            states = replace(states, t=self.lanes.own(ages))
        limited = self.config.cost_limit is not None
        return Learner(
            policy=policy,
            optimizer=self.optimizer.init(policy.params),
            return_statistics=RunningStatistics.create((), states.reward.dtype),
            states=states,
            totals=jnp.zeros_like(states.reward),
            num_updates=jnp.zeros((), jnp.int32),
            key=key,
            multiplier=Multiplier.create(states.reward.dtype) if limited else None,
        )

    def update(self, learner: Learner) -> tuple[Learner, Metrics]:
        """Collects ``num_steps`` steps on every lane and learns from them.

        Args:
          learner: the learner so far.

        Returns:
          The learner after, and its losses beside the sums of ``collect``.
        """
        config, multiplier = self.config, learner.multiplier
        key, collect_key, shuffle_key = jax.random.split(learner.key, 3)
        states, totals, rollout, sums = collect(
            self.env,
            learner.policy,
            learner.states,
            learner.totals,
            collect_key,
            num_steps=config.num_steps,
            gamma=self.gamma,
            lanes=self.lanes,
            multiplier=None if multiplier is None else multiplier.value,
        )
        sums = self.lanes.sum(sums)
        return_statistics = learner.return_statistics
        if config.normalize_rewards:
            return_statistics = return_statistics.update(
                rollout.discounted_return, max_count=config.reward_horizon, axis_name=self.axis_name
            )
        batch = self._batch(learner.policy, rollout, return_statistics)
        params, optimizer, losses = self._learn(learner.policy.params, learner.optimizer, batch, shuffle_key)

        statistics = learner.policy.statistics
        if config.normalize_observations:
            statistics = statistics.update(rollout.raw_obs, axis_name=self.axis_name)
        policy = replace(learner.policy, params=params, statistics=statistics)
        means = losses | {"reward_scale": return_statistics.std()}
        if multiplier is not None and config.cost_limit is not None:
            means |= {"multiplier": multiplier.value}
            cost = sums.per_step["cost"] / config.steps_per_update
            multiplier = multiplier.updated(cost, limit=config.cost_limit, gains=config.multiplier_gains)
        learner = Learner(
            policy=policy,
            optimizer=optimizer,
            return_statistics=return_statistics,
            states=states,
            totals=totals,
            num_updates=learner.num_updates + 1,
            key=key,
            multiplier=multiplier,
        )
        of_losses = {name: means.pop(name) for name in ("policy_loss", "value_loss")}
        return learner, replace(sums, losses=of_losses, means=means)

    def policy(self, learner: Learner) -> Policy:
        """The policy of a learner, whose action is the mean."""
        return learner.policy

    def _batch(self, policy: Policy, rollout: Rollout, return_statistics: RunningStatistics) -> Batch:
        """Values, advantages and targets of the collected steps."""
        config, reward = self.config, rollout.reward
        if config.normalize_rewards:
            reward = jnp.clip(reward / return_statistics.std(), -config.reward_clip, config.reward_clip)
        value = policy.apply(rollout.obs, method="value")
        advantage = generalized_advantages(
            reward,
            value,
            policy.apply(rollout.next_obs, method="value"),
            rollout.terminated,
            rollout.done,
            gamma=self.gamma,
            gae_lambda=config.gae_lambda,
        )
        return Batch(
            obs=rollout.obs,
            sample=rollout.sample,
            log_prob=rollout.log_prob,
            value=value,
            advantage=advantage,
            target=advantage + value,
        )

    def _learn(
        self, params: dict, optimizer: optax.OptState, batch: Batch, key: jax.Array
    ) -> tuple[dict, optax.OptState, dict[str, jax.Array]]:
        """Epochs of gradient steps, each on all the steps of a random share of the lanes."""
        config, network, transform = self.config, self.network, self.optimizer
        num_minibatches, num_lanes = config.num_minibatches, batch.value.shape[1]

        def descend(carry: tuple[dict, optax.OptState], chosen: jax.Array) -> Any:
            params, optimizer = carry
            # One axis of steps: products of matrices with two are a third slower.
            minibatch = jax.tree.map(lambda leaf: leaf[:, chosen].reshape(-1, *leaf.shape[2:]), batch)
            gradient = jax.grad(ppo_loss, has_aux=True)
            # Of this device's own loss: by parameters that all share it would be the sum of all devices'.
            own = as_varying(params, minibatch)
            found = gradient(own, network.apply, minibatch, config, self.lanes, self.owned)
            gradient, losses = self.lanes.mean(found)
            updates, optimizer = transform.update(gradient, optimizer, params)
            return (optax.apply_updates(params, updates), optimizer), losses

        keys = jax.random.split(key, config.num_epochs)
        chosen = jax.vmap(lambda key: self.lanes.minibatches(key, num_lanes, num_minibatches))(keys)
        chosen = chosen.reshape(-1, num_lanes // num_minibatches)
        (params, optimizer), losses = jax.lax.scan(descend, (params, optimizer), chosen)
        return params, optimizer, jax.tree.map(lambda leaf: leaf.mean(), losses)


def _pool(env: Environment, config: PPOConfig, number: int) -> State:
    return pool_of_starts(
        env, number, share=config.exploring_starts, max_steps=config.max_episode_steps or 96
    )


def network_for(env: Environment, config: PPOConfig) -> ActorCritic:
    """The actor-critic for the sizes and the dtype of an environment's spaces."""
    (num_actions,) = env.action_space.shape
    dtype = env.observation_space.dtype
    return ActorCritic(
        num_actions,
        config.hidden_sizes,
        config.initial_log_std,
        dtype,
        config.network_dtype,
        config.layer_norm,
    )
