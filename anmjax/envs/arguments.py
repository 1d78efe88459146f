"""Checks of a task's constructor arguments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.records import InitialState, State
from anmjax.envs.reward import REWARDS
from anmjax.grid.network import Network
from anmjax.projection.controls import check_real

FLAGS = ("voltage_control", "enforce_q_lims")


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


def check_arguments(env: Any) -> None:
    """Checks the arguments of ``ANMEnv``, which it holds under their names.

    Raises:
      ArgumentError: naming the argument, its value and what is allowed.
    """
    n_slack, K, (c1, c2) = env.network.n_slack, env.K, env.costs_clipping
    both, n_charger = "True or False", len(env.network.chargers)
    rules = (
        ("network", f"one with {n_slack} slack buses", n_slack == 1, "one with exactly one slack bus"),
        ("K", K, K >= 0, ">= 0"),
        ("K", K, n_charger <= K, f">= {n_charger}: first the hours that cars stay at the chargers"),
        ("delta_t", env.delta_t, 0 < env.delta_t < math.inf, "> 0 and finite, in hours"),
        ("gamma", env.gamma, 0 <= env.gamma <= 1, "in [0, 1]"),
        ("lamb", env.lamb, 0 <= env.lamb < math.inf, ">= 0 and finite"),
        ("costs_clipping", env.costs_clipping, c1 >= 0 and c2 >= 0, "two numbers >= 0, or None"),
        ("reward", repr(env.reward), env.reward in REWARDS, f"one of {', '.join(map(repr, REWARDS))}"),
        ("num_iters", env.num_iters, env.num_iters >= 1, ">= 1"),
        ("tol", env.tol, 0 < env.tol < math.inf, "> 0 and finite, in p.u."),
        *((name, repr(x := getattr(env, name)), isinstance(x, bool), both) for name in FLAGS),
    )
    for name, value, ok, allowed in rules:
        if not ok:
            raise ArgumentError(f"{name} is {value}, but must be {allowed}")
    if env.aux_bounds is not None and env.aux_bounds.shape != (K, 2):
        raise ArgumentError(
            f"aux_bounds has shape {env.aux_bounds.shape}, but must be ({K}, 2): low and high for each "
            f"of the K = {K} auxiliary variables"
        )


def sizes_of_state(net: Network, K: int) -> dict[str, int]:
    """Sizes of the parts of a state vector, in its order, by their names in ``InitialState``."""
    owed = {"owed": len(net.flexible)} if net.flexible else {}
    electrical = {"p_dev": net.n_device, "q_dev": net.n_device, "soc": len(net.storage)}
    return {**electrical, "p_max": len(net.generators), **owed, "aux": K}


def split_state_vector(vector: jax.Array, sizes: Mapping[str, int]) -> InitialState:
    """The parts of a state vector, of the given sizes."""
    total = sum(sizes.values())
    if vector.shape != (total,):
        owed = f"{sizes['owed']} energies owed, " if "owed" in sizes else ""
        raise ValueError(
            f"the start state has shape {vector.shape}, expected ({total},): P and Q of {sizes['p_dev']} "
            f"devices, {sizes['soc']} states of charge, {sizes['p_max']} potentials, {owed}K = {sizes['aux']}"
        )
    parts = jnp.split(vector, np.cumsum(list(sizes.values()))[:-1])
    return InitialState(**dict(zip(sizes, parts, strict=True)))


def check_start(start: InitialState, sizes: Mapping[str, int]) -> None:
    """Checks a start: the sizes of its parts, and their numbers where they are known.

    Raises:
      TypeError: a part is not made of real numbers.
      ValueError: a part has not the size asked for, or a number that is not finite.
    """
    if start.owed is not None and "owed" not in sizes:
        raise ValueError("owed of the start is given, but the network has no load that may wait")
    for name, size in sizes.items():
        part: Any = getattr(start, name)
        if name == "owed" and part is None:
            continue
        if jnp.shape(part) != (size,):
            raise ValueError(f"{name} of the start has shape {jnp.shape(part)}, expected ({size},)")
        check_real(f"{name} of the start", part)
        if not isinstance(part, jax.core.Tracer):
            values = np.asarray(part, float)
            # An infinite potential means the generator's PMAX, as any above it does.
            for i in np.flatnonzero(np.isnan(values) if name == "p_max" else ~np.isfinite(values)):
                raise ValueError(f"{name}[{i}] of the start is {values[i]}, but must be finite")


def check_next_vars(variables: jax.Array, name: str, n_load: int, n_generator: int, K: int) -> None:
    """Checks what ``next_vars`` of the task of a name returned.

    Raises:
      ValueError: it is of another size than the task says.
    """
    expected = (n_load + n_generator + K,)
    if variables.shape != expected:
        raise ValueError(
            f"next_vars of {name} returned shape {variables.shape}, expected {expected}: "
            f"{n_load} loads, {n_generator} generators, K = {K}"
        )


def check_key(key: Any) -> None:
    """Checks the key of a lane.

    Raises:
      TypeError: it is not a key, or one of the old style.
      ValueError: it is an array of keys.
    """
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", ())
    expected = "expected a key, as jax.random.key(0) makes one"
    if dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        if dtype == np.uint32 and shape[-1:] == (2,):
            raise TypeError(
                f"key is of the old style of jax.random.PRNGKey, {expected}, or jax.random.wrap_key_data(key)"
            )
        raise TypeError(f"key is {key!r}, {expected}")
    if shape != ():
        raise ValueError(f"key has shape {shape}, expected one key; for many lanes, jax.vmap the function")


def check_state(state: Any, sizes: Mapping[str, int]) -> None:
    """Checks what a step is to go on from.

    Raises:
      TypeError: it is not a ``State``, or its key is none.
      ValueError: it is of other sizes: a batch of states, or one of another environment.
    """
    if not isinstance(state, State):
        raise TypeError(f"state is a {type(state).__name__}, expected a State, as reset and step return it")
    grid = state.grid
    parts: dict[str, tuple[str, Any]] = {
        "p_dev": ("grid.p", grid.p),
        "q_dev": ("grid.q", grid.q),
        "soc": ("grid.soc", grid.soc),
        "p_max": ("grid.p_potential", grid.p_potential),
        "owed": ("grid.owed", grid.owed),
        "aux": ("aux", state.aux),
    }
    for part_of, size in sizes.items():
        name, part = parts[part_of]
        shape = jnp.shape(part)
        if shape != (size,):
            hint = (
                "for many lanes, jax.vmap the function" if shape[-1:] == (size,) else "another environment's?"
            )
            raise ValueError(f"{name} of the state has shape {shape}, expected ({size},); {hint}")
    check_key(state.key)
