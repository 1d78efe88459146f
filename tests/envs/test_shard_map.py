"""``jax.shard_map`` with its defaults takes everything public; a lane's numbers do not know the devices."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import anmjax
from tests.envs.samples import NETWORK, Feeder

ENV = Feeder()
SAFE = anmjax.SafeAction(ENV)
AUTO = anmjax.AutoReset(anmjax.TimeLimit(anmjax.EpisodeStatistics(ENV), 3), pool_size=4)
NET = anmjax.Network.from_dict(NETWORK)
HELD = NET.replace(pv=(2,))
LANES, SHARED = PartitionSpec("lanes"), PartitionSpec()
KEYS = jax.random.split(jax.random.key(0), 4)
ACTIONS = jnp.zeros((4, 6))
POWERS = jnp.zeros((4, 4))
MANY = jax.ShapeDtypeStruct((600, 4), float)  # lanes: they share a Jacobian, and are solved in blocks


def states_of(env: Any) -> Any:
    return jax.eval_shape(jax.vmap(env.reset), KEYS)


def program(P: jax.Array, q: jax.Array, G: jax.Array, h: jax.Array) -> anmjax.QPSolution:
    return anmjax.solve_qp(P, q, G[:1], h[:1], G, h, violation_cost=2.0, smoothing=1e-3)


PROGRAM = jnp.zeros((4, 3, 3)), jnp.zeros((4, 3)), jnp.zeros((4, 5, 3)), jnp.zeros((4, 5))


def vm(p: jax.Array, q: jax.Array) -> jax.Array:
    return jnp.abs(anmjax.power_flow(HELD, p, q).v).sum()


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "reset": (jax.vmap(ENV.reset), (KEYS,)),
    "step": (jax.vmap(ENV.step), (states_of(ENV), ACTIONS)),
    "auto reset": (jax.vmap(AUTO.step), (states_of(AUTO), ACTIONS)),
    "in place": (jax.vmap(AUTO.replace(pool=None, pool_size=None).step), (states_of(AUTO), ACTIONS)),
    "gradient through the safety layer": (
        jax.vmap(jax.grad(lambda action, state: SAFE.step(state, action).reward)),
        (ACTIONS, states_of(SAFE)),
    ),
    "power flow with a PV bus": (jax.vmap(lambda p, q: anmjax.power_flow(HELD, p, q)), (POWERS, POWERS)),
    "power flow of many lanes": (jax.vmap(lambda p, q: anmjax.power_flow(NET, p, q)), (MANY, MANY)),
    "power flow from dc angles": (
        jax.vmap(lambda p, q: anmjax.power_flow(HELD, p, q, init="dc")),
        (POWERS, POWERS),
    ),
    "power flow of outages": (
        jax.vmap(lambda up: anmjax.power_flow(NET.replace(in_service=up), NET.p, NET.q)),
        (POWERS,),
    ),
    "second derivative of the power flow": (jax.vmap(jax.hessian(vm)), (POWERS, POWERS)),
    "branch flows": (jax.vmap(lambda v: anmjax.branch_flows(NET, v)), (POWERS.astype(complex),)),
    "loss factors": (jax.vmap(lambda p, q: anmjax.loss_factors(NET, p, q)), (POWERS, POWERS)),
    "gradient of a quadratic program": (
        jax.vmap(jax.grad(lambda *data: program(*data).x.sum(), argnums=(0, 1, 2, 3))),
        PROGRAM,
    ),
}


LONG, SLOW = ("gradient of a quadratic program",), ("gradient through the safety layer",)


# Auto and Explicit axes are alike inside of shard_map: the numbers below are of both.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] * (name in LONG) + [pytest.mark.slow] * (name in SLOW))
        for name in FUNCTIONS
    ],
)
def test_shard_map_takes_it_with_its_checks_on(name: str) -> None:
    fn, args = FUNCTIONS[name]
    mesh = jax.make_mesh((1,), ("lanes",), axis_types=(AxisType.Explicit,))
    spread = jax.shard_map(fn, mesh=mesh, in_specs=LANES, out_specs=LANES)
    sharding = NamedSharding(mesh, LANES)
    own = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), args)
    got, expected = jax.eval_shape(spread, *own), jax.eval_shape(fn, *args)
    assert [x.shape for x in jax.tree.leaves(got)] == [x.shape for x in jax.tree.leaves(expected)]


def test_a_rollout_inside_shard_map_keeps_its_types_from_the_first_state_on() -> None:
    # Of reset_to much is zero by construction, the same on all devices; after a step it is not.
    def rollout(keys: jax.Array, starts: jax.Array) -> Any:
        first = jax.vmap(ENV.reset_to)(keys, starts)
        return jax.lax.scan(
            lambda s, _: (jax.vmap(ENV.step)(s, ACTIONS[: len(keys)]), None), first, length=2
        )[0]

    mesh = jax.make_mesh((1,), ("lanes",), axis_types=(AxisType.Auto,))
    spread = jax.shard_map(rollout, mesh=mesh, in_specs=(LANES, SHARED), out_specs=LANES)
    starts = jax.vmap(ENV.init_state)(KEYS)
    assert jax.eval_shape(spread, KEYS, starts).obs.shape == (4, 16)


# In a process of its own: the number of devices is fixed when JAX starts.
WORKER = """
import jax
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_enable_x64", True)
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, auto_axes
from tests.envs.samples import Feeder

