"""What does ``anmjax train`` with its defaults reach, and in what time?

Every seed is trained by the command line in a process of its own, as a user would: start-up and compilation
count. The policy of each checkpoint is then evaluated, deterministic, from the task's own starts, beside the
baselines. Options after ``--`` go to ``anmjax train``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import anmjax
from anmjax.agents import baselines, evaluation, ppo
from anmjax.agents.training.run_folder import CHECKPOINT_FILE, METRICS_FILE
from benchmarks.harness import command_line, record

CURVE = ("env_steps", "seconds", "episode_return", "violation_share")
CURVE_POINTS = 60
# Those that neither learn nor plan.
BASELINES = ("random", "do-nothing")
SMOKE = ("--total-steps", "8192", "--num-envs", "64")
SMOKE_HORIZON = 96


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--task", default="ANM6Easy-v0", help="registered task (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="trainings, with seeds 0, 1, ...")
    command_line.add_record(parser)
    parser.add_argument("options", nargs="*", help="for 'anmjax train'; begin them with --")
    parsed = parser.parse_args(arguments)
    if parsed.smoke:
        parsed.seeds, parsed.options = 1, [*parsed.options, *SMOKE]
    return parsed


def train(task: str, seed: int, options: Sequence[str], out: Path) -> float:
    """Runs ``anmjax train`` in a fresh process.

    Returns:
      Seconds from its start to its end.

    Raises:
      subprocess.CalledProcessError: it failed.
    """
    command = [
        sys.executable,
        "-m",
        "anmjax.cli",
        "train",
        task,
        "--seed",
        str(seed),
        "--out",
        str(out),
        *options,
    ]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def curve(file: Path) -> tuple[list[dict[str, float]], float]:
    """The learning curve, thinned, and the median steps per second of the compiled chunks."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    chosen = np.unique(np.linspace(0, len(rows) - 1, CURVE_POINTS).round().astype(int))
    return (
        [{name: rows[i][name] for name in CURVE} for i in chosen],
        float(np.median([row["steps_per_second"] for row in rows])),
    )


def measure(env: Any, seed: int, seconds: float, out: Path, horizon: int) -> dict[str, Any]:
    """Evaluates what a training left in its folder: a row of the record."""
    checkpoint = ppo.load(out / CHECKPOINT_FILE)
    points, compiled_rate = curve(out / METRICS_FILE)
    result = evaluated(env, ppo.restore_policy(checkpoint, env), horizon)
    print(
        f"seed {seed}: return {result['discounted_return']:.2f} +- {result['standard_error']:.2f}", flush=True
    )
    return {
        "seed": seed,
        "env_steps": checkpoint.env_steps,
        "seconds": seconds,
        "steps_per_s": checkpoint.env_steps / seconds,
        "steps_per_s_compiled": compiled_rate,
        "evaluation": result,
        "curve": points,
    }


def evaluated(env: Any, policy: Any, horizon: int) -> dict[str, Any]:
    """The evaluation protocol from the task's own starts."""
    starts, described = evaluation.starts_of(env, jax.random.key(0))
    outcome = evaluation.evaluate(env, policy, starts, horizon=horizon, described=described)
    return outcome.to_dict()


def main() -> None:
    """Runs the benchmark."""
    options = parse(sys.argv[1:])
    horizon = SMOKE_HORIZON if options.smoke else evaluation.HORIZON
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / str(seed) for seed in range(options.seeds)]
        # All trainings come first, while this process has touched no device: each has the machine to itself.
        seconds = [train(options.task, seed, options.options, out) for seed, out in enumerate(folders)]
        env = anmjax.make(options.task)
        rows = [measure(env, seed, seconds[seed], out, horizon) for seed, out in enumerate(folders)]
    summary = {
        "task": options.task,
        "load_average_before": load,
        "options": options.options,
        "baselines": {name: evaluated(env, baselines.BASELINES[name](env), horizon) for name in BASELINES},
    }
    made = record.make("training", rows, **summary)
    if options.out or not options.smoke:
        record.write(made, options.out)


if __name__ == "__main__":
    main()
