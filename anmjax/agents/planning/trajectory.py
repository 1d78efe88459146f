"""Trajectory optimisation through the simulator: the actions of the coming steps, improved by their gradient.

    maximise    sum_k gamma^k r_k + gamma^T V(s_T)    over a_0, .., a_(T-1) in the action box,

s_(k+1) and r_k of ``env.step(s_k, a_k)``. Adam in units of half the box, with a step size that falls to zero
along a cosine, and back into the box after every step; the best of all iterates is what comes out.

What a device cannot do the simulator cuts, and beyond a cut the gradient is zero: a plan would be stuck
there. So the next iterate begins from what the devices did and not from what they were told. At a cut there
are two slopes, and that of an empty storage unit at rest says that charging is worth nothing: a little noise
on every iterate, which falls with the step size, sees the other slope too.

Reference: Kingma & Ba, "Adam", ICLR 2015; Mayne et al., "Constrained model predictive control", Automatica
36 (2000) (receding horizons, and the value at their end).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from anmjax.agents.acting import action_of
from anmjax.agents.planning.arguments import (
    Sizes,
    check_number,
    check_state,
    is_policy,
    known_gamma,
    known_start,
    known_value,
    sizes_of,
)
from anmjax.agents.planning.ascent import Problem, follow, improve, middle_and_unit
from anmjax.envs.protocol import Environment
from anmjax.envs.records import State
from anmjax.envs.spaces import Box


@struct.dataclass
class Plan:
    """Actions for the coming T steps, and what ``env.step`` makes of them; S starts were improved."""

    actions: jax.Array  # (T, n_action) in the task's units, within the action box
    rewards: jax.Array  # (T,) of every step; 0 after the episode's end
    discounted_return: jax.Array  # () of the rewards, and of the value of the last state if there is one
    states: State  # leaves (T, ...), after every step
    start_returns: jax.Array  # (S,) the same return of every start, before any gradient
    chosen: jax.Array  # () int32, the start that this plan comes from
    history: jax.Array  # (S, n_window, num_iters) return of every iterate over its window
    num_nonfinite: jax.Array  # (S,) int32, iterates with a gradient that was not finite, and taken as zero


def plan(
    env: Environment,
    state: State,
    horizon: int,
    *,
    start: Any = None,
    gamma: float | jax.Array | None = None,
    value: Callable[[State], jax.Array] | None = None,
    num_iters: int = 300,
    step_size: float | jax.Array = 0.05,
    dither: float | jax.Array = 0.03,
    max_grad_norm: float | jax.Array = 0.1,
    window: int | None = None,
    overlap: int | None = None,
    key: jax.Array | None = None,
) -> Plan:
    """Plans the coming steps of one lane by gradient ascent through the simulator.

    The future is what ``env.step`` makes of it from ``state``, whose key says all that is random: the plan
    knows it. Where profiles are given, as in ``DailyTask``, it is the plan of one who knows the profiles;
    where they are drawn, of one who knows the draws, and no policy can be expected to reach it. What it
    returns can be had, and is never less than its start's; that nothing better exists is not problem.

    Pure: ``jax.vmap`` it for many lanes, and ``jax.jit`` it where it is called again and again.

    Args:
      env: the task, without ``AutoReset``: what comes after an episode's end counts nothing.
      state: where to begin.
      horizon: T, steps planned.
      start: actions to improve: None, the middle of the box (0 where it has none); a policy as for
        ``evaluate``, a planner for one, followed through the T steps; or (T, n_action) in the task's units.
        A tuple of these: each is improved, and the best plan is returned. All are moved into the box.
      gamma: discount factor; None: the task's.
      value: what the state after the last step is worth; None: nothing.
      num_iters: iterates, the start among them; a gradient each.
      step_size: of Adam at first, as a share of half the box. 0.002 for a start that is nearly best.
      dither: standard deviation of the noise on an iterate, as a share of the step size.
      max_grad_norm: the gradient by each step's action, in units of half the box, is cut to this norm.
      window: steps planned at a time, for a horizon whose gradient takes too much memory; None: all.
      overlap: steps by which a window reaches into the next, at least, which plans them anew; None: half.
      key: PRNG key of policies that draw, and of the dither; None: a fixed one.

    Returns:
      The best plan.

    Raises:
      ValueError: an argument is out of range or has the wrong shape, the state has ended, or the environment
        has no gamma and none is given.
    """
    box = env.action_space
    sizes = sizes_of(env, horizon, num_iters, window, overlap)
    gamma = known_gamma(env, gamma)
    options = {"step_size": step_size, "max_grad_norm": max_grad_norm, "dither": dither}
    for name, number in options.items():
        check_number(name, number, or_zero=name == "dither")
    check_state(state)
    starts = tuple(start) if isinstance(start, (tuple, list)) else (start,)
    if not starts:
        raise ValueError("start is an empty tuple, expected at least one start")
    dtype = box.low.dtype
    asked = {name: jnp.asarray(number, dtype) for name, number in {"gamma": gamma, **options}.items()}
    problem = Problem(env=env, value=known_value(value), **asked)
    return _plan(
        problem,
        state,
        tuple(known_start(one, (horizon, *box.shape), dtype) for one in starts),
        jax.random.key(0) if key is None else key,
        sizes=sizes,
    )


@functools.partial(jax.jit, static_argnames="sizes")
def _plan(problem: Problem, state: State, starts: tuple[Any, ...], key: jax.Array, *, sizes: Sizes) -> Plan:
    box = problem.env.action_space
    key_policies, key_dither = jax.random.split(key)
    begin = jnp.stack([_actions(problem.env, state, one, key_policies, box, sizes.horizon) for one in starts])
    keys = jax.random.split(key_dither, len(starts))
    improved, history, num_nonfinite = jax.vmap(lambda one, key: improve(problem, state, one, key, sizes))(
        begin, keys
    )
    # The last word is of the whole horizon, for windows end in their own interest.
    candidates = jnp.concatenate([begin, improved])
    came = jax.vmap(lambda one: follow(problem, state, one, sizes.by_devices))(candidates)
    total = jnp.where(jnp.isnan(came.total), -jnp.inf, came.total)
    best = jnp.argmax(total)
    return Plan(
        actions=candidates[best],
        rewards=came.rewards[best],
        discounted_return=came.total[best],
        states=jax.tree.map(lambda x: x[best], came.states),
        start_returns=came.total[: len(starts)],
        chosen=(best % len(starts)).astype(jnp.int32),
        history=history,
        num_nonfinite=num_nonfinite,
    )


def _actions(env: Any, state: State, start: Any, key: jax.Array, box: Box, horizon: int) -> jax.Array:
    """The actions of a start, (T, n_action), within the box."""
    if start is None:
        middle, _ = middle_and_unit(box)
        return jnp.broadcast_to(middle, (horizon, *box.shape))
    if not is_policy(start):
        return jnp.clip(start, box.low[None], box.high[None])

    def step(state: State, key: jax.Array) -> tuple[State, jax.Array]:
        action = jnp.clip(action_of(start, key, state), box.low, box.high)
        return env.step(state, action), action

    return jax.lax.scan(step, state, jax.random.split(key, horizon))[1]
