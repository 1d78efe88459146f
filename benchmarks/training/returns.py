"""How fast does a learner get to a return, in environment steps and in wall clock?

Each agent is trained with its defaults, seed after seed, on all devices (a CPU is made one a core), by the
compiled chunks of ``anmjax train``. Between chunks the clock stands still and the policy is evaluated,
deterministic, from all starts of the task over the protocol's horizon. Compilation is stated apart, and is in
``total_s``, which begins with the agent's making. Options after ``--`` are those of the agents' configs,
as name=value.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import anmjax
from anmjax.agents.evaluation import HORIZON
from anmjax.agents.registry import AGENTS
from anmjax.agents.seeds import key_of_seed
from anmjax.agents.training import sharding
from anmjax.agents.training.pools import Pools
from anmjax.agents.violation import violates
from benchmarks.harness import command_line, record

TASKS = ("ANM6Easy-v0", "IEEE33Easy-v0")
# By task, returns whose first passing is recorded: of ANM6Easy the best published RL result (TreeC,
# arXiv:2304.08310) and MPC with perfect foresight, of IEEE33Easy the trial that this learner began with.
PASSED = {"ANM6Easy-v0": (-16.2, -13.4, -11.8), "IEEE33Easy-v0": (-1.0, -0.5, -0.26)}
EVERY = 6  # of the starts, for comparisons with planners that are slower


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training.returns", description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="registered tasks")
    parser.add_argument("--agents", nargs="+", choices=AGENTS, default=["shac", "ppo"])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--points", type=int, default=24, help="evaluations of a training")
    parser.add_argument("--resume", type=Path, help="record of a run that was stopped: its trainings stand")
    command_line.add_devices(parser)
    command_line.add_record(parser)
    parser.add_argument("options", nargs="*", metavar="NAME=VALUE", help="options of the agents, after --")
    parsed = parser.parse_args(arguments)
    parsed.horizon = HORIZON
    if parsed.smoke:
        parsed.tasks, parsed.agents, parsed.seeds, parsed.points = [TASKS[0]], ["shac"], [0], 1
        parsed.options, parsed.horizon = ["total_steps=2048", "num_envs=64", "horizon=4"], 96
    return parsed


def scores(env: Any, horizon: int) -> Any:
    """A compiled function of a policy: discounted returns (n,), cost and violating steps of the last day."""
    starts = env.evaluation_starts()
    states = jax.jit(jax.vmap(env.reset_to, (None, 0)))(jax.random.key(0), starts)

    @jax.jit
    def score(env: Any, policy: Any, states: Any) -> tuple[jax.Array, ...]:
        def step(carry: tuple[Any, jax.Array], time: jax.Array) -> Any:
            states, total = carry
            actions = jax.vmap(policy.act)(jax.vmap(jax.random.fold_in, (None, 0))(key, lanes), states)
            states = jax.vmap(env.step)(states, actions)
            total += jnp.asarray(env.gamma, total.dtype) ** time.astype(total.dtype) * states.reward
            return (states, total), (states.reward, violates(states.metrics))

        key, lanes = jax.random.key(0), jnp.arange(len(states.reward))
        zeros = jnp.zeros_like(states.reward)
        (_, total), (reward, broken) = jax.lax.scan(step, (states, zeros), jnp.arange(horizon))
        day = env.steps_per_day
        return total, -reward[-day:].sum(0), broken[-day:].sum(0)

    return lambda policy: tuple(np.asarray(x, float) for x in score(env, policy, states))


def measure(task: str, agent: str, seed: int, options: argparse.Namespace, score: Any) -> dict[str, Any]:
    """The row of one training."""
    kind = AGENTS[agent]
    chosen = dict(pair.split("=", 1) for pair in options.options)
    config = kind.config()(**{name: json.loads(value) for name, value in chosen.items()})
    begun = time.perf_counter()
    made = kind.agent().create(anmjax.make(task), config)
    mesh = sharding.mesh_for(config)
    learners = sharding.begin(made, jnp.stack([key_of_seed(seed)]), mesh)
    pools = Pools(made, mesh)
    jax.block_until_ready(sharding.run_chunk(pools.at(0)[0], learners, np.int32(0), mesh))
    ready = time.perf_counter() - begun
    score(made.policy(jax.tree.map(lambda x: x[0], learners)))
    curve, done, seconds = [], 0, 0.0
    for stop in np.unique(np.linspace(0, config.num_updates, options.points + 1).round().astype(int))[1:]:
        while done < stop:
            begun = time.perf_counter()
            placed, most = pools.at(done)
            count = min(config.updates_per_chunk, int(stop) - done, most)
            learners, _ = jax.block_until_ready(sharding.run_chunk(placed, learners, np.int32(count), mesh))
            done += count
            seconds += time.perf_counter() - begun
        returns, cost, broken = score(made.policy(sharding.fetched(learners)[0]))
        point = {
            "env_steps": done * config.steps_per_update,
            "seconds": seconds,
            "return": returns.mean(),
            "return_of_every_sixth": returns[::EVERY].mean(),
            "cost_of_last_day": cost.mean(),
            "violating_steps_of_last_day": broken.sum(),
        }
        curve.append({name: float(value) for name, value in point.items()})
        steps, day = point["env_steps"] / 1e6, f"day {point['cost_of_last_day']:.4f}"
        reached = f"{point['return']:.3f}, {day}, {point['violating_steps_of_last_day']:.0f} violate"
        print(f"{task} {agent} seed {seed}: {steps:.2f} M, {seconds:.0f} s: {reached}", flush=True)
    passed = {}
    for level in PASSED.get(task, ()):
        first = next((point for point in curve if point["return"] > level), None)
        passed[str(level)] = first and {name: first[name] for name in ("env_steps", "seconds")}
    last = curve[-1]
    return {
        "task": task,
        "agent": agent,
        "seed": seed,
        "options": chosen,
        "devices": mesh.devices.size,
        "ready_s": ready,
        "total_s": ready + seconds,
        "passed": passed,
        **{name: last[name] for name in last if name != "seconds"},
        "returns": [float(x) for x in returns],
        "curve": curve,
    }


def main() -> None:
    """Runs the benchmark."""
    options = parse(sys.argv[1:])
    command_line.mesh_of(options.devices)  # a CPU is made one device a core
    rows, earlier = record.gone_on_with(options.resume)
    for task in options.tasks:
        score = scores(anmjax.make(task), options.horizon)
        for agent, seed in itertools.product(options.agents, options.seeds):
            if any((row["task"], row["agent"], row["seed"]) == (task, agent, seed) for row in rows):
                continue
            rows.append(measure(task, agent, seed, options, score))
            if options.out or not options.smoke:  # what there is, should it be stopped
                made = record.make("training.returns", rows, horizon=options.horizon, earlier=earlier)
                record.write(made, options.out)


if __name__ == "__main__":
    main()
