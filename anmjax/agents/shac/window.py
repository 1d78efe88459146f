"""A window of steps through the simulator, and how its value changes with every action in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from anmjax.agents.constraint import penalized
from anmjax.agents.shac.network import SHACPolicy
from anmjax.agents.violation import has_limits, violates
from anmjax.envs.protocol import Environment
from anmjax.envs.records import State
from anmjax.lanes.varying import as_varying


class Window(NamedTuple):
    """What happened on N lanes in T steps."""

    raw_obs: jax.Array  # (T, N, n_obs) observations acted on, in the task's units
    x: jax.Array  # (T, N, n_x) the same as the networks see them
    reward: jax.Array  # (T, N) that of a collapse cut to the least allowed; with a limit on costs, penalized
    next_value: jax.Array  # (T, N) of the states reached, 0 after a collapse
    terminated: jax.Array  # (T, N) bool
    ended: jax.Array  # (T, N) bool, terminated or truncated
    counts: jax.Array  # (T, N) bool, the lane had not ended before the step
    violates: jax.Array | None  # (T, N) bool, where the environment has a grid
    cost: jax.Array | None  # (T, N) sum of the costs, where there is a limit on them


def gradient_by_action(
    env: Environment,
    policy: SHACPolicy,
    value: Callable[[jax.Array], jax.Array],
    states: State,
    noise: jax.Array,
    *,
    gamma: float,
    least_reward: jax.Array,
    multiplier: jax.Array | None = None,
) -> tuple[State, Window, jax.Array, jax.Array]:
    """Rolls the policy out and differentiates what is collected on each lane by each of its actions.

    The value of a lane is the discounted sum of its rewards in the window plus the discounted value of the
    state that it ends in: at the end of the window, or before a truncation. The derivative by an action is
    the total one: through the simulator, and through all that the policy does later because of it.

    Args:
      env: the environment, not one that resets itself.
      policy: acts.
      value: (..., n_x) scaled observations to (...) values.
      states: State of N lanes.
      noise: (T, N, n_action), see ``SHACPolicy.latent``.
      gamma: discount factor.
      least_reward: () rewards of a collapse are cut to it.
      multiplier: () of a limit on costs, see ``anmjax.agents.constraint``; None: there is no limit.

    Returns:
      The states after; the window; the value of each lane (N,); its derivatives by what ``latent`` gave at
      each step, (T, N, n_action).
    """

    def objective(nudge: jax.Array) -> tuple[jax.Array, Any]:
        def act(states: State, inputs: tuple[jax.Array, jax.Array]) -> tuple[State, Any]:
            noise, nudge = inputs
            x = policy.scale(states.obs)
            action = policy.action(policy.latent(policy.params, x, noise) + nudge)
            after = as_varying(jax.vmap(env.step)(states, action), states)
            on_grid = has_limits(after.metrics)
            return after, (
                states.obs,
                x,
                after.obs,
                after.reward if multiplier is None else penalized(after, multiplier),
                after.terminated,
                after.truncated,
                violates(after.metrics) if on_grid else None,
                None if multiplier is None else after.costs.sum(-1),
            )

        last, (raw_obs, x, next_obs, reward, terminated, truncated, broken, cost) = jax.lax.scan(
            act, states, (noise, nudge)
        )
        reward = jnp.where(terminated, jnp.maximum(reward, least_reward), reward)
        next_value = jnp.where(terminated, 0, value(policy.scale(next_obs)))
        ended = terminated | truncated
        before = jnp.cumsum(ended, 0, dtype=jnp.int32) - ended
        counts = before == 0
        steps = len(reward)
        discount = jnp.asarray(gamma, reward.dtype) ** jnp.arange(steps, dtype=reward.dtype)[:, None]
        at_end = (jnp.arange(steps) == steps - 1)[:, None] | ended
        gain = discount * jnp.where(counts, reward, 0)
        gain += gamma * discount * jnp.where(counts & at_end, next_value, 0)
        values = gain.sum(0)
        window = Window(raw_obs, x, reward, next_value, terminated, ended, counts, broken, cost)
        return values.sum(), (last, window, values)

    nudge = as_varying(jnp.zeros_like(noise), states)
    by_action, (last, window, values) = jax.grad(objective, has_aux=True)(nudge)
    return last, window, values, by_action


def td_lambda(window: Window, *, gamma: float, td_lambda: float) -> jax.Array:
    """Targets of the critics, (T, N).

    G_t = r_t + gamma ((1 - lambda) V_(t+1) + lambda G_(t+1)), where the window or the episode ends
    G_t = r_t + gamma V_(t+1).

    Reference: Sutton and Barto, "Reinforcement Learning: An Introduction", 2nd edition, section 12.1.
    """

    def back(later: jax.Array, step: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        reward, next_value, ended = step
        beyond = jnp.where(ended, next_value, (1 - td_lambda) * next_value + td_lambda * later)
        target = reward + gamma * beyond
        return target, target

    steps = (window.reward, window.next_value, window.ended)
    return jax.lax.scan(back, window.next_value[-1], steps, reverse=True)[1]
