"""Collecting experience: the policy acts on every lane for a number of steps, in one scan."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from anmjax.agents.constraint import penalized
from anmjax.agents.metrics import Metrics
from anmjax.agents.ppo.network import Policy, log_prob
from anmjax.agents.scaling import unscale
from anmjax.agents.training.lanes import Lanes
from anmjax.agents.violation import has_limits, violates
from anmjax.envs.protocol import Environment
from anmjax.envs.records import State
from anmjax.lanes.varying import as_varying


@struct.dataclass
class Rollout:
    """What happened on N lanes in T steps; observations and samples as the network sees and gives them."""

    obs: jax.Array  # (T, N, n_obs) scaled observations acted on
    next_obs: jax.Array  # (T, N, n_obs) scaled observations reached, before any reset
    raw_obs: jax.Array  # (T, N, n_obs) observations acted on, in the task's units
    sample: jax.Array  # (T, N, n_action) actions in [-1, 1], before clipping to that
    log_prob: jax.Array  # (T, N) their log density
    reward: jax.Array  # (T, N) unscaled; with a limit on costs the penalized one
    discounted_return: jax.Array  # (T, N) gamma-discounted sum of the episode's rewards so far
    terminated: jax.Array  # (T, N) bool
    done: jax.Array  # (T, N) bool, terminated or truncated


def collect(
    env: Environment,
    policy: Policy,
    states: State,
    totals: jax.Array,
    key: jax.Array,
    *,
    num_steps: int,
    gamma: float,
    lanes: Lanes,
    multiplier: jax.Array | None = None,
) -> tuple[State, jax.Array, Rollout, Metrics]:
    """Lets the policy act for ``num_steps`` steps on every lane.

    Args:
      env: an environment that resets itself.
      policy: draws the actions.
      states: State of N lanes.
      totals: (N,) discounted sums of rewards of the running episodes.
      key: PRNG key of the actions.
      num_steps: T, steps to take.
      gamma: discount factor of the sums.
      lanes: where all lanes are, of which these are a share.
      multiplier: () of a limit on costs, see ``anmjax.agents.constraint``; None: there is no limit.

    Returns:
      The states and totals after the last step, the rollout, and sums over all its steps on these lanes:
      ``reward``, ``episode_return``, on a grid ``violation_share`` and ``collapses``, with a limit ``cost``.
    """

    def act(carry: tuple[State, jax.Array], key: jax.Array) -> tuple[tuple[State, jax.Array], Any]:
        states, totals = carry
        obs = policy.scale(states.obs)
        mean, log_std = policy.apply(obs, method="policy")
        # Drawn lane by lane: the same however the lanes are shared out.
        noise = jax.vmap(lambda key: jax.random.normal(key, mean.shape[1:], mean.dtype))(
            lanes.keys(key, len(mean))
        )
        sample = mean + jnp.broadcast_to(jnp.exp(log_std), mean.shape) * noise
        after = as_varying(jax.vmap(env.step)(states, unscale(policy.box, sample)), states)

        done = after.terminated | after.truncated
        reward = after.reward if multiplier is None else penalized(after, multiplier)
        totals = gamma * totals + reward
        step = Rollout(
            obs=obs,
            next_obs=policy.scale(after.metrics["final_obs"]),
            raw_obs=states.obs,
            sample=sample,
            log_prob=log_prob(mean, log_std, sample),
            reward=reward,
            discounted_return=totals,
            terminated=after.terminated,
            done=done,
        )
        on_grid = has_limits(after.metrics)
        sums = Metrics(
            per_step={"reward": after.reward.sum()}
            | ({} if multiplier is None else {"cost": after.costs.sum()})
            | ({"violation_share": violates(after.metrics).sum()} if on_grid else {}),
            per_episode={"episode_return": jnp.where(done, after.metrics["episode_return"], 0).sum()},
            episodes=done.sum(),
            totals={"collapses": after.terminated.sum()} if on_grid else {},
        )
        return (after, jnp.where(done, 0, totals)), (step, sums)

    keys = jax.random.split(key, num_steps)
    (states, totals), (rollout, sums) = jax.lax.scan(act, (states, totals), keys)
    return states, totals, rollout, jax.tree.map(lambda leaf: leaf.sum(0), sums)
