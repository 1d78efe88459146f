"""Checks of a task's constructor arguments."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anmjax.envs.env import ANMEnv


class ArgumentError(ValueError):
    """A constructor argument of a task is out of range."""


def check_arguments(env: ANMEnv) -> None:
    """Raises ``ArgumentError`` naming the argument, its value and what is allowed."""
    c1, c2 = env.costs_clipping
    rules = (
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
