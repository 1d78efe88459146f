"""AutoReset: the next episode begins in the step that ended the last one."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.envs.records import State
from anmjax.wrappers.wrapper import Wrapper

_DRAW: Any = object()  # "draw a pool": None already stands for "no pool"


class AutoReset(Wrapper):
    """Replaces the state of an ended episode by a fresh start; goes outside the wrappers that end it.

    When a step sets ``terminated`` or ``truncated``, the state that is returned has the ``obs``, ``grid``,
    ``aux`` and ``t = 0`` of a start, while ``reward``, ``terminated``, ``truncated`` and ``metrics`` are
    those of the step that ended the episode. The observation and the reward from before the reset are in
    ``metrics["final_obs"]`` and ``metrics["final_reward"]``, on every step, so that a learner bootstraps
    from ``final_obs`` alone. The flags are cleared by the next step.

    Under ``jax.vmap`` both branches of a choice are paid for at every step, and a true reset (draws until a
    power flow converges) costs several steps. So the starts come from a pool of ``pool_size`` converged ones,
    drawn once at construction: a step pays for one random integer, one gather a leaf, one select. The trade:
    starts are drawn with replacement from the pool, the same for every lane: the variance of what depends on
    n starts is 1 + n / ``pool_size`` times that of n independent ones. The default, 131,072, adds 15 % for
    20,000 starts and doubles it for 131,072; its pool takes 31 MB for ANM6, 132 MB for 33 buses.
    A loop that is to pass for more draws the pool anew between two chunks of steps,
    ``env = env.renewed(key)``, without a new compilation: n is then the starts of a chunk. A smaller pool
    takes less memory. ``reset`` itself always draws afresh, ``start`` from the
    pool. ``pool_size=None`` does without a pool and resets in place: exact for any n, at the cost of a reset
    in every step.

    The pool is a leaf, drawn for the environment as it was at construction: after changing a parameter
    (``replace``), make a new ``AutoReset``, or use ``pool_size=None``.

    Args:
      env: the environment to wrap.
      pool_size: number of starts in the pool, at least 1; None: a fresh reset in place.
      key: PRNG key for drawing the pool; None: a fixed one, so that runs repeat.
      pool: State of the starts, as the reset of ``env`` gives them, with a leading axis of ``pool_size``;
        their keys play no part. Drawn if not given.

    Raises:
      ValueError: ``pool_size`` is less than 1.
    """

    pool: State | None  # of the wrapped environment, leading axis pool_size
    pool_size: int | None = struct.field(pytree_node=False)

    added_metrics: ClassVar[tuple[str, ...]] = ("final_obs", "final_reward")

    def __init__(
        self, env: Any, pool_size: int | None = 2**17, key: jax.Array | None = None, *, pool: Any = _DRAW
    ) -> None:
        if pool_size is not None and pool_size < 1:
            raise ValueError(f"AutoReset: pool_size is {pool_size}, but must be at least 1, or None.")
        if pool is _DRAW:
            key = jax.random.key(0) if key is None else key
            pool = None if pool_size is None else _draw_pool(env, key, pool_size=pool_size)
        object.__setattr__(self, "env", env)
        object.__setattr__(self, "pool", pool and replace(pool, key=None))
        object.__setattr__(self, "pool_size", pool_size)

    def step(self, state: State, action: jax.Array) -> State:
        """Advances by one time step, and to the next episode's start if that ended the episode."""
        running = jnp.zeros_like(state.terminated)
        state = replace(self._inner(state), terminated=running, truncated=running)
        after = self.env.step(state, action)
        done = after.terminated | after.truncated

        # One hash a step. The environment folds its key with t = 0, 1, ..; the numbers beyond are free.
        fresh_key = jax.random.fold_in(after.key, after.t.astype(jnp.uint32) + np.uint32(2**31))
        start = self._start(fresh_key, done)
        obs, grid, aux = jax.tree.map(
            lambda new, old: jnp.where(done, new, old),
            (start.obs, start.grid, start.aux),
            (after.obs, after.grid, after.aux),
        )
        return replace(
            after,
            obs=obs,
            grid=grid,
            aux=aux,
            t=jnp.where(done, jnp.zeros_like(after.t), after.t),
            key=jnp.where(done, fresh_key, after.key),
            metrics=after.metrics | {"final_obs": after.obs, "final_reward": after.reward},
        )

    def renewed(self, key: jax.Array, share: float = 1.0) -> AutoReset:
        """The wrapper with a share of its pool drawn anew; episodes that run go on.

        Args:
          key: PRNG key.
          share: of the starts, above 0, at most 1; which ones is drawn too. A whole pool costs about as much
            as ``pool_size`` steps.

        Raises:
          ValueError: ``share`` is out of range.
        """
        if not 0 < share <= 1:
            raise ValueError(f"AutoReset: share is {share}, but must be above 0 and at most 1.")
        if self.pool is None or self.pool_size is None:
            return self
        key, key_which = jax.random.split(key)
        count = math.ceil(share * self.pool_size)
        which = jax.random.permutation(key_which, self.pool_size)[:count]
        fresh = replace(_draw_pool(self.env, key, pool_size=count), key=None)
        return replace(self, pool=jax.tree.map(lambda old, new: old.at[which].set(new), self.pool, fresh))

    def start(self, key: jax.Array) -> State:
        """Begins an episode as ``step`` does where one has ended: at a start of the pool, if there is one."""
        return self._begin(self._start(key, np.bool_(True)))

    def _start(self, key: jax.Array, wanted: jax.Array | np.bool_) -> State:
        if self.pool is None or self.pool_size is None:
            # Not the key itself: splitting a key and folding it with small numbers give the same keys.
            return replace(self.env.reset(jax.random.fold_in(key, np.uint32(2**31))), key=key)
        # A fresh key is 32 random bits or more: modulo the size, no start is favoured by more than
        # pool_size / 2**32 of its share, without a hash.
        index = jax.random.key_data(key)[..., -1] % np.uint32(self.pool_size)
        # Lanes that go on all read one row, which stays in the cache however large the pool is.
        index = jnp.where(wanted, index, np.uint32(0))
        return replace(jax.tree.map(lambda leaf: leaf[index], self.pool), key=key)

    def _begin(self, state: State) -> State:
        return replace(state, metrics=state.metrics | {"final_obs": state.obs, "final_reward": state.reward})


@functools.partial(jax.jit, static_argnames="pool_size")
def _draw_pool(env: Any, key: jax.Array, *, pool_size: int) -> State:
    """Draws ``pool_size`` starts in one compiled call."""
    return jax.vmap(env.reset)(jax.random.split(key, pool_size))
