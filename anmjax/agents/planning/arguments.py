"""What a plan is asked for: the checks at its door, and what of it chooses the program."""

from __future__ import annotations

import inspect
import math
import numbers
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.env import ANMEnv
from anmjax.envs.records import State
from anmjax.wrappers.wrapper import Wrapper


class Sizes(NamedTuple):
    """What chooses the program of a plan."""

    horizon: int
    num_iters: int
    offsets: tuple[int, ...]  # first steps of the windows
    window: int
    by_devices: bool  # whether actions are the devices' set-points


def sizes_of(env: Any, horizon: Any, num_iters: Any, window: Any, overlap: Any) -> Sizes:
    """The sizes, all windows of one length.

    Raises:
      ValueError: one is out of range.
    """
    _check_whole("horizon", horizon, 1)
    _check_whole("num_iters", num_iters, 1)
    window = horizon if window is None else window
    _check_whole("window", window, 1)
    window = min(int(window), int(horizon))
    overlap = window // 2 if overlap is None else overlap
    _check_whole("overlap", overlap, 0, window - 1)
    count = 1 + math.ceil((horizon - window) / (window - overlap))
    offsets = np.linspace(0, horizon - window, count).astype(int)
    return Sizes(int(horizon), int(num_iters), tuple(map(int, offsets)), window, has_device_actions(env))


def has_device_actions(env: Any) -> bool:
    """Whether actions are set-points of the devices, as ``ANMEnv``'s, no wrapper having its own box."""
    while isinstance(env, Wrapper):
        if type(env).action_space is not Wrapper.action_space:
            return False
        env = env.env
    return isinstance(env, ANMEnv) and type(env).action_space is ANMEnv.action_space


def known_gamma(env: Any, gamma: Any) -> Any:
    """The discount factor given, or the task's.

    Raises:
      ValueError: there is none, or it is not in [0, 1].
    """
    gamma = getattr(env, "gamma", None) if gamma is None else gamma
    if gamma is None:
        raise ValueError(f"{type(env).__name__} has no gamma, so that gamma must be given")
    if not _is_traced(gamma) and not (_is_number(gamma) and 0 <= gamma <= 1):
        raise ValueError(f"gamma is {gamma!r}, expected a number in [0, 1]")
    return gamma


def check_number(name: str, number: Any, *, or_zero: bool = False) -> None:
    """Raises ``ValueError`` where a number is known, and not finite, or not above 0 (or 0, if allowed)."""
    if _is_traced(number):
        return
    if not (_is_number(number) and (0 < number < math.inf or (or_zero and number == 0))):
        raise ValueError(
            f"{name} is {number!r}, expected a finite number, {'not negative' if or_zero else 'above 0'}"
        )


def check_state(state: State) -> None:
    """Raises ``ValueError`` where a state is not of one lane, or has ended."""
    shape = jnp.shape(state.reward)
    if shape != ():
        raise ValueError(
            f"state has a leading axis of {shape}, expected one lane; for many, jax.vmap the function"
        )
    if not _is_traced(state.terminated) and bool(state.terminated):
        raise ValueError("the state has already ended: there is nothing to plan")


def known_start(start: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """A start as a pytree: None, a policy, or actions.

    Raises:
      ValueError: it is none of these, has another shape, or a number in it is NaN.
    """
    if start is None:
        return None
    if is_policy(start):
        if hasattr(start, "act") and jax.tree_util.all_leaves([start]):
            raise ValueError(f"start is of {type(start).__name__}, which acts but is no pytree")
        return as_pytree(start)
    try:
        actions = jnp.asarray(start, dtype)
    except (TypeError, ValueError):
        raise ValueError(
            f"start is a {type(start).__name__}, expected None, a policy, actions, or a tuple of these"
        ) from None
    if actions.shape != shape:
        raise ValueError(f"start has shape {actions.shape}, expected {shape}: an action for every step")
    if not _is_traced(actions) and bool(jnp.isnan(actions).any()):
        step = int(np.argwhere(np.isnan(np.asarray(actions)))[0, 0])
        raise ValueError(f"start has a NaN in step {step}, expected numbers")
    return actions


def is_policy(start: Any) -> bool:
    """Whether a start acts, as a policy or as a planner."""
    return callable(start) or hasattr(start, "act")


def known_value(value: Any) -> Any:
    """The value of the last state as a pytree, or None.

    Raises:
      ValueError: it is no function.
    """
    if value is not None and not callable(value):
        raise ValueError(f"value is {value!r}, expected a function of the state, or None")
    return as_pytree(value)


def as_pytree(function: Any) -> Any:
    """A function as a pytree: the leaves of a method are its object's, a bare function has none."""
    if not jax.tree_util.all_leaves([function]):
        return function
    if inspect.ismethod(function):
        return jax.tree_util.Partial(function.__func__, function.__self__)
    return jax.tree_util.Partial(function)


def _check_whole(name: str, number: Any, low: int, high: float = math.inf) -> None:
    whole = isinstance(number, numbers.Integral) and not isinstance(number, bool)
    if not whole or not low <= int(number) <= high:
        most = "" if high == math.inf else f" and at most {high}"
        raise ValueError(f"{name} is {number!r}, expected a whole number, at least {low}{most}")


def _is_traced(x: Any) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(x))


def _is_number(x: Any) -> bool:
    return isinstance(x, numbers.Real) or (isinstance(x, (jax.Array, np.ndarray)) and x.shape == ())
