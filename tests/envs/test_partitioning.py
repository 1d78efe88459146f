"""Batches that XLA itself spreads over devices, from the shardings of arguments and results alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own: the number of devices is fixed when JAX starts.
WORKER = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_enable_x64", True)
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
import anmjax
from anmjax.envs.transition import FIT
from anmjax.lanes.schedule import CPUBlocks

# Several chunks, each of more lanes than wait for each other.
lanes, cpu = 1440, CPUBlocks()
assert cpu.max_lanes_together < cpu.chunk(lanes, 500, FIT) < lanes // 2
mesh = jax.make_mesh((2,), ("lanes",), axis_types=(AxisType.Auto,))
sharded = NamedSharding(mesh, PartitionSpec("lanes"))
env = anmjax.AutoReset(anmjax.make("ANM6Easy-v0"))
keys = jax.random.split(jax.random.key(0), lanes)
actions = jax.vmap(env.action_space.sample)(jax.random.split(jax.random.key(1), lanes))
reset, step = jax.vmap(env.reset), jax.vmap(env.step)
alone = jax.jit(step)(jax.jit(reset)(keys), actions)
spread = jax.jit(reset, out_shardings=sharded)(keys)
spread = jax.jit(step, out_shardings=sharded)(spread, jax.device_put(actions, sharded))
assert alone.terminated.any() and not alone.terminated.all()
assert len(alone.obs.sharding.device_set) == 1
for ours, theirs in zip(jax.tree.leaves(spread), jax.tree.leaves(alone), strict=True):
    assert ours.sharding.is_equivalent_to(sharded, ours.ndim), ours.sharding
    if not jax.dtypes.issubdtype(ours.dtype, jax.dtypes.prng_key):
        np.testing.assert_allclose(np.asarray(ours, float), np.asarray(theirs, float), rtol=1e-9, atol=1e-9)
"""


@pytest.mark.slow
def test_reset_and_step_spread_by_their_shardings_give_the_numbers_of_one_device() -> None:
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
