"""Better actions by their gradient through the simulator: of one window, and of one after the other."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from anmjax.agents.planning.arguments import Sizes
from anmjax.envs.records import State
from anmjax.envs.spaces import Box
from anmjax.projection.control_layout import ControlLayout
from anmjax.projection.controls import as_action

# Of Adam. A limit of the grid turns the gradient around: its size is to be forgotten sooner than usual.
DECAY, DECAY_OF_SQUARES, ADAM_EPS = 0.9, 0.99, 1e-12


class Problem(NamedTuple):
    """The task, and the options that are numbers: another value is no other program."""

    env: Any
    value: Any  # State -> (), or None
    gamma: jax.Array
    step_size: jax.Array
    max_grad_norm: jax.Array
    dither: jax.Array


class Followed(NamedTuple):
    """What came of some actions."""

    total: jax.Array  # () discounted return
    done: jax.Array  # (T, n_action) the actions as they were carried out
    rewards: jax.Array  # (T,)
    states: State  # (T, ...)


def improve(
    problem: Problem, state: State, actions: jax.Array, key: jax.Array, sizes: Sizes
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Better actions, one window after the other, for one lane.

    Args:
      problem: the task, and the options that are numbers.
      state: where the actions begin.
      actions: (T, n_action), within the box.
      key: PRNG key of the dither.
      sizes: of the horizon and its windows.

    Returns:
      (T, n_action) actions; (n_window, num_iters) the return of every iterate over its window; () int32, how
      many iterates had a gradient that was not finite.
    """
    keys = jax.random.split(key, len(sizes.offsets))
    if len(sizes.offsets) == 1:
        actions, history, num_nonfinite = _ascend(problem, state, actions, keys[0], sizes)
        return actions, history[None], num_nonfinite

    def of_window(carry: tuple[State, jax.Array], at: tuple[jax.Array, ...]) -> Any:
        (state, actions), (offset, stride, key) = carry, at
        own = jax.lax.dynamic_slice_in_dim(actions, offset, sizes.window)
        own, history, num_nonfinite = _ascend(problem, state, own, key, sizes)
        actions = jax.lax.dynamic_update_slice_in_dim(actions, own, offset, 0)
        # To where the next window begins.
        state = jax.lax.fori_loop(0, stride, lambda k, state: problem.env.step(state, own[k]), state)
        return (state, actions), (history, num_nonfinite)

    strides = np.append(np.diff(sizes.offsets), 0)
    windows = jnp.array(sizes.offsets), jnp.asarray(strides), keys
    (_, actions), (history, num_nonfinite) = jax.lax.scan(of_window, (state, actions), windows)
    return actions, history, num_nonfinite.sum(dtype=jnp.int32)


def _ascend(
    problem: Problem, state: State, actions: jax.Array, key: jax.Array, sizes: Sizes
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The best iterate from some actions on; as ``improve``, for one window."""
    box = problem.env.action_space
    unit, low, high = (x[None] for x in (middle_and_unit(box)[1], box.low, box.high))
    adam = optax.scale_by_adam(b1=DECAY, b2=DECAY_OF_SQUARES, eps=ADAM_EPS)
    phase = np.pi * np.arange(sizes.num_iters) / sizes.num_iters
    step_sizes = problem.step_size * jnp.asarray((1 + np.cos(phase)) / 2, unit.dtype)

    def objective(actions: jax.Array) -> tuple[jax.Array, jax.Array]:
        came = follow(problem, state, actions, sizes.by_devices)
        return came.total, came.done

    def ascend(carry: Any, at: tuple[jax.Array, jax.Array]) -> Any:
        (actions, memory, best, best_actions), (step_size, key) = carry, at
        (total, done), slope = jax.value_and_grad(objective, has_aux=True)(actions)
        better = total > best
        best, best_actions = jnp.where(better, total, best), jnp.where(better, actions, best_actions)
        finite = jnp.isfinite(slope)
        slope = jnp.where(finite, slope * unit, 0)
        # Each step's own: a limit that one action breaks is not to hide what the others could do better.
        norm = jnp.linalg.norm(slope, axis=1, keepdims=True)
        slope = slope * jnp.minimum(1, problem.max_grad_norm / jnp.where(norm > 0, norm, 1))
        change, memory = adam.update(slope, memory)
        change = change + problem.dither * jax.random.normal(key, change.shape, change.dtype)
        actions = jnp.clip(done + step_size * unit * change, low, high)
        return (actions, memory, best, best_actions), (total, ~finite.all())

    carry = (actions, adam.init(actions), jnp.array(-jnp.inf, actions.dtype), actions)
    each = step_sizes, jax.random.split(key, sizes.num_iters)
    (_, _, _, best), (history, spoiled) = jax.lax.scan(ascend, carry, each)
    return best, history, spoiled.sum(dtype=jnp.int32)


def follow(problem: Problem, state: State, actions: jax.Array, by_devices: bool) -> Followed:
    """What comes of some actions, for one lane."""
    env = problem.env

    def step(carry: tuple[State, jax.Array], action: jax.Array) -> Any:
        state, going = carry
        after = env.step(state, action)
        reward = jnp.where(going, after.reward, 0)
        going = going & ~(after.terminated | after.truncated)
        done = action
        if by_devices:
            net, grid = env.network, after.grid
            devices = ControlLayout.of(net).devices
            drawn = grid.p[np.array(net.flexible)] if net.flexible else None
            taken = as_action(net, grid.p[devices], grid.q[devices], drawn, grid.settings)
            done = jnp.where(going, taken, action)
        return (after, going), (reward, jax.lax.stop_gradient(done), after)

    (last, going), (rewards, done, states) = jax.lax.scan(step, (state, jnp.array(True)), actions)
    steps = jnp.arange(len(actions)).astype(rewards.dtype)
    total = jnp.sum(problem.gamma.astype(rewards.dtype) ** steps * rewards)
    if problem.value is not None:
        worth = jnp.where(going, problem.value(last), 0)
        total = total + problem.gamma.astype(rewards.dtype) ** len(actions) * worth
    return Followed(total, done, rewards, states)


def middle_and_unit(box: Box) -> tuple[jax.Array, jax.Array]:
    """The middle of the box and half its width, (n_action,) each.

    Where a bound is infinite: what lies nearest to 0, and the largest half width of the others, or 1.
    """
    bounded = jnp.isfinite(box.low) & jnp.isfinite(box.high)
    half = jnp.where(bounded, (box.high - box.low) / 2, 0)
    largest = half.max(initial=0)
    other = jnp.where(largest > 0, largest, 1)
    middle = jnp.where(bounded, (box.low + box.high) / 2, jnp.clip(0, box.low, box.high))
    return middle, jnp.where(bounded, half, other)
