"""Which options does a learner learn best with? Every default beside its neighbours, on all tasks at once.

Each variant differs from the defaults in one option. ``benchmarks.training.returns`` trains it on every task
with several seeds, a process with one core and one device a variant and task, for fewer steps than the
defaults take: schedules are shares of a training, so a short one has them all. A default stands where no
neighbour is better on both tasks by more than seeds differ.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import command_line, record

ROOT = Path(__file__).parents[2]
TASKS = ("ANM6Easy-v0", "IEEE33Easy-v0")
# By agent, what else the options might be: the likeliest to matter first.
NEIGHBOURS: dict[str, tuple[str, ...]] = {
    "shac": (
        *("learning_rate=0.001", "learning_rate=0.004", "horizon=16", "horizon=64"),
        *("num_envs=64", "num_envs=256", "noise=0.0", "noise=0.1", "layer_norm=false"),
        *("hidden_sizes=[128,128]", "average_rate=0.005", "average_rate=0.1", "final_learning_rate=0.2"),
        *("exploring_starts=0.0", "td_lambda=0.8", 'actor="gaussian"', "num_critics=2"),
    ),
    "ppo": (
        *("layer_norm=false", "learning_rate=0.001", "learning_rate=0.006"),
        *("num_epochs=4", "gae_lambda=0.9", "hidden_sizes=[128,128]"),
    ),
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training.search", description=__doc__)
    parser.add_argument("--agent", choices=NEIGHBOURS, default="shac")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="registered tasks")
    parser.add_argument("--variants", nargs="+", metavar="NAME=VALUE", help="one option each (default: ours)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=4_000_000, help="environment steps of a training")
    parser.add_argument("--cores", nargs="+", type=int, help="cores to train on (default: all of them)")
    parser.add_argument("--resume", type=Path, help="record of a run that was stopped: its trainings stand")
    command_line.add_budget(parser)
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    options.variants = ["", *(options.variants or NEIGHBOURS[options.agent])]
    options.cores = options.cores or sorted(os.sched_getaffinity(0))
    if options.smoke:
        options.variants, options.tasks, options.seeds = [""], [TASKS[0]], [0]
    return options


def train(job: tuple[str, str], core: int, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one variant's trainings on a task, one a seed; none where it failed."""
    variant, task = job
    file = folder / f"{core}.json"  # one training at a time
    begin = f"import os, runpy; os.sched_setaffinity(0, {{{core}}}); "
    begin += "runpy.run_module('benchmarks.training.returns', run_name='__main__')"
    program = [sys.executable, "-c", begin, "--out", str(file), "--devices", "1"]
    program += ["--agents", options.agent, "--tasks", task, "--points", "1"]
    program += ["--seeds", *map(str, options.seeds), *(["--smoke"] if options.smoke else [])]
    settings = [f"total_steps={options.steps}"] * (not options.smoke) + [variant] * bool(variant)
    done = subprocess.run(
        [*program, "--", *settings],
        cwd=ROOT,
        # XLA makes as many threads as it may use cores. An accelerator is left to others.
        env=os.environ | {"JAX_PLATFORMS": "cpu", "NPROC": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        print(f"{task} {variant or 'defaults'}: failed: {done.stderr.strip()[-300:]}", flush=True)
        return []
    rows = json.loads(file.read_text())["rows"]
    kept = ("task", "agent", "seed", "total_s", "return", "cost_of_last_day", "violating_steps_of_last_day")
    return [{"variant": variant, **{name: row[name] for name in kept}} for row in rows]


def main() -> None:
    """Runs the search; leaves with 1 where a training failed."""
    options = parse()
    rows, earlier = record.gone_on_with(options.resume)
    had = {(row["variant"], row["task"]) for row in rows}
    jobs = [(variant, task) for variant in options.variants for task in options.tasks]
    jobs = [job for job in jobs if job not in had]
    free: queue.Queue[int] = queue.Queue()
    for core in options.cores:
        free.put(core)
    begun, late, failed = time.monotonic(), [], 0
    with tempfile.TemporaryDirectory() as scratch:

        def work(job: tuple[str, str]) -> list[dict[str, Any]] | None:
            core = free.get()
            try:
                if time.monotonic() - begun > options.budget:
                    return None
                return train(job, core, Path(scratch), options)
            finally:
                free.put(core)

        with concurrent.futures.ThreadPoolExecutor(len(options.cores)) as pool:
            futures = {pool.submit(work, job): job for job in jobs}
            for future in concurrent.futures.as_completed(futures):
                variant, task = futures[future]
                found = future.result()
                if found is None:
                    late.append(f"{task} {variant or 'defaults'}")
                    continue
                failed += not found
                rows += found
                seeds = ", ".join(f"{row['return']:.3f}" for row in found)
                print(
                    f"{time.monotonic() - begun:.0f} s: {task} {variant or 'defaults'}: {seeds}", flush=True
                )
                rows.sort(key=lambda row: (options.variants.index(row["variant"]), row["task"], row["seed"]))
                if options.out or not options.smoke:  # what there is, should the search be stopped
                    told = {"steps": options.steps, "not_begun": late, "earlier": earlier}
                    made = record.make("training.search", rows, **told)
                    record.write(made, options.out)
    if failed:
        sys.exit(f"{failed} trainings failed")


if __name__ == "__main__":
    main()
