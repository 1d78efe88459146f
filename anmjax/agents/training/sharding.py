"""A training on a mesh of devices, of one process or of several: its programs, and its arrays in and out.

Learners have a leading axis over the seeds that train side by side. The lanes are shared out evenly, all else
is on every device; ``Lanes`` is what one device sees of this.
Several processes that JAX has joined (``jax.distributed.initialize``) run the same code side by side: every
function here has to be called by all of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from anmjax.agents.agent import Agent
from anmjax.agents.config import AgentConfig
from anmjax.agents.metrics import Metrics
from anmjax.agents.training.checkpoint import is_key
from anmjax.lanes.empty import shard_map

_Tree = TypeVar("_Tree")

AXIS = "lanes"
SHARED, OWN = PartitionSpec(), PartitionSpec(None, AXIS)
# Lanes of a device at least, unless asked for: below, a step costs the same however few they are.
MIN_LANES = 64


def mesh_for(config: AgentConfig, num_devices: int | None = None) -> Mesh:
    """The devices to train on.

    Args:
      config: the options.
      num_devices: how many; None: of one process as many as can share the lanes evenly and have 64 each, of
        several all.

    Raises:
      ValueError: there are not so many, or the lanes cannot be shared out evenly over them.
    """
    devices = jax.devices()
    unit = getattr(config, config.lanes_unit) if config.lanes_unit else 1
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
        unit_times = f"{config.lanes_unit}, {unit}, times " if config.lanes_unit else ""
        raise ValueError(
            f"num_envs is {config.num_envs}, but must be a multiple of {unit * num_devices}: "
            f"{unit_times}the devices, {num_devices}"
        )
    return Mesh(np.array(devices[:num_devices]), (AXIS,))


def specs_of(agent: Agent[Any]) -> Any:
    """Where the parts of its learners are, as ``jax.shard_map`` wants it said."""
    return agent.layout(SHARED, OWN)


def begin(agent: Agent[Any], keys: jax.Array, mesh: Mesh) -> Any:
    """The learners before their first update, on the mesh; ``keys`` (n_seed,)."""
    return _init(everywhere(agent, mesh), everywhere(keys, mesh), mesh)


def place(agent: Agent[Any], learners: Sequence[Any], mesh: Mesh) -> Any:
    """Learners, whole in this process, on the mesh."""
    stacked = jax.tree.map(lambda *each: jnp.stack(each), *learners)
    return jax.tree.map(
        lambda spec, part: _put(part, mesh, spec),
        specs_of(agent),
        stacked,
        is_leaf=lambda x: isinstance(x, PartitionSpec),
    )


def everywhere(tree: _Tree, mesh: Mesh) -> _Tree:
    """Arrays that every process has alike, on all devices of the mesh."""
    return _put(tree, mesh, SHARED)


def fetched(learners: Any) -> list[Any]:
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
def run_chunk(agent: Agent[Any], learners: Any, count: jax.Array, mesh: Mesh) -> tuple[Any, Metrics]:
    """``count`` updates of each, and the sums of their metrics; another count needs no new compilation.

    The learners are not donated: after an interrupt, those before are still whole.
    """

    def on_one_device(agent: Agent[Any], learners: Any, count: jax.Array) -> tuple[Any, Metrics]:
        update = _of_seeds(replace(agent, axis_name=AXIS).update, len(learners.num_updates))
        metrics = jax.eval_shape(update, learners)[1]
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), metrics)

        def body(_: jax.Array, carry: Any) -> Any:
            learners, sums = carry
            learners, metrics = update(learners)
            return learners, jax.tree.map(jnp.add, sums, metrics)

        return jax.lax.fori_loop(0, count, body, (learners, zeros))

    return shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(SHARED, specs_of(agent), SHARED),
        out_specs=(specs_of(agent), SHARED),
    )(agent, learners, count)


@functools.partial(jax.jit, static_argnames="mesh")
def _init(agent: Agent[Any], keys: jax.Array, mesh: Mesh) -> Any:
    return shard_map(
        lambda agent, keys: _of_seeds(replace(agent, axis_name=AXIS).init, len(keys))(keys),
        mesh=mesh,
        in_specs=SHARED,
        out_specs=specs_of(agent),
    )(agent, keys)


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
