"""A training gives the same numbers on one device, on eight, and in two processes, to rounding."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from anmjax.agents.ppo import PPOConfig, load, train
from anmjax.agents.training.sharding import mesh_for
from anmjax.wrappers.running_statistics import RunningStatistics
from tests.agents.probes import Match

pytestmark = pytest.mark.usefixtures("standard_promotion")

CONFIG = PPOConfig(
    total_steps=6 * 64,
    num_envs=16,
    num_steps=4,
    num_minibatches=2,
    num_epochs=2,
    hidden_sizes=(8,),
    max_episode_steps=3,
    updates_per_chunk=2,
)
# Ctrl-C arrives in the last process when the given number of rows is there.
WORKER = """
import os, signal, sys
import jax
out, num_devices, coordinator, num_processes, process_id = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", int(num_devices))
from anmjax.agents.ppo import train
from anmjax.agents.training.progress import Progress
from anmjax.cli.devices import join_processes
from tests.agents.probes import Match
from tests.agents.test_many_devices import CONFIG
if int(num_processes) > 1:
    join_processes(coordinator, int(num_processes), int(process_id))
assert jax.device_count() == int(num_devices) * int(num_processes)
add, rows = Progress.add, []
def add_then_interrupt(self, row):
    add(self, row)
    rows.append(row)
    if len(rows) == 2 and process_id == str(int(num_processes) - 1):
        os.kill(os.getpid(), signal.SIGINT)
Progress.add = add_then_interrupt
assert train(Match(), CONFIG, seed=5, out=out, task="Match", devices=8, quiet=True).interrupted
"""


def run_worker(out, *, num_devices=8, num_processes=1):
    """Trains in processes of their own until a Ctrl-C after two rows."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    words = [str(out), str(num_devices), coordinator, str(num_processes)]
    processes = [
        subprocess.Popen([sys.executable, "-c", WORKER, *words, str(i)], stderr=subprocess.PIPE, text=True)
        for i in range(num_processes)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors


def rows_of(out):
    """The learning curve without its clock."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("seconds", "steps_per_second")} for row in rows]


def assert_same(got, expected):
    for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        # Sums in another order, through six updates of networks.
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training on one device, and its folder."""
    out = tmp_path_factory.mktemp("whole")
    with jax.numpy_dtype_promotion("standard"):
        return train(Match(), CONFIG, seed=5, out=out, task="Match", devices=1, quiet=True), out


@pytest.mark.slow
def test_a_training_on_eight_devices_goes_on_on_one_as_if_it_had_always_been_there(whole, tmp_path):
    run_worker(tmp_path)
    saved = load(tmp_path / "checkpoint.msgpack")
    assert saved.env_steps == 4 * 64
    resumed = train(Match(), resume=saved, out=tmp_path, task="Match", devices=1, quiet=True)
    assert_same(rows_of(tmp_path), rows_of(whole[1]))
    # Without the keys of the lanes, which are no numbers.
    got, expected = (
        replace(each.learner, states=each.learner.states.obs, key=None) for each in (resumed, whole[0])
    )
    assert_same(got, expected)


@pytest.mark.slow
def test_two_processes_stop_together_at_a_ctrl_c_and_one_goes_on_for_both(whole, tmp_path):
    run_worker(tmp_path, num_processes=2, num_devices=4)
    assert len(rows_of(tmp_path)) == 2
    saved = load(tmp_path / "checkpoint.msgpack")
    train(Match(), resume=saved, out=tmp_path, task="Match", devices=1, quiet=True)
    assert_same(rows_of(tmp_path), rows_of(whole[1]))


def test_lanes_that_cannot_be_shared_out_evenly_are_refused():
    with pytest.raises(ValueError, match="9 devices are asked for, but JAX has 1"):
        mesh_for(CONFIG, 9)


def test_statistics_of_shares_merge_into_those_of_the_whole():
    batch = jax.random.normal(jax.random.key(0), (8, 5, 3)) * 2 + 7
    before = RunningStatistics.create((3,)).update(batch[0])
    expected = before.update(batch)
    shared = jax.vmap(lambda share: before.update(share, axis_name="shares"), axis_name="shares")(batch)
    for got, value in zip(jax.tree.leaves(shared), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(got, np.broadcast_to(value, got.shape), rtol=1e-12)


SEEDS = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
from anmjax.agents.ppo import PPO, PPOConfig
from anmjax.agents.training import sharding
from tests.agents.probes import Match
ppo = PPO.create(Match(), PPOConfig(num_envs=16))
keys = jax.vmap(jax.random.key)(jax.numpy.arange(4))
begin = sharding.begin(ppo, keys, sharding.mesh_for(ppo.config, 2))
for i, key in enumerate(keys):
    alone = jax.jit(ppo.init)(key).policy.params
    for ours, theirs in zip(jax.tree.leaves(begin.policy.params), jax.tree.leaves(alone), strict=True):
        assert abs(ours[i] - theirs).max() < 1e-6
"""


@pytest.mark.long
def test_seeds_that_begin_together_on_two_devices_do_not_wait_for_each_other_for_ever():
    # Batched QR decompositions of the usual sizes, on as many devices as threads, once did.
    done = subprocess.run([sys.executable, "-c", SEEDS], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
