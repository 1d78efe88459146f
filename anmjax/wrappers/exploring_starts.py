"""ExploringStarts: training episodes that begin where random actions led to."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from anmjax.envs.protocol import Environment
from anmjax.envs.records import State
from anmjax.wrappers.wrapper import Wrapper

NUM_STARTS = 1024  # different starts of training episodes, until they are renewed


@functools.partial(jax.jit, static_argnames=("num_starts", "max_steps"))
def exploring_starts(
    env: Environment, key: jax.Array, *, num_starts: int, share: float, max_steps: int
) -> State:
    """Draws starts for training: resets, of which a share first wanders off at random.

    What a reset never gives, such as a charged battery, a policy that never made it cannot learn to use, and
    so never learns to make: a local optimum. A start that random actions have led away from a reset breaks
    that circle. No step that would collapse the network is taken. The episode counts its steps from the
    start, so what is observed must follow from ``grid`` and ``aux``, not from ``t``; for a task that
    observes ``t`` set the share to 0.

    Args:
      env: the environment; a wrapper that ends episodes counts from the start.
      key: PRNG key.
      num_starts: number of starts.
      share: share of them that wander, 0 to 1.
      max_steps: a wandering start takes 1 to ``max_steps`` random steps.

    Returns:
      States as after a reset, with a leading axis over the starts: a pool for ``AutoReset``.

    Reference: Sutton and Barto, "Reinforcement Learning: An Introduction", 2nd edition, section 5.3.
    """
    reset_key, share_key, steps_key, action_key = jax.random.split(key, 4)
    states = jax.vmap(env.reset)(jax.random.split(reset_key, num_starts))
    wanders = jax.random.uniform(share_key, (num_starts,)) < share
    steps = jax.random.randint(steps_key, (num_starts,), 1, max_steps + 1)

    def wander(step: jax.Array, states: State) -> State:
        keys = jax.random.split(jax.random.fold_in(action_key, step), num_starts)
        after = jax.vmap(env.step)(states, jax.vmap(env.action_space.sample)(keys))
        goes = wanders & (step < steps) & ~after.terminated
        return jax.vmap(lambda go, new, old: jax.tree.map(lambda a, b: jnp.where(go, a, b), new, old))(
            goes, after, states
        )

    there = jax.lax.fori_loop(0, max_steps, wander, states)
    return replace(states, obs=there.obs, grid=there.grid, aux=there.aux)


def pool_of_starts(env: Environment, number: int, *, share: float, max_steps: int) -> State:
    """The pool of a number: ``NUM_STARTS`` starts that follow from it alone, see ``exploring_starts``."""
    key = jax.random.key(0)
    key = jax.random.fold_in(key, number) if number else key
    return exploring_starts(env, key, num_starts=NUM_STARTS, share=share, max_steps=max_steps)


def begin_at(pool: State, key: jax.Array) -> State:
    """A start of the pool, drawn with replacement; all of the episode follows from the key."""
    size = len(pool.reward)
    index = jax.random.randint(key, (), 0, size)
    return replace(jax.tree.map(lambda leaf: leaf[index], pool), key=key)


class ExploringStarts(Wrapper):
    """Begins a share of the episodes where random actions led to, for learners that bring none of their own.

    ``reset`` draws from a pool of ``exploring_starts``, made once at construction; ``reset_to`` is as before.
    Goes inside the wrappers that end episodes, and so inside those of the adapters.

    Args:
      env: the bare environment.
      share: share of the starts that wander, 0 to 1.
      max_steps: a wandering start takes 1 to ``max_steps`` random steps.
      num_starts: starts in the pool.
      key: PRNG key of the pool; None: a fixed one, so that runs repeat.
      pool: State of the starts in place of all these, with a leading axis; their keys play no part.

    Raises:
      ValueError: ``share`` is not from 0 to 1, or a number is less than 1.
    """

    pool: State  # of the wrapped environment, leading axis num_starts

    def __init__(
        self,
        env: Any,
        share: float = 0.5,
        max_steps: int = 96,
        num_starts: int = NUM_STARTS,
        key: jax.Array | None = None,
        *,
        pool: State | None = None,
    ) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share is {share}, but must be from 0 to 1")
        if max_steps < 1 or num_starts < 1:
            raise ValueError(
                f"max_steps is {max_steps} and num_starts {num_starts}, but both must be at least 1"
            )
        if pool is None:
            key = jax.random.key(0) if key is None else key
            pool = exploring_starts(env, key, num_starts=num_starts, share=share, max_steps=max_steps)
        object.__setattr__(self, "env", env)
        object.__setattr__(self, "pool", replace(pool, key=None))

    def reset(self, key: jax.Array) -> State:
        """A start of the pool, drawn with replacement."""
        return begin_at(self.pool, key)
