"""ANMEnv: tasks written for gym-anm, in NumPy, on this package's simulator: only the import changes.

A task draws its start and its exogenous variables in Python, one lane at a time. Subclasses of
``anmjax.ANMEnv``, with a key and in ``jax.numpy``, run thousands at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from anmjax.adapters.errors import EnvInitializationError, EnvNextVarsError
from anmjax.adapters.gymnasium_env import Env
from anmjax.adapters.programs import program, reset_to
from anmjax.envs import env as core
from anmjax.envs.records import State

__all__ = ["ANMEnv", "EnvInitializationError", "EnvNextVarsError"]


class _Told(core.ANMEnv):
    """A task that is told its exogenous variables."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        n = len(self.network.loads) + len(self.network.generators) + self.K
        self.coming = jnp.zeros(n, self.network.dtype)

    def next_vars(self, key: jax.Array, state: jax.Array) -> jax.Array:
        return self.coming

    def told(self, coming: Any, state: State, action: Any) -> State:
        return self.replace(coming=jnp.asarray(coming, self.network.dtype)).step(state, action)


class ANMEnv(Env):
    """The base class of gym-anm: subclass it and define ``init_state(self)`` and ``next_vars(self, s_t)``.

    ``self.np_random`` is for what is random. ``observation_bounds`` may be overridden, and
    ``observation(self, s_t)`` defined. The space of an observation that is a function is known after the
    first reset, unless ``observation_bounds`` gives it.
    """

    def __init__(
        self,
        network: Any,
        observation: Any,
        K: int,
        delta_t: float,
        gamma: float,
        lamb: float,
        aux_bounds: Any = None,
        costs_clipping: Any = None,
        seed: int | None = None,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        """Builds a task, see ``anmjax.ANMEnv``.

        Args:
          network: gym-anm network dict, or a network of this package.
          observation: "state", a list of (quantity, ids or "all"[, unit]), or a function of the state vector.
          K: number of auxiliary variables.
          delta_t: h, length of a step.
          gamma: discount factor.
          lamb: weight of violated limits in the reward.
          aux_bounds: (K, 2) bounds of the auxiliary variables.
          costs_clipping: largest energy loss and largest penalty (p.u.h) of a step in the reward.
          seed: of ``np_random``.
          render_mode: see ``Env``.
          **options: further arguments of ``anmjax.ANMEnv``, e.g. ``dtype``.

        Raises:
          ValueError: naming the argument, its value and what is allowed.
        """
        given = observation if callable(observation) else None
        self._observe: Callable[[np.ndarray], Any] | None = given
        if self._observe is None and hasattr(type(self), "observation"):
            self._observe = self.observation  # of a subclass
        seen = "state" if callable(observation) else observation
        task = _Told(network, seen, K, delta_t, gamma, lamb, aux_bounds, costs_clipping, **options)
        super().__init__(task, render_mode=render_mode)
        if seed is not None:
            super(Env, self).reset(seed=seed)
        if self._observe is not None:
            self._space_is_known = self._bounded  # else it is found out at the first reset
            self._bounded = False  # what is observed is not cut
        self._start, self._told = program(task, reset_to), program(task, _Told.told)

    def init_state(self) -> np.ndarray:
        """Draws a start, the state vector."""
        raise NotImplementedError(f"{type(self).__name__} must define init_state(self)")

    def next_vars(self, s_t: np.ndarray) -> np.ndarray:
        """Draws P of the loads (MW), potential P of the non-slack generators (MW), auxiliary variables."""
        raise NotImplementedError(f"{type(self).__name__} must define next_vars(self, s_t)")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode, see ``Env.reset``.

        A start is drawn again until its power flow has a solution, 100 times at most.
        """
        super(Env, self).reset(seed=seed)
        given = (options or {}).get("state")
        for _ in range(100 if given is None else 1):
            start = np.asarray(self.init_state() if given is None else given)
            if start.shape != (self.state_N,):
                raise EnvInitializationError(
                    f"the start has shape {start.shape}, but a state vector has shape ({self.state_N},)"
                )
            state = self._start(jax.random.key(0), start)
            if not bool(state.terminated):
                return self._observed(state)[0], self._info
        raise EnvInitializationError(f"{type(self).__name__}: no start has a power flow with a solution")

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Takes an action, see ``Env.step``.

        Raises:
          EnvNextVarsError: ``next_vars`` returned the wrong number of variables.
        """
        coming = np.asarray(self.next_vars(self.state))
        expected = cast(_Told, self.env).coming.shape
        if coming.shape != expected:
            raise EnvNextVarsError(f"next_vars returned {coming.shape} variables, expected are {expected}")
        action = np.asarray(action)
        after = self._told(coming, self._running, action)
        return *self._observed(after, action), self._info

    def _observed(
        self, state: State, action: np.ndarray | None = None
    ) -> tuple[np.ndarray, float, bool, bool]:
        obs, reward, terminated, truncated = self._shown(state, action)
        if self._observe is not None:
            obs = np.asarray(self._observe(self.state))
            obs = np.zeros_like(obs) if terminated else obs
            if not self._space_is_known:
                self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, obs.shape, obs.dtype.type)
                self._space_is_known = True
        return obs, reward, terminated, truncated
