"""Programs: an environment's methods, compiled once for all environments that are alike."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax


def program(env: Any, run: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled function of the arguments of ``run`` after its first, which is the environment.

    A learner has many environments of a task, and each would compile for itself if it stood in its programs
    as constants: here its numbers are arguments, and the programs those of its structure.

    Args:
      env: a pytree.
      run: pure function of a module or a class, the same object for all that is to be shared.
    """
    leaves, structure = jax.tree.flatten(env)
    # Put on the device here, and not at every call.
    return functools.partial(_compiled(structure, run), jax.device_put(leaves))


@functools.cache
def _compiled(structure: Any, run: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(lambda leaves, *arguments: run(jax.tree.unflatten(structure, leaves), *arguments))


def reset(env: Any, key: Any) -> Any:
    """``env.reset``."""
    return env.reset(key)


def reset_to(env: Any, key: Any, start: Any) -> Any:
    """``env.reset_to``."""
    return env.reset_to(key, start)


def step(env: Any, state: Any, action: Any) -> Any:
    """``env.step``."""
    return env.step(state, action)


def step_lanes(env: Any, states: Any, actions: Any) -> Any:
    """``env.step`` of many lanes."""
    return jax.vmap(env.step)(states, actions)
