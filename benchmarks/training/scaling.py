"""Does a training on many devices, or in several processes, learn the same, and how much faster is it?

``anmjax train`` itself, once for each way to spread the grids: one device, one a core, eight devices made of
the CPU, and two processes that share one mesh. The speed is the median over the compiled chunks. The learning
curves are compared row by row: in float64, where they have to agree to rounding, and in float32, where
rounding grows from update to update.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anmjax.agents.training.run_folder import METRICS_FILE
from benchmarks.harness import command_line, record

TASK = "ANM6Easy-v0"
# In a process of its own, which then lets go of the devices.
FIND = "import jax; print(jax.devices()[0].platform, len(jax.devices()))"
CLOCKS = ("seconds", "steps_per_second")


@dataclass(frozen=True)
class Spread:
    """A way to spread the grids."""

    devices: int  # of each process
    processes: int = 1


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training.scaling", description=__doc__)
    parser.add_argument(
        "--updates", type=int, default=160, help="updates of a training (default: %(default)s)"
    )
    parser.add_argument(
        "--compared", type=int, default=20, help="of them compared in float64 (default: %(default)s)"
    )
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    options.num_envs, options.spreads = 512, spreads()
    if options.smoke:
        options.updates = options.compared = 2
        options.num_envs, options.spreads = 64, [Spread(1), Spread(1, 2)]
    return options


def spreads() -> list[Spread]:
    """The ways to spread the grids here: over GPUs as many as there are, of a CPU also more than cores."""
    done = subprocess.run([sys.executable, "-c", FIND], capture_output=True, text=True, check=True)
    platform, count = done.stdout.split()
    if platform != "cpu":
        return [Spread(2**i) for i in range(int(count).bit_length())]
    return [Spread(1), Spread(record.num_cores()), Spread(8), Spread(1, 2)]


def train(spread: Spread, updates: int, num_envs: int, wide: bool, out: Path) -> list[dict[str, float]]:
    """Trains in fresh processes.

    Returns:
      The learning curve.

    Raises:
      RuntimeError: a process failed.
    """
    words = ["train", TASK, "--quiet", "--num-envs", num_envs, "--total-steps", updates * 32 * num_envs]
    words += ["--devices", spread.devices, "--updates-per-chunk", max(1, updates // 10), "--out", out]
    if spread.processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        words += ["--coordinator", address, "--num-processes", spread.processes]
    several = [["--process-id", i] if spread.processes > 1 else [] for i in range(spread.processes)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "anmjax.cli", *map(str, [*words, *own])],
            env=os.environ | ({"JAX_ENABLE_X64": "1"} if wide else {}),
            stdout=subprocess.DEVNULL,
        )
        for own in several
    ]
    codes = [process.wait() for process in running]
    if any(codes):
        raise RuntimeError(f"anmjax {' '.join(map(str, words))} failed")
    return [json.loads(line) for line in (out / METRICS_FILE).read_text().splitlines()]


def difference(curve: Sequence[dict[str, float]], first: Sequence[dict[str, float]]) -> list[float]:
    """By row, the largest difference of any entry, relative to the entry's largest size in ``first``."""
    names = [name for name in first[0] if name not in CLOCKS]
    ours, theirs = (
        np.array([[row[name] for name in names] for row in rows], float) for rows in (curve, first)
    )
    scale = np.maximum(np.nanmax(np.abs(theirs), axis=0), 1e-12)
    return [float(x) for x in np.nanmax(np.abs(ours - theirs) / scale, axis=1)]


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    load = os.getloadavg()[0]
    rows: list[dict[str, Any]] = []
    curves: dict[bool, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for i, spread in enumerate(options.spreads):
            row: dict[str, Any] = {"devices": spread.devices, "processes": spread.processes}
            for wide, updates in ((False, options.updates), (True, options.compared)):
                out = Path(scratch) / f"{i}-{wide}"
                curve = train(spread, updates, options.num_envs, wide, out)
                first = curves.setdefault(wide, curve)
                row["float64" if wide else "float32"] = {
                    "updates": updates,
                    "steps_per_s": float(
                        np.median([each["steps_per_second"] for each in curve[1:] or curve])
                    ),
                    "episode_return": [each["episode_return"] for each in curve],
                    "difference": difference(curve, first),
                }
            rows.append(row)
            print(
                f"{spread.processes} processes, {spread.devices} devices each: "
                f"{row['float32']['steps_per_s']:,.0f} env steps/s, curve off by "
                f"{max(row['float64']['difference']):.1e} in float64",
                flush=True,
            )
    made = record.make(
        "training.scaling", rows, task=TASK, num_envs=options.num_envs, load_average_before=load
    )
    if options.out or not options.smoke:
        record.write(made, options.out)


if __name__ == "__main__":
    main()
