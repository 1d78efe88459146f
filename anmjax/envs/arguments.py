"""Checks of a task's constructor arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from anmjax.envs.records import InitialState

if TYPE_CHECKING:
    from anmjax.envs.env import ANMEnv


class ArgumentError(ValueError):
    """A constructor argument of a task is out of range."""


def parse_costs_clipping(costs_clipping: Any) -> tuple[float, float]:
    """Clipping values (c1, c2), infinite where None.

    Raises:
      ArgumentError: not a pair.
    """
    try:
        c1, c2 = (None, None) if costs_clipping is None else costs_clipping
    except (TypeError, ValueError):
        raise ArgumentError(
            f"costs_clipping is {costs_clipping!r}, but must be two numbers >= 0, or None"
        ) from None
    return math.inf if c1 is None else float(c1), math.inf if c2 is None else float(c2)


def check_arguments(env: ANMEnv) -> None:
    """Raises ``ArgumentError`` naming the argument, its value and what is allowed."""
    c1, c2 = env.costs_clipping
    n_slack = env.network.n_slack
    rules = (
        ("network", f"one with {n_slack} slack buses", n_slack == 1, "one with exactly one slack bus"),
        ("K", env.K, env.K >= 0, ">= 0"),
        ("delta_t", env.delta_t, 0 < env.delta_t < math.inf, "> 0 and finite, in hours"),
        ("gamma", env.gamma, 0 <= env.gamma <= 1, "in [0, 1]"),
        ("lamb", env.lamb, 0 <= env.lamb < math.inf, ">= 0 and finite"),
        ("costs_clipping", env.costs_clipping, c1 >= 0 and c2 >= 0, "two numbers >= 0, or None"),
        ("num_iters", env.num_iters, env.num_iters >= 1, ">= 1"),
        ("tol", env.tol, 0 < env.tol < math.inf, "> 0 and finite, in p.u."),
    )
    for name, value, ok, allowed in rules:
        if not ok:
            raise ArgumentError(f"{name} is {value}, but must be {allowed}")
    if env.aux_bounds is not None and env.aux_bounds.shape != (env.K, 2):
        raise ArgumentError(
            f"aux_bounds has shape {env.aux_bounds.shape}, but must be ({env.K}, 2): low and high for each "
            f"of the K = {env.K} auxiliary variables"
        )


def check_start(start: InitialState, sizes: Sequence[int]) -> None:
    """Raises ``ValueError`` naming a part of a start that has not the size asked for."""
    for (name, part), size in zip(vars(start).items(), sizes, strict=True):
        if jnp.shape(part) != (size,):
            raise ValueError(f"{name} of the start has shape {jnp.shape(part)}, expected ({size},)")
