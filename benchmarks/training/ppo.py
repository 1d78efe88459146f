"""How many environment steps a second does PPO learn from, and what does the rest of an update cost?

The compiled chunk of updates of ``anmjax train`` itself, on all devices (a CPU is made one a core): against
the number of grids, the width and precision of the networks, and the seeds that train side by side.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import anmjax
from anmjax.agents.ppo import PPO, PPOConfig
from anmjax.agents.ppo.collect import collect
from anmjax.agents.training import sharding
from anmjax.agents.training.lanes import Lanes
from anmjax.lanes.empty import shard_map
from anmjax.lanes.varying import as_varying
from benchmarks.harness import command_line, record
from benchmarks.harness.timing import compile_program, interleave, run_seconds

ANM6, IEEE33 = "ANM6Easy-v0", "IEEE33Easy-v0"
# By platform: task, options of PPO, seeds. The first is what ``anmjax train`` does by default.
CASES: dict[str, list[tuple[str, dict[str, Any], int]]] = {
    "cpu": [
        (ANM6, {}, 1),
        (IEEE33, {}, 1),
        (ANM6, {"num_envs": 2048}, 1),
        (ANM6, {"hidden_sizes": (16, 16)}, 1),
        (ANM6, {"hidden_sizes": (256, 256)}, 1),
        (ANM6, {"network_dtype": "bfloat16"}, 1),
        (ANM6, {}, 4),
    ],
    "gpu": [
        (ANM6, {"num_envs": 65536}, 1),
        (IEEE33, {"num_envs": 16384}, 1),
        (ANM6, {"num_envs": 65536, "network_dtype": "bfloat16"}, 1),
        (ANM6, {"num_envs": 16384}, 4),
        (ANM6, {"num_envs": 16384}, 1),
        (ANM6, {"num_envs": 65536, "hidden_sizes": (256, 256)}, 1),
    ],
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training.ppo", description=__doc__)
    command_line.add_timing(parser, seconds=1.0, repeats=5)
    command_line.add_budget(parser)
    command_line.add_devices(parser)
    command_line.add_record(parser)
    return parser.parse_args(arguments)


class Learners:
    """A compiled chunk of updates that can be measured again and again."""

    def __init__(self, task: str, options: dict[str, Any], num_seeds: int, mesh: Mesh, seconds: float):
        """Compiles the chunk and finds how many updates last about ``seconds``."""
        start = time.perf_counter()
        self.config = PPOConfig(**options)
        ppo = PPO.create(anmjax.make(task), self.config)
        keys = jax.vmap(jax.random.key)(jnp.arange(num_seeds))
        self.learners, self.num_seeds = sharding.begin(ppo, keys, mesh), num_seeds
        self.placed = sharding.everywhere(ppo, mesh)
        self.program = compile_program(
            lambda ppo, learners, count: sharding.run_chunk(ppo, learners, count, mesh),
            self.placed,
            self.learners,
            jnp.int32(1),
        )
        self.count = 1
        self.steps_per_s()
        self.ready_s = time.perf_counter() - start
        self.count = max(1, round(seconds * self.steps_per_s() / (self.config.steps_per_update * num_seeds)))

    def steps_per_s(self) -> float:
        """Runs the chunk once, on from where the last run ended."""

        def call() -> Any:
            self.learners, sums = self.program.call(self.placed, self.learners, jnp.int32(self.count))
            return sums

        return self.config.steps_per_update * self.num_seeds * self.count / run_seconds(call)

    def collected_per_s(self, mesh: Mesh) -> Any:
        """A measurement of the collecting alone, of the first seed."""
        config = self.config

        def on_one_device(ppo: PPO, learners: Any, count: jax.Array) -> Any:
            learner = jax.tree.map(lambda x: x[0], learners)

            def body(i: jax.Array, carry: Any) -> Any:
                states, totals, _ = carry
                states, totals, rollout, _ = collect(
                    ppo.env,
                    learner.policy,
                    states,
                    totals,
                    jax.random.fold_in(learner.key, i),
                    num_steps=config.num_steps,
                    gamma=ppo.gamma,
                    lanes=Lanes(sharding.AXIS),
                )
                return states, totals, jax.tree.map(lambda x: x[-1], rollout)

            first = jax.eval_shape(body, jnp.int32(0), (learner.states, learner.totals, None))[2]
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), first)
            kept = as_varying(zeros, (learner.states, learner.totals))
            end = jax.lax.fori_loop(0, count, body, (learner.states, learner.totals, kept))
            return jax.tree.map(lambda x: x[None], (end[1], end[2].reward))

        lanes = jax.sharding.PartitionSpec(None, sharding.AXIS)
        program = jax.jit(
            shard_map(
                on_one_device,
                mesh=mesh,
                in_specs=(sharding.SHARED, PPO.layout(sharding.SHARED, sharding.OWN), sharding.SHARED),
                out_specs=lanes,
            )
        )

        def measure() -> float:
            seconds = run_seconds(lambda: program(self.placed, self.learners, jnp.int32(self.count)))
            return config.steps_per_update * self.count / seconds

        measure()
        return measure


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    load, begun = os.getloadavg()[0], time.monotonic()
    mesh = command_line.mesh_of(options.devices)
    mesh = Mesh(np.array(mesh.devices), (sharding.AXIS,))
    cases = CASES["cpu" if record.machine()["platform"] == "cpu" else "gpu"]
    if options.smoke:
        cases, options.seconds, options.repeats = [(ANM6, {"num_envs": 64, "num_steps": 4}, 1)], 0.01, 2
    rows: list[dict[str, Any]] = []
    measured: list[tuple[str, dict[str, Any], int, Learners]] = []
    for task, chosen, num_seeds in cases:
        if measured and time.monotonic() - begun > options.budget:
            break
        learners = Learners(task, chosen, num_seeds, mesh, options.seconds)
        print(f"{task} {chosen} seeds {num_seeds}: ready in {learners.ready_s:.0f} s", flush=True)
        measured.append((task, chosen, num_seeds, learners))
    calls = {str(i): learners.steps_per_s for i, (*_, learners) in enumerate(measured)}
    rates = interleave(calls | {"collect": measured[0][-1].collected_per_s(mesh)}, options.repeats)
    for i, (task, chosen, num_seeds, learners) in enumerate(measured):
        config, rate = learners.config, rates[str(i)]
        rows.append(
            {
                "task": task,
                "num_envs": config.num_envs,
                "hidden_sizes": list(config.hidden_sizes),
                "network_dtype": config.network_dtype or "float32",
                "seeds": num_seeds,
                "steps_per_s": rate.to_dict(),
                "updates_a_run": learners.count,
                "ready_s": learners.ready_s,
                "trace_s": learners.program.trace_s,
                "compile_s": learners.program.compile_s,
                "temp_bytes": learners.program.temp_bytes,
            }
        )
        print(f"{task} {chosen} seeds {num_seeds}: {rate.median:12,.0f} env steps/s", flush=True)
    made = record.make(
        "training.ppo", rows, load_average_before=load, collect_per_s=rates["collect"].to_dict()
    )
    if options.out or not options.smoke:
        record.write(made, options.out)


if __name__ == "__main__":
    main()
