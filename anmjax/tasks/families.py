"""randomise: an environment with a grid drawn around its own, for policies that know a family of grids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.env import ANMEnv
from anmjax.envs.pytree import PyTree
from anmjax.envs.transition import as_jax
from anmjax.grid import tables
from anmjax.grid.network import Network
from anmjax.grid.settings import branches_out
from anmjax.grid.topology import on_loops
from anmjax.lanes.gather import take

_Env = TypeVar("_Env", bound=ANMEnv)
# Limits of a device that grow with its size.
_SIZES = ("p_max", "p_min", "q_max", "q_min", "p_plus", "p_minus", "q_plus", "q_minus", "soc_max", "soc_min")


def randomise(
    env: _Env,
    key: jax.Array,
    *,
    impedance: float = 0.0,
    rating: float = 0.0,
    load: float = 0.0,
    der: float = 0.0,
    outage: float = 0.0,
) -> _Env:
    """An environment whose grid is drawn around that of another.

    Every element has a factor of its own, uniform in [1 - spread, 1 + spread]. A pure function: environments
    are pytrees, and ``envs = jax.vmap(lambda key: randomise(env, key, load=0.2))(keys)`` is a batch of grids,
    for ``states = jax.vmap(lambda env, key: env.reset(key))(envs, keys)`` and
    ``jax.vmap(lambda env, state, action: env.step(state, action))(envs, states, actions)``.

    Args:
      env: an environment without wrappers, of one grid; it stays as it is.
      key: PRNG key; the same key is the same grid.
      impedance: spread of the branches' series impedances, R and X alike.
      rating: spread of the branches' ratings.
      load: spread of the loads: of the demand that a task's table has, and of its limits. Fixed injections,
        which are of no device, stay.
      der: spread of the sizes of generators and storage units, and of devices that follow their profile and
        feed in: all their limits, charge included, and what they could give.
      outage: probability that one branch is open, any of those in service whose loss leaves every bus
        connected to the slack, each with the same probability.

    Returns:
      An environment of the same type and shapes.

    Raises:
      TypeError: ``env`` is no ``ANMEnv``, such as a wrapper: randomise first, then wrap.
      ValueError: a spread is not in [0, 1), or ``outage`` not in [0, 1]; ``load`` or ``der`` are asked of a
        task without a table; ``outage`` is asked of a grid in which every outage would island a bus, or of
        one that is traced.
    """
    _check(env, impedance=impedance, rating=rating, load=load, der=der, outage=outage)
    net: Any = env.network
    dtype = net.dtype
    key_impedance, key_rating, key_size, key_outage = jax.random.split(key, 4)

    def factors(key: jax.Array, spread: Any, size: int) -> jax.Array:
        return 1 + spread * jax.random.uniform(key, (size,), dtype, -1, 1)

    changes: dict[str, Any] = {}
    if impedance:
        changes |= _with_impedance(net, factors(key_impedance, impedance, net.n_branch))
    if rating:
        changes["rating"] = net.rating * factors(key_rating, rating, net.n_branch)
    if outage:
        changes |= branches_out(net, _one_open(net, key_outage, outage))
    of_env: dict[str, Any] = {}
    if load or der:
        size = factors(key_size, _spreads(net, load, der), net.n_device)
        changes |= {name: getattr(net, name) * size for name in _SIZES}
        followed = take(size, np.array([*net.loads, *net.generators], int))
        scale: Any = getattr(env, "scale", None)
        of_env["scale"] = followed if scale is None else scale * followed
    # Not a task's own replace, which remembers what it was given.
    return PyTree.replace(env, network=as_jax(net.replace(**changes)), **of_env)


def _check(env: Any, **spreads: Any) -> None:
    if not isinstance(env, ANMEnv):
        raise TypeError(f"env is a {type(env).__name__}, expected an ANMEnv: randomise it, then wrap it")
    for name, value in spreads.items():
        fits = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not (fits and value >= 0 and (value <= 1 if name == "outage" else value < 1)):
            allowed = "a probability in [0, 1]" if name == "outage" else "a spread in [0, 1)"
            raise ValueError(f"{name} is {value!r}, but must be {allowed}")
    if (spreads["load"] or spreads["der"]) and not hasattr(env, "scale"):
        raise ValueError(
            f"load and der scale what a task's table says, and {type(env).__name__} follows none: "
            "a DailyTask or GridTask does"
        )
    if jnp.ndim(env.network.r) != 1:
        raise ValueError(
            f"env has a batch of grids, {jnp.shape(env.network.r)}: randomise one under jax.vmap"
        )


def _spreads(net: Network, load: float, der: float) -> jax.Array:
    """(n_device,) the spread of each device's size; 0 of the slack."""
    is_load = np.isin(net.device_kind, tables.DEMANDS)
    is_slack = np.array(net.device_kind) == tables.SLACK
    feeds_in = ~is_load | (jnp.asarray(net.p_max) > 0)
    return jnp.where(is_slack, 0, jnp.where(feeds_in, der, load)).astype(net.dtype)


def _with_impedance(net: Network, factor: jax.Array) -> dict[str, Any]:
    changes: dict[str, Any] = {"r": net.r * factor, "x": net.x * factor}
    if net.asymmetry is not None:
        more = net.asymmetry
        changes["asymmetry"] = replace(more, r=more.r * factor, x=more.x * factor)
    return changes


def _one_open(net: Network, key: jax.Array, probability: float) -> jax.Array:
    """(n_branch,) 0 at the branch that is open, if any is, and 1 elsewhere."""
    if isinstance(net.in_service, jax.core.Tracer):
        raise ValueError(
            "outage needs a grid whose branches in service are known: let jax trace the key alone"
        )
    closed = tuple(bool(x) for x in np.asarray(net.in_service) != 0)
    candidates = np.array(on_loops(net.n_bus, net.slacks, net.from_bus, net.to_bus, closed), int)
    if not len(candidates):
        raise ValueError(
            f"outage is {probability}, but every outage of this grid would island a bus: it has no loop"
        )
    key_whether, key_which = jax.random.split(key)
    which = jax.random.choice(key_which, candidates)
    opened = jax.random.bernoulli(key_whether, probability)
    return jnp.where(opened & (np.arange(net.n_branch) == which), 0, 1).astype(net.dtype)
