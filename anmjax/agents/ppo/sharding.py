"""A training on a mesh of devices, of one process or of several: its programs, and its arrays in and out.

Learners have a leading axis over the seeds that train side by side. The lanes are shared out evenly, all else
is on every device; ``Lanes`` is what one device sees of this.
Several processes that JAX has joined (``jax.distributed.initialize``) run the same code side by side: every
function here has to be called by all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from anmjax.agents.ppo.checkpoint import is_key
from anmjax.agents.ppo.config import PPOConfig
from anmjax.agents.ppo.update import PPO, Learner

_Tree = TypeVar("_Tree")

AXIS = "lanes"
SHARED, OWN = PartitionSpec(), PartitionSpec(None, AXIS)
SPECS: dict[str, Any] = dict.fromkeys((field.name for field in fields(Learner)), SHARED)
SPECS |= {"states": OWN, "totals": OWN}
LEARNERS = Learner(**SPECS)
# Lanes of a device at least, unless asked for: below, a step costs the same however few they are.
MIN_LANES = 64


def mesh_for(config: PPOConfig, num_devices: int | None = None) -> Mesh:
    """The devices to train on.

    Args:
      config: the options.
      num_devices: how many; None: of one process as many as can share the lanes evenly and have 64 each, of
        several all.

    Raises:
      ValueError: there are not so many, or the lanes cannot be shared out evenly over them.
    """
    devices = jax.devices()
    unit = config.num_minibatches
    if num_devices is None and jax.process_count() == 1:
        most = max(1, config.num_envs // MIN_LANES)
        fitting = [k for k in range(1, len(devices) + 1) if config.num_envs % (unit * k) == 0 and k <= most]
        num_devices = max(fitting, default=1)
    elif num_devices is None:
        num_devices = len(devices)
    if jax.process_count() > 1 and num_devices != len(devices):
        raise ValueError(
            f"{num_devices} devices are asked for, but several processes train on all: {len(devices)}"
        )
    if num_devices > len(devices):
        raise ValueError(f"{num_devices} devices are asked for, but JAX has {len(devices)}")
    if config.num_envs % (unit * num_devices):
        raise ValueError(
            f"num_envs is {config.num_envs}, but must be a multiple of {unit * num_devices}: "
            f"num_minibatches, {unit}, times the devices, {num_devices}"
        )
    return Mesh(np.array(devices[:num_devices]), (AXIS,))


class Pools:
    """The agent on the mesh, with the pool of starts that is in force."""

    def __init__(self, ppo: PPO, mesh: Mesh) -> None:
        """``ppo`` as ``PPO.create`` made it."""
        self._ppo, self._mesh, self._begun = ppo, mesh, -1

    def at(self, num_updates: int) -> tuple[PPO, int]:
        """The agent after so many updates, and how many more there are with the same pool."""
        period = self._ppo.config.renew_starts or self._ppo.config.num_updates
        if num_updates // period != self._begun:
            self._begun = num_updates // period
            self._placed = everywhere(self._ppo.renewed(num_updates), self._mesh)
        return self._placed, period - num_updates % period


def begin(ppo: PPO, keys: jax.Array, mesh: Mesh) -> Learner:
    """The learners before their first update, on the mesh; ``keys`` (n_seed,)."""
    return _init(everywhere(ppo, mesh), everywhere(keys, mesh), mesh)


def place(learners: Sequence[Learner], mesh: Mesh) -> Learner:
    """Learners, whole in this process, on the mesh."""
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *learners)
    return Learner(**{name: _put(getattr(stacked, name), mesh, spec) for name, spec in SPECS.items()})


def everywhere(tree: _Tree, mesh: Mesh) -> _Tree:
    """Arrays that every process has alike, on all devices of the mesh."""
    return _put(tree, mesh, SHARED)


def fetched(learners: Learner) -> list[Learner]:
    """Learners of the mesh, each whole and uncommitted, in each process."""

    def fetch(x: jax.Array) -> jax.Array:
        if is_key(x):
            return jax.random.wrap_key_data(fetch(jax.random.key_data(x)))
        if not (x.is_fully_addressable or x.is_fully_replicated):
            x = multihost_utils.process_allgather(x, tiled=True)
        return jnp.asarray(np.asarray(x))

    whole = jax.tree.map(fetch, learners)
    return [jax.tree.map(lambda x: x[i], whole) for i in range(len(whole.num_updates))]  # noqa: B023


@functools.partial(jax.jit, static_argnames="mesh")
def run_chunk(
    ppo: PPO, learners: Learner, count: jax.Array, mesh: Mesh
) -> tuple[Learner, dict[str, jax.Array]]:
    """``count`` updates of each, and the sums of their metrics; another count needs no new compilation.

    The learners are not donated: after an interrupt, those before are still whole.
    """

    def on_one_device(ppo: PPO, learners: Learner, count: jax.Array) -> tuple[Learner, dict[str, jax.Array]]:
        update = _of_seeds(replace(ppo, axis_name=AXIS).update, len(learners.num_updates))
        metrics = jax.eval_shape(update, learners)[1]
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)

        def body(_: jax.Array, carry: Any) -> Any:
            learners, sums = carry
            learners, metrics = update(learners)
            return learners, jax.tree.map(jnp.add, sums, metrics)

        return jax.lax.fori_loop(0, count, body, (learners, zeros))

    return jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(SHARED, LEARNERS, SHARED),
        out_specs=(LEARNERS, SHARED),
    )(ppo, learners, count)


@functools.partial(jax.jit, static_argnames="mesh")
def _init(ppo: PPO, keys: jax.Array, mesh: Mesh) -> Learner:
    return jax.shard_map(
        lambda ppo, keys: _of_seeds(replace(ppo, axis_name=AXIS).init, len(keys))(keys),
        mesh=mesh,
        in_specs=SHARED,
        out_specs=LEARNERS,
    )(ppo, keys)


def _of_seeds(fn: Callable[[Any], Any], num_seeds: int) -> Callable[[Any], Any]:
    """``fn`` over the leading axis of its argument; one seed alone goes without a batch axis."""
    if num_seeds > 1:
        return jax.vmap(fn)
    return lambda x: jax.tree.map(lambda y: y[None], fn(jax.tree.map(lambda y: y[0], x)))


def _put(tree: _Tree, mesh: Mesh, spec: PartitionSpec) -> _Tree:
    sharding = NamedSharding(mesh, spec)

    def put(x: Any) -> Any:
        if not isinstance(x, jax.Array):
            return x
        if is_key(x):
            return jax.random.wrap_key_data(put(jax.random.key_data(x)))
        values = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda index: values[index])

    return jax.tree.map(put, tree)
