"""Wrapper: an environment around an environment, handing on everything that it does not change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import jax

from anmjax.envs.pytree import Record
from anmjax.envs.records import InitialState, State
from anmjax.envs.spaces import Box


class Wrapper(Record):
    """Base of all wrappers: forwards the environment's methods, attributes and leaves.

    A wrapper is an environment and a pytree, so wrappers nest, and ``jax.vmap`` runs over a batch of
    differently parametrised wrapped grids as it does over bare ones. What a wrapper must remember from one
    step to the next it keeps in ``state.metrics``, under the names in ``added_metrics``: ``State`` stays
    the one record, and its structure is the same after a reset and after a step, as ``jax.lax.scan`` asks.
    The wrapped environment never sees those entries.
    """

    env: Any  # the wrapped environment

    added_metrics: ClassVar[tuple[str, ...]] = ()

    def reset(self, key: jax.Array) -> State:
        """Draws a start state, see ``ANMEnv.reset``."""
        return self._begin(self.env.reset(key))

    def reset_to(self, key: jax.Array, initial: InitialState) -> State:
        """Begins at a given operating point, see ``ANMEnv.reset_to``."""
        return self._begin(self.env.reset_to(key, initial))

    def step(self, state: State, action: jax.Array) -> State:
        """Advances by one time step, see ``ANMEnv.step``."""
        return self.env.step(self._inner(state), action)

    @property
    def action_space(self) -> Box:
        """Bounds of the action vector."""
        return self.env.action_space

    @property
    def observation_space(self) -> Box:
        """Bounds of the observation vector."""
        return self.env.observation_space

    def _begin(self, state: State) -> State:
        """Completes the state that a reset of the wrapped environment gave."""
        return state

    def _inner(self, state: State) -> State:
        """The state without this wrapper's metrics, as the wrapped environment made it."""
        missing = [name for name in self.added_metrics if name not in state.metrics]
        if missing:
            raise ValueError(
                f"{type(self).__name__}.step needs a state from its own reset or step: "
                f"its metrics lack {', '.join(missing)}."
            )
        kept = {name: value for name, value in state.metrics.items() if name not in self.added_metrics}
        return replace(state, metrics=kept)

    def __getattr__(self, name: str) -> Any:
        # Reached only for what the wrapper lacks. Copying and unpickling ask for dunder names, and for `env`
        # itself, on an object whose fields are not set yet: answering those from `env` would recurse.
        if name == "env" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.env, name)
