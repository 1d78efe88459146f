"""What does energy cost where violations are limited, and where they are weighed? The trade-off of both.

Learners are trained with the energy lost alone as reward and a limit on the mean of ``state.costs``, and,
without one, on rewards with several weights of violations. Each policy is scored, deterministic, from the
task's own starts: energy lost in a day and violations a step, over the last day. Of a limited one the costs
of the last fifth of its training are told too, which the limit is on: with the noise and the starts of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import anmjax
from anmjax.agents.baselines import BASELINES
from anmjax.agents.registry import AGENTS
from anmjax.agents.training.loop import train
from anmjax.agents.training.run_folder import METRICS_FILE
from anmjax.agents.violation import violates
from benchmarks.harness import command_line, record

TASKS = ("ANM6Easy-v0", "IEEE33Easy-v0")
LIMITS = (0.001, 0.002, 0.004, 0.016)  # p.u., mean of the sum of state.costs
WEIGHTS = (1.0, 10.0, 100.0)  # lamb of the reward; the last is the tasks' own
STEPS = {"shac": 4_000_000, "ppo": 12_000_000}  # environment steps of a training, about equally long ones
HORIZON = 384  # steps until the score is taken: four days, past what the start leaves behind
LAST = 0.2  # share of a training


class Variant(NamedTuple):
    """What a learner is told of violations."""

    agent: str
    kind: str  # "limit" or "weight"
    value: float


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training.constrained", description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="registered tasks")
    parser.add_argument("--agents", nargs="+", choices=STEPS, default=list(STEPS), help="with limits")
    parser.add_argument("--weighted", nargs="*", choices=STEPS, default=["shac"], help="with weights")
    parser.add_argument("--limits", nargs="*", type=float, default=list(LIMITS), help="p.u.")
    parser.add_argument("--weights", nargs="*", type=float, default=list(WEIGHTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", type=Path, help="record of a run that was stopped: its rows stand")
    command_line.add_budget(parser)
    command_line.add_devices(parser)
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    options.horizon = HORIZON
    if options.smoke:
        options.tasks, options.agents, options.limits, options.weights = [TASKS[0]], ["shac"], [0.01], []
        options.horizon = 96
    return options


def score(env: Any, policy: Any, horizon: int) -> dict[str, float]:
    """Energy lost in the last day, MWh, and violations a step of it; means over the task's starts."""
    followed = anmjax.rollout(env, policy, env.evaluation_starts(), horizon)
    day, base = round(24 / float(env.delta_t)), float(env.network.base_mva)
    last = {name: jnp.asarray(values[:, -day:]) for name, values in followed.metrics.items()}
    return {
        "energy_mwh_a_day": float(last["e_loss"].mean()) * day * base,
        "cost": float(followed.costs[:, -day:].sum(-1).mean()),
        "violation_share": float(violates(last).mean()),
        "collapsed_share": float(followed.terminated.any(1).mean()),
    }


def measure(task: str, variant: Variant, options: argparse.Namespace) -> dict[str, Any]:
    """The row of one training."""
    told: dict[str, Any] = {"total_steps": STEPS[variant.agent]}
    if variant.kind == "limit":
        env, told["cost_limit"] = anmjax.make(task, reward="energy"), variant.value
    else:
        env = anmjax.make(task, lamb=variant.value)
    if options.smoke:
        told |= {"total_steps": 4096, "num_envs": 64, "horizon": 4}
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        config = AGENTS[variant.agent].config()(**told)
        training = train(env, config, seed=options.seed, out=folder, task=task, quiet=True)
        if training.interrupted:
            sys.exit("stopped in the middle of a training, which has no row")
        seconds = time.perf_counter() - begun
        lines = (Path(folder) / METRICS_FILE).read_text().splitlines()
    costs = [json.loads(line).get("cost") for line in lines]
    found: dict[str, Any] = {"task": task, **variant._asdict(), "seed": options.seed, "seconds": seconds}
    if variant.kind == "limit":
        last = costs[int((1 - LAST) * len(costs)) :]
        found["cost_of_training"] = float(np.mean(last))
    return found | score(env, training.policy, options.horizon)


def place(row: dict[str, Any]) -> tuple[Any, ...]:
    """Where a row belongs among those of its task: what is told of violations, learner, how much."""
    if row["kind"] is None:
        return (0,)
    return ("limit", "weight").index(row["kind"]) + 1, list(STEPS).index(row["agent"]), row["value"]


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    command_line.mesh_of(options.devices)
    begun = time.monotonic()
    rows, earlier = record.gone_on_with(options.resume)

    def stands(task: str, *variant: str | float | None) -> bool:
        return any((row["task"], row["agent"], row["kind"], row["value"]) == (task, *variant) for row in rows)

    variants = [
        Variant(agent, kind, value)
        for kind, agents, values in (
            ("limit", options.agents, options.limits),
            ("weight", options.weighted, options.weights),
        )
        for agent in agents
        for value in values
    ]
    for task in options.tasks:
        env = anmjax.make(task)
        for name in ("do-nothing", "mpc-perfect")[: 1 if options.smoke else None]:
            if stands(task, name, None, None):
                continue
            scored = score(env, BASELINES[name](env), options.horizon)
            rows.append({"task": task, "agent": name, "kind": None, "value": None, **scored})
            print(f"{task} {name}: {scored}", flush=True)
        for variant in variants:
            if stands(task, *variant):
                continue
            if time.monotonic() - begun > options.budget:
                print(f"{task} {variant}: not begun, time is up", flush=True)
                continue
            rows.append(measure(task, variant, options))
            print({name: rows[-1][name] for name in rows[-1]}, flush=True)
            if options.out or not options.smoke:  # what there is, should it be stopped
                rows.sort(key=place)
                told = {"steps": STEPS, "horizon": options.horizon, "earlier": earlier}
                record.write(record.make("training.constrained", rows, **told), options.out)


if __name__ == "__main__":
    main()
