"""The programs to compile: a function, the shapes of its arguments, and how many steps a run of it makes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

import anmjax
from anmjax.agents.registry import AGENTS
from anmjax.agents.training import sharding
from benchmarks.policies.mpc import planner
from benchmarks.power_flow import networks
from benchmarks.power_flow.speed import TOL
from benchmarks.power_flow.speed import programs as power_flows

# Of the starts that auto reset draws from: how many there are changes neither kernels nor bytes.
POOL_SIZE = 4096
ROLLOUT_STEPS = 16
DTYPE = "float32"


class Work(NamedTuple):
    """A program and what a run of it does."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]  # as ``jax.ShapeDtypeStruct``
    lanes: int
    steps: int = 1  # of each lane in a run
    # Newton updates that the slowest of 32 lanes takes on average, as measured on a CPU: with random actions,
    # or for the scenarios that power flows are timed with. Loops by data of kernels are counted with them.
    updates: int = 3


def step(task: str, lanes: int, device: jax.Device) -> Work:
    """A step of an environment under auto reset."""
    return _step(_auto_reset(anmjax.make(task, dtype=DTYPE)), lanes, device)


def safe_step(task: str, lanes: int, device: jax.Device) -> Work:
    """The same with the safety layer, which knows what the step brings."""
    env = anmjax.SafeAction(anmjax.make(task, dtype=DTYPE), forecast="perfect")
    return _step(_auto_reset(env), lanes, device)


def rollout(task: str, lanes: int, device: jax.Device) -> Work:
    """Steps with random actions, one after the other."""
    env = _auto_reset(anmjax.make(task, dtype=DTYPE))
    low, high = env.action_space.low, env.action_space.high

    def run(states: Any, key: jax.Array) -> Any:
        def body(i: jax.Array, states: Any) -> Any:
            drawn = jax.random.uniform(jax.random.fold_in(key, i), (lanes, *low.shape), low.dtype)
            return jax.vmap(env.step)(states, low + (high - low) * drawn)

        return jax.lax.fori_loop(0, ROLLOUT_STEPS, body, states)

    states, key = jax.eval_shape(partial(_states, env, lanes)), jax.eval_shape(lambda: jax.random.key(0))
    return Work(run, _on(device, (states, key)), lanes, ROLLOUT_STEPS)


def power_flow(what: str, network: str, lanes: int, updates: int, device: jax.Device) -> Work:
    """Power flows from flat start, forward or with gradient."""
    net = networks.load_timed(network)
    wanted = argparse.Namespace(dtype=DTYPE, tol=TOL[DTYPE], num_iters=None, what=["forward", what])
    powers = jax.ShapeDtypeStruct((lanes, net.n_bus), DTYPE)
    return Work(power_flows(net, wanted)[what], _on(device, (powers, powers)), lanes, updates=updates)


def update(agent: str, task: str, options: dict[str, Any], device: jax.Device) -> Work:
    """An update of a learner, collecting included, as ``anmjax train`` runs it."""
    kind = AGENTS[agent]
    config: Any = kind.config()(**options)
    learning = kind.agent().create(anmjax.make(task, dtype=DTYPE), config)
    mesh = Mesh(np.array([device]), (sharding.AXIS,))
    learners = jax.eval_shape(jax.vmap(learning.init), jax.vmap(jax.random.key)(jnp.arange(1)))
    learners = jax.tree.map(
        lambda spec, part: _placed(NamedSharding(mesh, spec), part),
        sharding.specs_of(learning),
        learners,
        is_leaf=lambda x: isinstance(x, PartitionSpec),
    )
    everywhere = NamedSharding(mesh, sharding.SHARED)
    count = jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere)

    def run(learning: Any, learners: Any, count: jax.Array) -> Any:
        return sharding.run_chunk(learning, learners, count, mesh)

    arguments = _placed(everywhere, learning), learners, count
    return Work(run, arguments, config.num_envs, config.steps_per_update // config.num_envs)


def plan(steps: int, lanes: int, device: jax.Device) -> Work:
    """Plans of model predictive control on ANM6Easy-v0."""
    hour_and_charge = (jax.ShapeDtypeStruct((lanes,), DTYPE),) * 2
    return Work(planner(steps, DTYPE), _on(device, hour_and_charge), lanes)


ANM6, IEEE33 = "ANM6Easy-v0", "IEEE33Easy-v0"
LANES = 65536
# By name; each takes the device. Of SHAC the defaults, of PPO as many grids as keep a GPU busy.
PROGRAMS: dict[str, Callable[[jax.Device], Work]] = {
    f"step, {ANM6}": partial(step, ANM6, LANES),
    f"step, {IEEE33}": partial(step, IEEE33, LANES),
    f"rollout, {ANM6}": partial(rollout, ANM6, LANES),
    f"rollout, {IEEE33}": partial(rollout, IEEE33, LANES),
    "power flow, 33 buses": partial(power_flow, "forward", "case33bw", LANES, 3),
    "power flow, 118 buses": partial(power_flow, "forward", "case118", 16384, 4),
    "power flow, 1354 buses": partial(power_flow, "forward", "case1354pegase", 32768, 16),
    "gradient, 33 buses": partial(power_flow, "with gradient", "case33bw", LANES, 3),
    "gradient, 118 buses": partial(power_flow, "with gradient", "case118", 16384, 4),
    "gradient, 1354 buses": partial(power_flow, "with gradient", "case1354pegase", 32768, 16),
    f"PPO, {ANM6}": partial(update, "ppo", ANM6, {"num_envs": LANES}),
    f"SHAC, {ANM6}": partial(update, "shac", ANM6, {}),
    f"safety layer, {ANM6}": partial(safe_step, ANM6, 16384),
    "MPC, 32 steps": partial(plan, 32, 16384),
}


def _auto_reset(env: Any) -> Any:
    return anmjax.AutoReset(env, POOL_SIZE)


def _states(env: Any, lanes: int) -> Any:
    return jax.vmap(env.start)(jax.random.split(jax.random.key(0), lanes))


def _step(env: Any, lanes: int, device: jax.Device) -> Work:
    states = jax.eval_shape(partial(_states, env, lanes))
    actions = jax.ShapeDtypeStruct((lanes, *env.action_space.shape), env.action_space.dtype)
    return Work(jax.vmap(env.step), _on(device, (states, actions)), lanes)


def _on(device: jax.Device, tree: Any) -> Any:
    return _placed(SingleDeviceSharding(device), tree)


def _placed(place: Any, tree: Any) -> Any:
    """The shapes of a tree's arrays, on a device; the rest of it as it is."""

    def put(x: Any) -> Any:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place) if hasattr(x, "dtype") else x

    return jax.tree.map(put, tree)
