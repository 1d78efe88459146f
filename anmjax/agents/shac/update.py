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
import optax
from flax import struct
from jax.flatten_util import ravel_pytree

from anmjax.agents.constraint import Multiplier, check_costs
from anmjax.agents.metrics import Metrics
from anmjax.agents.scaling import check_bounded, cycles_of, with_cycles
from anmjax.agents.shac.config import SHACConfig
from anmjax.agents.shac.critics import Values
from anmjax.agents.shac.network import Actor, SHACPolicy
from anmjax.agents.shac.window import Window, gradient_by_action, td_lambda
from anmjax.agents.training.lanes import Lanes
from anmjax.envs.protocol import Environment
from anmjax.envs.records import State
from anmjax.lanes.varying import as_varying
from anmjax.wrappers.exploring_starts import begin_at, pool_of_starts
from anmjax.wrappers.running_statistics import RunningStatistics


@struct.dataclass
class Learner:
    """All that changes in a training. Saved and restored whole, it goes on bit for bit."""

    policy: SHACPolicy  # with the running average of the parameters
    params: Any  # of the policy as it is now
    values: Values  # the critics
    optimizer: optax.OptState  # of the policy
    states: State  # of num_envs lanes
    totals: jax.Array  # (num_envs,) sums of rewards of the running episodes
    num_updates: jax.Array  # () int32, updates so far
    key: jax.Array  # PRNG key
    multiplier: Multiplier | None = None  # of the limit on costs; None: there is no limit


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
          CannotLearnError: an action bound is infinite, so that [-1, 1] cannot be scaled to the box; or there
            is to be a limit on costs, but there are none.
        """
        config = SHACConfig() if config is None else config
        check_bounded(env.action_space, "SHAC")
        if config.cost_limit is not None:
            check_costs(env, "SHAC")
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
        return Learner(
            policy=policy,
            params=policy.params,
            values=Values.create(critic_key, policy.scale(self.pool.obs[:1]), self.config),
            optimizer=self.optimizer.init(policy.params),
            states=states,
            totals=jnp.zeros_like(states.reward),
            num_updates=jnp.zeros((), jnp.int32),
            key=key,
            multiplier=None if self.config.cost_limit is None else Multiplier.create(states.reward.dtype),
        )

    def update(self, learner: Learner) -> tuple[Learner, Metrics]:
        """One window on every lane, one step of the policy, some of the critics."""
        config, lanes, multiplier = self.config, self.lanes, learner.multiplier
        policy = replace(learner.policy, params=learner.params)
        key, noise_key, shuffle_key, renew_key = jax.random.split(learner.key, 4)
        noise = self._noise(noise_key, learner)
        values = learner.values
        states, window, gains, by_action = gradient_by_action(
            self.env,
            policy,
            values,
            learner.states,
            noise,
            gamma=self.gamma,
            least_reward=-config.collapse_clip * values.statistics.std(),
            multiplier=None if multiplier is None else multiplier.value,
        )
        params, optimizer, means = self._climb(policy, learner.optimizer, window, noise, by_action)
        target = td_lambda(self._cautious(window, values), gamma=self.gamma, td_lambda=config.td_lambda)
        new_values, value_loss = values.updated(window.x, target, window.counts, shuffle_key, lanes)
        states, totals, sums = self._renew(states, window, learner.totals, renew_key)
        sums = lanes.sum(sums)
        means["return_scale"] = new_values.statistics.std()
        if multiplier is not None and config.cost_limit is not None:
            means["multiplier"] = multiplier.value
            cost = sums.per_step["cost"] / config.steps_per_update
            multiplier = multiplier.updated(cost, limit=config.cost_limit, gains=config.multiplier_gains)
        observed = policy.statistics
        if config.normalize_observations:
            observed = observed.update(window.raw_obs, axis_name=self.axis_name)
        # Late in a training the policy still moves to and fro beside the limits of the grid; its mean less.
        rate = jnp.maximum(config.average_rate, 1 / (learner.num_updates + 1)).astype(target.dtype)
        average = jax.tree.map(lambda a, b: (1 - rate) * a + rate * b, learner.policy.params, params)
        learner = Learner(
            policy=replace(policy, params=average, statistics=observed),
            params=params,
            values=new_values,
            optimizer=optimizer,
            states=states,
            totals=totals,
            num_updates=learner.num_updates + 1,
            key=key,
            multiplier=multiplier,
        )
        loss = -lanes.mean(gains.mean()) / values.statistics.std()
        losses = {"policy_loss": loss, "value_loss": value_loss}
        return learner, replace(sums, losses=losses, means=means)

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

    def _cautious(self, window: Window, values: Values) -> Window:
        """The window with the least of the critics' values in the place of their mean, but for its ends."""
        if self.config.num_critics == 1:
            return window
        least = values(window.x, jnp.min)
        # Of the states reached: those acted on a step later.
        at_end = (jnp.arange(len(least)) == len(least) - 1)[:, None] | window.ended
        later = jnp.concatenate([least[1:], least[-1:]])
        return window._replace(next_value=jnp.where(at_end, window.next_value, later))

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
        if window.cost is not None:
            sums.per_step["cost"] = jnp.where(window.counts, window.cost, 0).sum()
        if window.violates is not None:
            sums.per_step["violation_share"] = (window.counts & window.violates).sum()
            sums.totals["collapses"] = (window.counts & window.terminated).sum()
        return states, jnp.where(done, 0, totals), sums


def _pool(env: Environment, config: SHACConfig, number: int) -> State:
    return pool_of_starts(
        env, number, share=config.exploring_starts, max_steps=config.max_episode_steps or 96
    )
