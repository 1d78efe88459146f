"""SHAC: a policy that climbs the gradient of its own return through the simulator.

An update rolls the policy out over a window of ``horizon`` steps on every lane, differentiates the rewards of
the window and the critic's value of its last states by the policy's parameters, and takes one step uphill.
Then the critic learns the window's TD(lambda) returns. Lanes go on from where the window ended, and begin
anew after ``max_episode_steps`` or a collapse.

The gradient is taken in two parts: by every action of every lane through the simulator, then from actions to
parameters. In between it is looked at: lanes whose part is not finite are left out and counted.

References: Xu et al., "Accelerated policy learning with parallel differentiable simulation", ICLR 2022
(SHAC); Xing et al., "Stabilizing reinforcement learning in differentiable multiphysics simulation",
arXiv:2412.12089 (SAPO: layer norm, critic ensembles, entropy); Georgiev et al., "Adaptive horizon
actor-critic for policy learning in contact-rich differentiable simulation", arXiv:2405.17784 (AHAC:
gradients that grow along the window).
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.flatten_util import ravel_pytree

from anmjax.agents.metrics import Metrics
from anmjax.agents.scaling import cycles_of, with_cycles
from anmjax.agents.shac.config import SHACConfig
from anmjax.agents.shac.network import Actor, Critics, SHACPolicy, rescaled
from anmjax.agents.shac.window import Window, gradient_by_action, td_lambda
from anmjax.agents.starts import begin_at, pool_of_starts
from anmjax.agents.training.lanes import Lanes
from anmjax.envs.protocol import Environment
from anmjax.envs.records import State
from anmjax.lanes.varying import as_varying
from anmjax.wrappers.running_statistics import RunningStatistics

# Returns after which their mean and deviation begin to forget: about a hundred windows of the defaults.
RETURN_HORIZON = 3e5


@struct.dataclass
class Learner:
    """All that changes in a training. Saved and restored whole, it goes on bit for bit."""

    policy: SHACPolicy  # with the running average of the parameters
    params: Any  # of the policy as it is now
    critics: Any  # parameters of Critics
    slow_critics: Any  # parameters of their slow copy, which values the last states of a window
    return_statistics: RunningStatistics  # () of the critics' targets; their values are scaled by it
    optimizer: optax.OptState  # of the policy
    critic_optimizer: optax.OptState
    states: State  # of num_envs lanes
    totals: jax.Array  # (num_envs,) sums of rewards of the running episodes
    num_updates: jax.Array  # () int32, updates so far
    key: jax.Array  # PRNG key


@struct.dataclass
class SHAC:
    """Short-horizon actor-critic on one environment: an ``Agent``.

    The environment must be differentiable: ``jax.grad`` through ``env.step`` is what it learns from.
    """

    env: Any
    pool: State  # starts of episodes
    config: SHACConfig = struct.field(pytree_node=False)
    axis_name: str | None = struct.field(pytree_node=False, default=None)  # mesh axis of the lanes

    @classmethod
    def create(cls, env: Environment, config: SHACConfig | None = None) -> SHAC:
        """The agent on a bare environment.

        Args:
          env: a bare environment, of whatever episode length.
          config: the options; None: the defaults.

        Raises:
          ValueError: an action bound is infinite, so that [-1, 1] cannot be scaled to the box.
        """
        config = SHACConfig() if config is None else config
        low, high = np.asarray(env.action_space.low), np.asarray(env.action_space.high)
        unbounded = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high)))
        if unbounded.size:
            raise ValueError(
                f"SHAC scales actions to their box, but the bounds of action entries {unbounded.tolist()} "
                "are infinite."
            )
        return cls(env=env, pool=_pool(env, config, 0), config=config)

    @property
    def renewal_period(self) -> int:
        """See ``Renewing``."""
        return self.config.renew_starts

    def renewed(self, num_updates: int) -> SHAC:
        """See ``Renewing``: the agent with the pool of starts of that update."""
        period = self.config.renew_starts
        return replace(self, pool=_pool(self.env, self.config, num_updates // period if period else 0))

    @staticmethod
    def initial_policy(key: jax.Array, env: Environment, config: SHACConfig) -> SHACPolicy:
        """A policy that has learned nothing: near the middle of the action box everywhere."""
        space, cycles = env.observation_space, cycles_of(env)
        (num_actions,) = env.action_space.shape
        log_std = config.initial_log_std if config.actor == "gaussian" else None
        network = Actor(num_actions, config.hidden_sizes, config.layer_norm, log_std, space.dtype)
        blank = jnp.zeros(space.shape, space.dtype)
        return SHACPolicy(
            params=network.init(key, with_cycles(blank, blank, cycles)),
            statistics=RunningStatistics.create(space.shape, space.dtype),
            box=env.action_space,
            network=network,
            cycles=cycles,
            observation_clip=config.observation_clip,
            pass_through=config.pass_through,
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
    def critics(self) -> Critics:
        """The critics of these options."""
        config = self.config
        dtype = self.env.observation_space.dtype
        return Critics(config.num_critics, config.hidden_sizes, config.layer_norm, dtype)

    @property
    def optimizer(self) -> optax.GradientTransformation:
        """Adam on gradients of bounded norm, with a step size that falls as a cosine.

        Short memories, (0.7, 0.95), as in SHAC: the gradient is exact but for the sampled lanes.
        """
        config = self.config
        step_size = optax.cosine_decay_schedule(
            config.learning_rate, config.num_updates, config.final_learning_rate
        )
        return optax.chain(
            optax.clip_by_global_norm(config.max_grad_norm), optax.adam(step_size, b1=0.7, b2=0.95)
        )

    @property
    def critic_optimizer(self) -> optax.GradientTransformation:
        """Adam."""
        return optax.adam(self.config.critic_learning_rate)

    def init(self, key: jax.Array) -> Learner:
        """The learner before its first update; every lane at a start of the pool.

        Args:
          key: PRNG key; all of a training follows from it.
        """
        key, policy_key, critic_key, reset_key, age_key = jax.random.split(key, 5)
        policy = self.initial_policy(policy_key, self.env, self.config)
        if self.config.normalize_observations:
            policy = replace(policy, statistics=policy.statistics.update(self.pool.obs))
        num_envs = self.config.num_envs
        keys = self.lanes.own(jax.random.split(reset_key, num_envs))
        states = jax.vmap(begin_at, (None, 0))(self.pool, keys)
        if limit := self.config.max_episode_steps:
            # First episodes of every length, so that no window begins with all lanes at a start.
            ages = jax.random.randint(age_key, (num_envs,), 0, limit, states.t.dtype)
            states = replace(states, t=self.lanes.own(ages))
        critics = self.critics.init(critic_key, policy.scale(self.pool.obs[:1]))
        return Learner(
            policy=policy,
            params=policy.params,
            critics=critics,
            slow_critics=critics,
            return_statistics=RunningStatistics.create((), states.reward.dtype),
            optimizer=self.optimizer.init(policy.params),
            critic_optimizer=self.critic_optimizer.init(critics),
            states=states,
            totals=jnp.zeros_like(states.reward),
            num_updates=jnp.zeros((), jnp.int32),
            key=key,
        )

    def update(self, learner: Learner) -> tuple[Learner, Metrics]:
        """One window on every lane, one step of the policy, some of the critics."""
        config, lanes = self.config, self.lanes
        policy = replace(learner.policy, params=learner.params)
        key, noise_key, shuffle_key, renew_key = jax.random.split(learner.key, 4)
        noise = self._noise(noise_key, learner)
        statistics = learner.return_statistics
        states, window, values, by_action = gradient_by_action(
            self.env,
            policy,
            lambda x: self._value(learner.slow_critics, statistics, x, jnp.mean),
            learner.states,
            noise,
            gamma=self.gamma,
            least_reward=-config.collapse_clip * statistics.std(),
        )
        params, optimizer, policy_metrics = self._climb(policy, learner.optimizer, window, noise, by_action)
        if config.num_critics > 1:
            lower = self._value(learner.slow_critics, statistics, policy.scale(window.raw_obs), jnp.min)
            # Of the states reached: those acted on a step later, but for the last.
            next_value = jnp.concatenate([lower[1:], window.next_value[-1:]])
            open_end = window.ended | (jnp.arange(len(lower)) == len(lower) - 1)[:, None]
            window = window._replace(next_value=jnp.where(open_end, window.next_value, next_value))
        target = td_lambda(window, gamma=self.gamma, td_lambda=config.td_lambda)
        target = jnp.where(window.counts, target, statistics.mean)
        new_statistics = statistics.update(target, max_count=RETURN_HORIZON, axis_name=self.axis_name)
        critics, slow, critic_optimizer, value_loss = self._learn_values(
            learner, window, target, new_statistics, shuffle_key
        )
        states, totals, sums = self._renew(states, window, learner.totals, renew_key)
        observed = policy.statistics
        if config.normalize_observations:
            observed = observed.update(window.raw_obs, axis_name=self.axis_name)
        # Late in a training the policy still moves to and fro beside the limits of the grid; its mean less.
        rate = jnp.maximum(config.average_rate, 1 / (learner.num_updates + 1)).astype(target.dtype)
        average = jax.tree.map(lambda a, b: (1 - rate) * a + rate * b, learner.policy.params, params)
        learner = Learner(
            policy=replace(policy, params=average, statistics=observed),
            params=params,
            critics=critics,
            slow_critics=slow,
            return_statistics=new_statistics,
            optimizer=optimizer,
            critic_optimizer=critic_optimizer,
            states=states,
            totals=totals,
            num_updates=learner.num_updates + 1,
            key=key,
        )
        loss = -lanes.mean(values.mean()) / statistics.std()
        metrics = replace(
            lanes.sum(sums),
            losses={"policy_loss": loss, "value_loss": value_loss},
            means=policy_metrics | {"return_scale": new_statistics.std()},
        )
        return learner, metrics

    def policy(self, learner: Learner) -> SHACPolicy:
        """The policy of a learner, averaged over its last updates, without noise."""
        return learner.policy

    def _noise(self, key: jax.Array, learner: Learner) -> jax.Array:
        """(horizon, lanes, n_action), drawn lane by lane: the same however the lanes are shared out."""
        config, reward = self.config, learner.states.reward
        shape = (config.horizon, *self.env.action_space.shape)
        keys = self.lanes.keys(key, len(reward))
        noise = jax.vmap(lambda key: jax.random.normal(key, shape, reward.dtype), out_axes=1)(keys)
        if config.actor == "gaussian":
            return noise
        until = config.noise_until * config.num_updates
        left = jnp.maximum(0, 1 - learner.num_updates / until) if until else 0.0
        return jnp.asarray(config.noise * left, reward.dtype) * noise

    def _value(self, params: Any, statistics: RunningStatistics, x: jax.Array, over: Any) -> jax.Array:
        """Values in the task's units, the mean or the least of the critics."""
        return statistics.mean + statistics.std() * over(self.critics.apply(params, x), 0)

    def _climb(
        self,
        policy: SHACPolicy,
        optimizer: optax.OptState,
        window: Window,
        noise: jax.Array,
        by_action: jax.Array,
    ) -> tuple[Any, optax.OptState, dict[str, jax.Array]]:
        """One step of the policy along the derivatives by its actions; the parameters, and what to tell."""
        config, lanes = self.config, self.lanes
        sound = jnp.isfinite(by_action).all((0, 2))
        by_action = jnp.where(sound[None, :, None], by_action, 0)

        def loss(params: Any) -> jax.Array:
            gain = (policy.latent(params, window.x, noise) * by_action).sum(-1)
            if config.entropy_coefficient:
                gain += config.entropy_coefficient * policy.entropy(params, window.x, noise)
            return -gain.sum(0).mean()

        # Of this device's own lanes: by parameters that all share it would be the sum of all devices'.
        own = as_varying(policy.params, window.x)
        gradient = lanes.mean(jax.grad(loss)(own))
        updates, optimizer = self.optimizer.update(gradient, optimizer, policy.params)
        squares = lanes.mean(jnp.square(by_action).sum(-1).mean(1))
        live = jnp.where(window.counts & sound[None], (by_action == 0).mean(-1), 0)
        shares = {
            "zero_gradient_share": live.mean(),
            "lanes_not_finite": (~sound).astype(squares.dtype).mean(),
        }
        means = lanes.mean(shares) | {
            "gradient_norm": jnp.linalg.norm(ravel_pytree(gradient)[0]),
            # What the actions of the first and of the last step of a window do to its value.
            "gradient_first": jnp.sqrt(squares[0]),
            "gradient_last": jnp.sqrt(squares[-1]),
        }
        return optax.apply_updates(policy.params, updates), optimizer, means

    def _learn_values(
        self,
        learner: Learner,
        window: Window,
        target: jax.Array,
        statistics: RunningStatistics,
        key: jax.Array,
    ) -> tuple[Any, Any, optax.OptState, jax.Array]:
        """Epochs of gradient steps of the critics; the critics, their slow copy and the mean loss."""
        config, lanes, network, transform = self.config, self.lanes, self.critics, self.critic_optimizer
        old = learner.return_statistics
        # The first statistics are of nothing.
        old = jax.tree.map(lambda a, b: jnp.where(old.count > 0, a, b), old, statistics)
        last_layer = f"Dense_{len(config.hidden_sizes)}"
        critics, slow = (
            rescaled(x, last_layer, old, statistics) for x in (learner.critics, learner.slow_critics)
        )
        scaled = (target - statistics.mean) / statistics.std()
        num_lanes, num_minibatches = target.shape[1], config.num_minibatches

        def descend(carry: tuple[Any, optax.OptState], chosen: jax.Array) -> Any:
            params, optimizer = carry
            x, wanted, counts = (
                leaf[:, chosen].reshape(-1, *leaf.shape[2:]) for leaf in (window.x, scaled, window.counts)
            )

            def loss(params: Any) -> jax.Array:
                values: Any = network.apply(params, x)
                errors = jnp.square(values - wanted[None])
                return jnp.where(counts, errors, 0).mean(1).sum()

            value, gradient = lanes.mean(jax.value_and_grad(loss)(as_varying(params, x)))
            updates, optimizer = transform.update(gradient, optimizer, params)
            return (optax.apply_updates(params, updates), optimizer), value / config.num_critics

        keys = jax.random.split(key, config.num_epochs)
        chosen = jax.vmap(lambda key: lanes.minibatches(key, num_lanes, num_minibatches))(keys)
        chosen = chosen.reshape(-1, num_lanes // num_minibatches)
        (critics, optimizer), losses = jax.lax.scan(descend, (critics, learner.critic_optimizer), chosen)
        rate = config.target_rate
        slow = jax.tree.map(lambda a, b: (1 - rate) * a + rate * b, slow, critics)
        return critics, slow, optimizer, losses.mean()

    def _renew(
        self, states: State, window: Window, totals: jax.Array, key: jax.Array
    ) -> tuple[State, jax.Array, Metrics]:
        """Puts the lanes that ended, or that have gone on for long enough, at a start; and the sums."""
        limit = self.config.max_episode_steps
        ended = window.ended.any(0)
        done = ended | (states.t >= limit) if limit else ended
        fresh = jax.vmap(begin_at, (None, 0))(self.pool, self.lanes.keys(key, len(done)))
        states = jax.vmap(lambda one, new, old: jax.tree.map(lambda a, b: jnp.where(one, a, b), new, old))(
            done, fresh, states
        )
        states = replace(states, terminated=states.terminated & ~done, truncated=states.truncated & ~done)
        reward = jnp.where(window.counts, window.reward, 0)
        totals = totals + reward.sum(0)
        sums = Metrics(
            per_step={"reward": reward.sum()},
            per_episode={"episode_return": jnp.where(done, totals, 0).sum()},
            episodes=done.sum(),
        )
        if window.violates is not None:
            sums.per_step["violation_share"] = (window.counts & window.violates).sum()
            sums.totals["collapses"] = (window.counts & window.terminated).sum()
        return states, jnp.where(done, 0, totals), sums


def _pool(env: Environment, config: SHACConfig, number: int) -> State:
    return pool_of_starts(
        env, number, share=config.exploring_starts, max_steps=config.max_episode_steps or 96
    )
