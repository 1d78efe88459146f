"""What does every baseline and every learner reach on every task of the suite, trained on and held out?

The baselines stand as they are; each learner is trained on the training part, once a seed, with its defaults
but for the number of steps, which is less on larger grids. Every policy is then scored over a day from the
same starts of each part: of the training part, of what is held out, and of its hard days where the task has
them. A task without parts is scored on the starts that it has. Options after ``--`` are those of the
learners' configs, as name=value.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

import anmjax
from anmjax.agents.baselines import BASELINES
from anmjax.agents.evaluation import evaluate, starts_of
from anmjax.agents.mpc import MPCPerfect
from anmjax.agents.registry import AGENTS
from anmjax.agents.training.loop import train
from anmjax.tasks.grid_task import GridTask
from benchmarks.harness import command_line, record
from benchmarks.policies.tables import shown

POLICIES = ("random", "do-nothing", "mpc-constant", "mpc-perfect", "mpc-perfect-ac")
LEARNERS = ("ppo", "shac")
SPLITS = ("train", "test", "stress", "low_sun")
WHOLE = "all"  # the part of a task that has none


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies.suite", description=__doc__)
    tasks = sorted(anmjax.registered_tasks())
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks, help="default: all")
    known = [*BASELINES, *AGENTS]
    parser.add_argument("--policies", nargs="+", choices=known, default=[*POLICIES, *LEARNERS])
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of each learner")
    parser.add_argument(
        "--bus-steps",
        type=float,
        default=120e6,
        metavar="N",
        help="a learner trains for N environment steps over the buses of the grid (%(default)g)",
    )
    parser.add_argument("--every", type=int, default=8, metavar="K", help="of a part's starts (%(default)s)")
    parser.add_argument(
        "--ac-steps", type=int, default=8, metavar="N", help="planned ahead by mpc-perfect-ac (%(default)s)"
    )
    parser.add_argument(
        "--resume",
        nargs="+",
        type=Path,
        default=[],
        help="records of runs that were stopped, or had some of the tasks: what is there stands, the first's",
    )
    command_line.add_devices(parser)
    command_line.add_record(parser)
    parser.add_argument("options", nargs="*", metavar="NAME=VALUE", help="options of the learners, after --")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.tasks, options.policies, options.splits = ["IEEE33-v0"], ["do-nothing"], ["test"]
        options.every = 48
    return options


def parts_of(env: Any, splits: Sequence[str]) -> dict[str, Any]:
    """The task of each split, of a task that has any."""
    if not isinstance(env, GridTask):
        return {WHOLE: env}
    return {split: env.replace(split=split) for split in splits}


def policies_of(env: Any, options: argparse.Namespace) -> Iterator[tuple[str, int | None, int | None, Any]]:
    """Name, seed and steps of each policy, and what makes it: a learner trains on ``env`` then."""
    chosen = {"total_steps": str(round(options.bus_steps / env.network.n_bus))}
    chosen |= dict(pair.split("=", 1) for pair in options.options)
    for name in options.policies:
        if name == "mpc-perfect-ac":  # as the baseline, but for a plan that takes seconds on large grids
            short = {"planning_steps": options.ac_steps, "num_linearisations": 1, "safety_margin": 0.995}
            yield name, None, None, lambda short=short: lambda task: MPCPerfect(task, ac=True, **short)
            continue
        if name in BASELINES:
            yield name, None, None, lambda name=name: BASELINES[name]
            continue
        config = AGENTS[name].config()(**{key: json.loads(value) for key, value in chosen.items()})
        for seed in options.seeds:

            def learned(config: Any = config, seed: int = seed) -> Any:
                policy = train(env, config, seed=seed, quiet=True).policy
                return lambda _: policy

            yield name, seed, config.total_steps, learned


def measure(name: str, options: argparse.Namespace, done: set[Any]) -> Iterator[dict[str, Any]]:
    """The rows of one task, a policy and a part each, but those that are done."""
    env: Any = anmjax.make(name)
    parts = parts_of(env, options.splits)
    for policy, seed, total_steps, make in policies_of(env, options):
        missing = [part for part in parts if (name, policy, seed, part) not in done]
        if not missing:
            continue
        begun = time.perf_counter()
        made = make()
        training_s = time.perf_counter() - begun
        for part in missing:
            task = parts[part]
            starts, described = starts_of(task, jax.random.key(0))
            starts = jax.tree.map(lambda x: x[:: options.every], starts)
            horizon = max(1, round(24 / float(task.delta_t)))
            begun = time.perf_counter()
            result = evaluate(task, made(task), starts, horizon=horizon, described=described)
            yield {
                "task": name,
                "policy": policy,
                "seed": seed,
                "part": part,
                "total_steps": total_steps,
                "training_s": None if seed is None else training_s,
                "seconds": time.perf_counter() - begun,
                "evaluation": result.to_dict(),
            }


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What there is one row of."""
    return tuple(row[name] for name in ("task", "policy", "seed", "part"))


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    command_line.mesh_of(options.devices)
    rows: list[dict[str, Any]] = []
    earlier: list[dict[str, Any]] = []
    for path in options.resume:
        more, told = record.gone_on_with(path)
        have = {key_of(row) for row in rows}
        rows, earlier = [*rows, *(row for row in more if key_of(row) not in have)], [*earlier, *told]
    done = {key_of(row) for row in rows}

    def write() -> None:
        if options.out or not options.smoke:
            record.write(record.make("policies.suite", rows, earlier=earlier), options.out)

    for name in options.tasks:
        for row in measure(name, options, done):
            rows.append(row)
            result = row["evaluation"]
            print(
                f"{name} {row['policy']}{'' if row['seed'] is None else row['seed']} {row['part']}: "
                f"{shown(result['cost_per_day'])} a day, {result['violation_share']:.2%} violate, "
                f"{result['collapses']} collapses, {row['seconds']:.0f} s",
                flush=True,
            )
            write()  # what there is, should it be stopped
        jax.clear_caches()  # no two tasks share a program
    write()  # all may have been there


if __name__ == "__main__":
    main()