LANES, SHARED = PartitionSpec("lanes"), PartitionSpec()
auto, explicit = AxisType.Auto, AxisType.Explicit
keys = jax.random.split(jax.random.key(0), 64)

def step(env, data):
    return jax.vmap(env.step)(*data)

def gradients(env, data):
    # By what the devices share it is the sum over all of them: shard_map adds up by itself.
    def total(net, actions):
        after = step(env.replace(network=net), (data[0], actions))
        return after.reward.sum(), after

    by, after = jax.grad(total, (0, 1), has_aux=True)(env.network, data[1])
    return by[0].r, by[0].x, by[1], after

def put(tree, mesh, spec):
    return jax.device_put(tree, NamedSharding(mesh, spec))

def check(fn, env, data, k, axis_type, out_specs, rtol, expected, shard_map=True):
    mesh = Mesh(np.array(jax.devices()[:k]), ("lanes",), axis_types=(axis_type,))
    if shard_map:
        spread = jax.shard_map(fn, mesh=mesh, in_specs=(SHARED, LANES), out_specs=out_specs)
    else:
        spread = auto_axes(fn, out_sharding=NamedSharding(mesh, out_specs))
    out = jax.jit(spread)(put(env, mesh, SHARED), put(data, mesh, LANES))
    for ours, theirs in zip(numbers(out), expected, strict=True):
        assert len(ours.sharding.device_set) == k
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * (1 + abs(theirs).max()))

def numbers(out):
    keyless = (x for x in jax.tree.leaves(out) if not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key))
    return [x.astype(float) if x.dtype == bool else x for x in keyless]

def data_of(env):
    return jax.jit(jax.vmap(env.reset))(keys), jax.vmap(env.action_space.sample)(keys)

def same_on(devices, dtype, rtol):
    env = Feeder(dtype=dtype)
    data = data_of(env)
    alone = jax.device_get(numbers(jax.jit(step)(env, data)))
    for k, axis_type in devices:
        check(step, env, data, k, axis_type, LANES, rtol, alone)
    return env, data, alone
"""
# A power flow stops at 1e-5 p.u.; what differs is the order of sums, a few units in the last place.
FEW = """
env = Feeder()
data = data_of(env)
alone = jax.device_get(numbers(jax.jit(gradients)(env, data)))
assert all(abs(x).max() > 0 for x in alone[:3])
check(gradients, env, data, 8, explicit, (SHARED, SHARED, LANES, LANES), 1e-12, alone)
"""
ALL = """
for dtype, rtol in (("float64", 1e-13), ("float32", 2e-6)):
    env, data, alone = same_on([(1, auto), (2, auto), (4, explicit), (8, explicit)], dtype, rtol)
# From shardings alone, with axes of the type that jax.make_mesh gives by default.
check(step, env, data, 2, explicit, LANES, rtol, alone, shard_map=False)
"""


@pytest.mark.parametrize(
    "checks", [pytest.param(FEW, marks=pytest.mark.long), pytest.param(ALL, marks=pytest.mark.slow)]
)
def test_steps_and_gradients_are_the_same_on_any_number_of_devices(checks: str) -> None:
    script = WORKER + checks
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
