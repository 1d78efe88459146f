"""How many environment steps a second, with random actions, against batch size and against gym-anm?

All lanes are spread over all devices with ``shard_map``; on a CPU every core is made a JAX device of its own,
which uses the cores better than one device with two threads does: no operation waits for the other core.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import anmjax
from benchmarks import command_line, gym_anm_peer, record
from benchmarks.timing import compile_program, interleave, run_seconds

LANES = PartitionSpec("lanes")
FIRST_CALL_BATCH = 4096
# 3 * 2**i beside 2**i: rows a power of two apart compete for the same places in a CPU's cache.
BATCHES = sorted([2**i for i in range(6, 17, 2)] + [3 * 2**i for i in (6, 8, 9, 10, 11, 13)])
MEANS = ("reward", "converged", "ended")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.env_step", description=__doc__)
    parser.add_argument("--task", default="ANM6Easy-v0", help="registered task (default: %(default)s)")
    parser.add_argument("--batch", type=int, nargs="+", default=BATCHES, metavar="LANES")
    command_line.add_timing(parser, seconds=0.5, repeats=7)
    command_line.add_devices(parser)
    parser.add_argument("--no-peer", action="store_true", help="leave gym-anm out")
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.batch, options.seconds, options.repeats = [64], 0.05, 2
    return options


def first_calls(task: str, batch: int) -> dict[str, float]:
    """Seconds that a user waits for the first call of each function, in a fresh process.

    Args:
      task: task id.
      batch: lanes.

    Returns:
      ``make_s``; ``reset_s`` and ``step_s``: tracing, compiling and one run of the vmapped function under
      auto reset.
    """
    start = time.perf_counter()
    env = anmjax.AutoReset(anmjax.make(task))
    made = time.perf_counter()
    states = jax.block_until_ready(jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), batch)))
    reset = time.perf_counter()
    actions = jnp.zeros((batch, *env.action_space.shape), env.action_space.dtype)
    jax.block_until_ready(jax.jit(jax.vmap(env.step))(states, actions))
    done = time.perf_counter()
    return {"batch": batch, "make_s": made - start, "reset_s": reset - made, "step_s": done - reset}


def random_rollout(env: Any, mesh: Mesh) -> Callable[..., Any]:
    """Builds ``rollout(states, keys, num_steps)``: steps of all lanes with actions uniform in the action box.

    Args:
      env: environment or wrapper with a bounded action space.
      mesh: devices, on the axis ``lanes``.

    Returns:
      A function of states (batch, ...), one key a device and the number of steps. It gives the last states
      and, for each device, over all steps: mean reward, shares converged and ended, the largest mismatch of a
      converged lane (p.u.).
    """
    low, high = env.action_space.low, env.action_space.high

    def on_one_device(states: Any, keys: jax.Array, num_steps: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        shape = (states.reward.shape[0], *env.action_space.shape)

        def body(i: jax.Array, carry: tuple[Any, dict[str, jax.Array]]) -> tuple[Any, dict[str, jax.Array]]:
            states, sums = carry
            uniform = jax.random.uniform(jax.random.fold_in(keys[0], i), shape, low.dtype)
            states = jax.vmap(env.step)(states, low + (high - low) * uniform)
            converged, mismatch = states.metrics["converged"], states.metrics["mismatch"]
            worst = jnp.max(jnp.where(converged, mismatch, 0))
            sums = {
                "reward": sums["reward"] + jnp.mean(states.reward),
                "converged": sums["converged"] + jnp.mean(converged, dtype=low.dtype),
                "ended": sums["ended"] + jnp.mean(states.terminated | states.truncated, dtype=low.dtype),
                "max_mismatch_pu": jnp.maximum(sums["max_mismatch_pu"], worst),
            }
            return states, sums

        zeros = {name: jnp.zeros((), low.dtype) for name in (*MEANS, "max_mismatch_pu")}
        states, sums = jax.lax.fori_loop(0, num_steps, body, (states, zeros))
        sums |= {name: sums[name] / num_steps for name in MEANS}
        return states, jax.tree.map(lambda x: x[None], sums)

    return jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(LANES, LANES, PartitionSpec()),
        out_specs=LANES,
        check_vma=False,  # custom_batching rules carry no varying-axes annotations
    )


class Lanes:
    """A compiled random rollout of ``batch`` lanes that can be measured again and again."""

    def __init__(self, env: Any, batch: int, mesh: Mesh, seconds: float):
        """Compiles the rollout and finds how many steps last about ``seconds``."""
        shards = NamedSharding(mesh, LANES)
        keys = jax.device_put(jax.random.split(jax.random.key(0), batch), shards)
        self.batch = batch
        self.states = jax.jit(jax.vmap(env.reset), out_shardings=shards)(keys)
        self.keys = jax.device_put(jax.random.split(jax.random.key(1), mesh.size), shards)
        self.program = compile_program(random_rollout(env, mesh), self.states, self.keys, jnp.int32(0))
        self.outcome: dict[str, jax.Array] = {}
        self.num_steps = 4
        for _ in range(3):  # the first run warms up; the next two lengthen it
            self.num_steps = max(4, math.ceil(self.num_steps * self.steps_per_s() * seconds / self.done))

    @property
    def done(self) -> int:
        """Lane steps in one run."""
        return self.batch * self.num_steps

    def steps_per_s(self) -> float:
        """Runs once, on from where the last run ended."""

        def call() -> Any:
            self.states, self.outcome = self.program.call(self.states, self.keys, jnp.int32(self.num_steps))
            return self.outcome

        return self.done / run_seconds(call)

    def quality(self) -> dict[str, float]:
        """What the last run computed: mean reward, shares of converged and of ended steps, worst mismatch."""
        means = {name: float(np.mean(self.outcome[name])) for name in MEANS}
        return {**means, "max_mismatch_pu": float(np.max(self.outcome["max_mismatch_pu"]))}


def sweep(options: argparse.Namespace, mesh: Mesh) -> list[dict[str, Any]]:
    """Measures every batch size, plain and with auto reset in turn."""
    plain = anmjax.make(options.task)
    rows = []
    for batch in options.batch:
        lanes = {
            "plain": Lanes(plain, batch, mesh, options.seconds),
            "auto_reset": Lanes(anmjax.AutoReset(plain), batch, mesh, options.seconds),
        }
        rates = interleave({name: lane.steps_per_s for name, lane in lanes.items()}, options.repeats)
        for name, lane in lanes.items():
            rows.append(
                {
                    "batch": batch,
                    "auto_reset": name == "auto_reset",
                    "dtype": str(plain.action_space.dtype),
                    "steps_per_s": rates[name].to_dict(),
                    "steps_a_run": lane.num_steps,
                    "trace_s": lane.program.trace_s,
                    "compile_s": lane.program.compile_s,
                    "temp_bytes": lane.program.temp_bytes,
                    **lane.quality(),
                }
            )
            print(f"{batch:8d} lanes, {name:10s}: {rates[name].median:14,.0f} steps/s", flush=True)
    return rows


def compare(options: argparse.Namespace, mesh: Mesh, batch: int, cores: int) -> dict[str, Any]:
    """Measures the best batch and gym-anm in turn, gym-anm in one process and in one process a core."""
    lane = Lanes(anmjax.AutoReset(anmjax.make(options.task)), batch, mesh, options.seconds)
    seconds = max(options.seconds, 0.2) * 6  # gym-anm makes some 60 steps a second
    with gym_anm_peer.Peer(1) as one, gym_anm_peer.Peer(cores) as many:
        rates = interleave(
            {
                "anmjax": lane.steps_per_s,
                "gym_anm_one_process": lambda: one.steps_per_s(seconds),
                "gym_anm_process_per_core": lambda: many.steps_per_s(seconds),
            },
            options.repeats,
        )
    ours = rates["anmjax"].median
    return {
        "batch": batch,
        "cores": cores,
        **{name: spread.to_dict() for name, spread in rates.items()},
        "ratio_one_process": ours / rates["gym_anm_one_process"].median,
        "ratio_process_per_core": ours / rates["gym_anm_process_per_core"].median,
    }


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    load = os.getloadavg()[0]
    mesh = command_line.mesh_of(options.devices)
    print(f"{options.task} on {record.machine()}", flush=True)
    first = first_calls(options.task, min(FIRST_CALL_BATCH, max(options.batch)))
    print(f"first call: reset {first['reset_s']:.1f} s, step {first['step_s']:.1f} s", flush=True)
    rows = sweep(options, mesh)
    best = max((row for row in rows if row["auto_reset"]), key=lambda row: row["steps_per_s"]["median"])
    summary: dict[str, Any] = {
        "task": options.task,
        "load_average_before": load,
        "first_call": first,
        "best_batch": best["batch"],
    }
    if options.task == gym_anm_peer.TASK and gym_anm_peer.installed() and not options.no_peer:
        summary["comparison"] = compare(options, mesh, best["batch"], record.num_cores())
        for name in ("ratio_one_process", "ratio_process_per_core"):
            print(f"{name}: {summary['comparison'][name]:,.0f}")
    made = record.make("env_step", rows, **summary)
    if options.out or not options.smoke:
        record.write(made, options.out or record.default_path("env_step"))


if __name__ == "__main__":
    main()
