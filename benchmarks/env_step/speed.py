"""How many environment steps a second, with random actions and auto reset, and against gym-anm?

Swept over tasks and batch sizes; at the best batch, over the steps of one compiled call and the precision.
On a CPU large batches also go part by part, each many steps, so that its states stay in the cache.
All lanes are spread over all devices with ``shard_map``; on a CPU every core is made a JAX device of its own,
which uses the cores better than one device with two threads: no operation waits for the other core.
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
from benchmarks.env_step import gym_anm
from benchmarks.harness import command_line, record
from benchmarks.harness.timing import compile_program, interleave, run_seconds

LANES = PartitionSpec("lanes")
TASKS = ("ANM6Easy-v0", "IEEE33Easy-v0")
FIRST_CALL_BATCH = 4096
# 3 * 2**i: rows a power of two apart compete for the same places in a CPU's cache.
BATCHES = (2, 48, 384, 1536, 6144, 24576, 98304, 393216, 1048576)
CALL_STEPS = (1, 8, 64, 512)
# Lanes of a part on a device, and steps that it takes before the next part's turn.
PART, PART_STEPS = 4096, 16
MEANS = ("reward", "converged", "ended")
# Of the action box, to measure the cost of auto reset where no lane ends.
GENTLE = 0.25


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.env_step", description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="registered tasks")
    parser.add_argument("--batch", type=int, nargs="+", default=list(BATCHES), metavar="LANES")
    command_line.add_timing(parser, seconds=0.5, repeats=5)
    command_line.add_budget(parser)
    command_line.add_devices(parser)
    parser.add_argument("--no-peer", action="store_true", help="leave gym-anm out")
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.tasks, options.batch, options.seconds, options.repeats = options.tasks[:1], [64], 0.05, 2
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


def random_rollout(env: Any, mesh: Mesh, share: float = 1.0, part: int | None = None) -> Callable[..., Any]:
    """Builds ``rollout(states, keys, num_steps)``: steps of all lanes with actions uniform in the action box.

    Args:
      env: environment or wrapper with a bounded action space.
      mesh: devices, on the axis ``lanes``.
      share: of the box, about its middle, that the actions come from.
      part: so many lanes of a device take all their steps before the next ones do; None: all lanes together.

    Returns:
      A function of states (batch, ...), one key a device and the number of steps. It gives the last states
      and, for each device, over all steps: mean reward, shares converged and ended, the largest mismatch of a
      converged lane (p.u.).
    """
    middle = (env.action_space.high + env.action_space.low) / 2
    half = share * (env.action_space.high - env.action_space.low) / 2
    low, high = middle - half, middle + half

    def draw(key: jax.Array, lanes: int) -> jax.Array:
        """Uniform numbers; on a CPU in runs, because JAX's hash goes over an array many times."""
        runs = lanes // PART if jax.default_backend() == "cpu" and lanes % PART == 0 else 1
        shape = (lanes // runs, *env.action_space.shape)
        keys = jax.random.split(key, runs)
        drawn = jax.lax.map(lambda key: jax.random.uniform(key, shape, low.dtype), keys)
        return drawn.reshape(lanes, *env.action_space.shape)

    def together(states: Any, key: jax.Array, num_steps: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        def body(i: jax.Array, carry: tuple[Any, dict[str, jax.Array]]) -> tuple[Any, dict[str, jax.Array]]:
            states, sums = carry
            uniform = draw(jax.random.fold_in(key, i), states.reward.shape[0])
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

        zeros = {name: jnp.zeros_like(states.reward[0]) for name in (*MEANS, "max_mismatch_pu")}
        states, sums = jax.lax.fori_loop(0, num_steps, body, (states, zeros))
        return states, sums | {name: sums[name] / num_steps for name in MEANS}

    def part_by_part(states: Any, key: jax.Array, num_steps: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        num_parts = states.reward.shape[0] // part
        parts = jax.tree.map(lambda x: x.reshape(num_parts, part, *x.shape[1:]), states)
        keys = jax.random.split(key, num_parts)
        parts, each = jax.lax.map(lambda own: together(own[0], own[1], num_steps), (parts, keys))
        states = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), parts)
        worst = each["max_mismatch_pu"].max()
        return states, {name: each[name].mean() for name in MEANS} | {"max_mismatch_pu": worst}

    def on_one_device(states: Any, keys: jax.Array, num_steps: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        states, sums = (part_by_part if part else together)(states, keys[0], num_steps)
        return states, jax.tree.map(lambda x: x[None], sums)

    return jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(LANES, LANES, PartitionSpec()),
        out_specs=LANES,
    )


class Lanes:
    """A compiled random rollout of ``batch`` lanes that can be measured again and again."""

    def __init__(
        self,
        env: Any,
        batch: int,
        mesh: Mesh,
        seconds: float,
        share: float = 1.0,
        *,
        part: int | None = None,
        min_steps: int = 4,
    ):
        """Compiles the rollout and finds how many steps last about ``seconds``."""
        shards = NamedSharding(mesh, LANES)
        keys = jax.device_put(jax.random.split(jax.random.key(0), batch), shards)
        self.batch, self.part = batch, part
        self.dtype = str(env.action_space.dtype)
        reset = jax.shard_map(jax.vmap(env.reset), mesh=mesh, in_specs=LANES, out_specs=LANES)
        self.states = jax.jit(reset)(keys)
        self.keys = jax.device_put(jax.random.split(jax.random.key(1), mesh.size), shards)
        self.program = compile_program(
            random_rollout(env, mesh, share, part), self.states, self.keys, jnp.int32(0), donated=(0,)
        )
        self.outcome: dict[str, jax.Array] = {}
        self.num_steps = min_steps
        for _ in range(3):  # the first run warms up; the next two lengthen it
            fitting = math.ceil(self.num_steps * self.steps_per_s() * seconds / self.done)
            if fitting < self.num_steps == min_steps:
                break
            self.num_steps = max(min_steps, fitting)

    @property
    def done(self) -> int:
        """Lane steps in one run."""
        return self.batch * self.num_steps

    def steps_per_s(self) -> float:
        """Runs once, on from where the last run ended."""
        return self.done / run_seconds(lambda: self.call(self.num_steps))

    def short_calls(self, steps: int) -> Callable[[], float]:
        """A measurement of as many steps in calls of ``steps`` each."""
        calls = max(1, self.num_steps // steps)

        def measure() -> float:
            return self.batch * steps * calls / run_seconds(lambda: [self.call(steps) for _ in range(calls)])

        return measure

    def call(self, num_steps: int) -> Any:
        """One call of the compiled rollout."""
        self.states, self.outcome = self.program.call(self.states, self.keys, jnp.int32(num_steps))
        return self.outcome

    def quality(self) -> dict[str, float]:
        """What the last run computed: mean reward, shares of converged and of ended steps, worst mismatch."""
        means = {name: float(np.mean(np.asarray(self.outcome[name]))) for name in MEANS}
        return {**means, "max_mismatch_pu": float(np.max(np.asarray(self.outcome["max_mismatch_pu"])))}

    def costs(self) -> dict[str, Any]:
        """What the program took to make, and its memory: of a lane's state, and of a device beside it."""
        keyless = self.states.replace(key=jax.random.key_data(self.states.key))
        return {
            "trace_s": self.program.trace_s,
            "compile_s": self.program.compile_s,
            "state_bytes_per_lane": sum(x.nbytes for x in jax.tree.leaves(keyless)) / self.batch,
            "temp_bytes": self.program.temp_bytes,
        }


def sweep(task: str, options: argparse.Namespace, mesh: Mesh, until: float) -> list[dict[str, Any]]:
    """Measures a task: all batch sizes in turn, then the best of them in other ways."""
    env = anmjax.AutoReset(anmjax.make(task))
    lanes: dict[int, Lanes] = {}
    for batch in options.batch:
        if time.monotonic() < until or not lanes:
            lanes[batch] = Lanes(env, batch, mesh, options.seconds)
    cases = [("batch", lane) for lane in lanes.values()]
    turn = PART * mesh.size
    for batch in lanes if jax.default_backend() == "cpu" else ():
        if batch > turn and batch % turn == 0 and time.monotonic() < until:
            lane = Lanes(env, batch, mesh, options.seconds, part=PART, min_steps=PART_STEPS)
            cases.append(("in parts", lane))
    measured = {f"{what}, {lane.batch}": lane.steps_per_s for what, lane in cases}
    rates = interleave(measured, options.repeats)

    def row(what: str, lane: Lanes, rate: Any, **said: Any) -> dict[str, Any]:
        print(f"{task}, {lane.batch:9,d} lanes, {what}: {rate.median:14,.0f} steps/s", flush=True)
        return {
            "task": task,
            "what": what,
            "batch": lane.batch,
            "part": lane.part,
            "dtype": lane.dtype,
            "steps_per_s": rate.to_dict(),
            "steps_a_call": lane.num_steps,
            **lane.costs(),
            **lane.quality(),
            **said,
        }

    rows = [row(what, lane, rates[f"{what}, {lane.batch}"]) for what, lane in cases]
    together = [row for row in rows if row["what"] == "batch"]
    best = max(together, key=lambda row: row["steps_per_s"]["median"])["batch"]
    if options.smoke or time.monotonic() > until:
        return rows
    calls = interleave({str(steps): lanes[best].short_calls(steps) for steps in CALL_STEPS}, options.repeats)
    rows += [row("steps a call", lanes[best], calls[str(steps)], steps_a_call=steps) for steps in CALL_STEPS]
    others = {
        "float32": lanes[best],
        "gentle actions": Lanes(env, best, mesh, options.seconds, GENTLE),
        "gentle actions, no auto reset": Lanes(env.env, best, mesh, options.seconds, GENTLE),
    }
    with jax.enable_x64(True):
        wide = anmjax.AutoReset(anmjax.make(task, dtype="float64"))
        others["float64"] = Lanes(wide, best, mesh, options.seconds)
    rates = interleave({name: lane.steps_per_s for name, lane in others.items()}, options.repeats)
    return rows + [row(name, lane, rates[name]) for name, lane in others.items()]


def compare(options: argparse.Namespace, mesh: Mesh, batch: int, cores: int) -> dict[str, Any]:
    """Measures the best batch and gym-anm in turn, gym-anm in one process and in one process a core."""
    env = anmjax.AutoReset(anmjax.make(gym_anm.TASK))
    lane = Lanes(env, batch, mesh, options.seconds)
    seconds = max(options.seconds, 0.2) * 6  # gym-anm makes some 60 steps a second
    with gym_anm.Peer(1) as one, gym_anm.Peer(cores) as many:
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
    begun = time.monotonic()
    mesh = command_line.mesh_of(options.devices)
    print(f"{record.machine()}", flush=True)
    first = first_calls(options.tasks[0], min(FIRST_CALL_BATCH, max(options.batch)))
    print(f"first call: reset {first['reset_s']:.1f} s, step {first['step_s']:.1f} s", flush=True)
    rows = []
    for k, task in enumerate(options.tasks, start=1):
        rows += sweep(task, options, mesh, begun + options.budget * k / len(options.tasks))
    summary: dict[str, Any] = {"load_average_before": load, "first_call": first}
    if gym_anm.TASK in options.tasks and gym_anm.installed() and not options.no_peer:
        own = [row for row in rows if row["task"] == gym_anm.TASK and row["what"] == "batch"]
        best = max(own, key=lambda row: row["steps_per_s"]["median"])["batch"]
        summary["comparison"] = compare(options, mesh, best, record.num_cores())
        for name in ("ratio_one_process", "ratio_process_per_core"):
            print(f"{name}: {summary['comparison'][name]:,.0f}")
    made = record.make("env_step", rows, **summary)
    if options.out or not options.smoke:
        record.write(made, options.out)


if __name__ == "__main__":
    main()
