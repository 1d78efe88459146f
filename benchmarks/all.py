"""How fast is the whole? One command measures it and brings plots and tables up to date.

On a CPU: environment steps, PPO, how it scales over devices and processes, and what the programs come to on
accelerators, where their compilers are installed. On a GPU, in less than ten
minutes, everything that is worth measuring there: the tests marked ``gpu`` as well, power flows, projections,
the safety layer, plans, and a training with many grids. Each part runs in a process of its own under a time
limit; their records go, together with how each part ended, into one.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import record

PLATFORM = "import jax; print(jax.devices()[0].platform)"


@dataclass(frozen=True)
class Part:
    """One process: its name, the module to run, its arguments and its time limit."""

    name: str
    module: str
    arguments: tuple[str, ...]
    limit_s: int


ON_CPU = (
    Part("env_step", "benchmarks.env_step", (), 1800),
    Part("ppo", "benchmarks.training.ppo", (), 600),
    Part("scaling", "benchmarks.training.scaling", (), 900),
    Part("accelerators", "benchmarks.accelerators", (), 7200),
)

PPO = (
    *("--agents", "ppo", "--tasks", "ANM6Easy-v0", "--seeds", "0", "--points", "3"),
    *("--", "num_envs=16384", "total_steps=200000000"),
)
SHAC = ("--agents", "shac", "--tasks", "ANM6Easy-v0", "--seeds", "0", "--points", "3")
POWER_FLOW = (
    *("--networks", "case33bw", "case118", "case1354pegase", "case2869pegase", "cigre_lv"),
    *("--batches", "1024", "16384", "131072", "--max-buses", "25_000_000"),
    *("--what", "forward", "with gradient", "--no-peers", "--seconds", "0.2", "--budget", "60"),
)
PROJECTION = (
    *("--batches", "1024", "16384", "131072", "--points", "1_000_000", "--max-numbers", "50_000_000"),
    *("--no-peers", "--budget", "25"),
)
SAFETY = (
    *("--tasks", "ANM6Easy-v0", "--layers", "perfect", "--search-every", "8"),
    *("--batches", "1024", "16384", "131072", "--seconds", "0.2", "--repeats", "3"),
)
MPC = (
    *("--steps", "32", "--batch", "16384", "--dtypes", "float32"),
    *("--no-peer", "--seconds", "0.2", "--repeats", "3"),
)
ENV_STEP = (
    *("--batch", "1", "1024", "16384", "65536", "262144", "1048576"),
    *("--no-peer", "--seconds", "0.2", "--budget", "70"),
)
# The limits add up to less than ten minutes.
ON_GPU = (
    Part("checks", "pytest", ("-m", "gpu", "-n", "0", "-q"), 45),
    Part("env_step", "benchmarks.env_step", ENV_STEP, 100),
    Part("ppo", "benchmarks.training.ppo", ("--seconds", "0.5", "--repeats", "3", "--budget", "55"), 80),
    Part("ppo returns", "benchmarks.training.returns", PPO, 65),
    Part("shac", "benchmarks.training.returns", SHAC, 90),
    Part("power_flow", "benchmarks.power_flow", POWER_FLOW, 80),
    Part("mpc", "benchmarks.policies.mpc", MPC, 35),
    Part("projection", "benchmarks.projection", PROJECTION, 35),
    Part("safety", "benchmarks.projection.safety", SAFETY, 60),
)


def platform() -> str:
    """The platform of JAX's first device, asked in a process that then lets go of the device."""
    done = subprocess.run([sys.executable, "-c", PLATFORM], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def run(part: Part, folder: Path, extra: tuple[str, ...]) -> dict[str, Any]:
    """Runs one part: how it ended, in how many seconds, and its record if it left one."""
    file = folder / f"{part.name}.json"
    to_file = ["--out", str(file), *extra] if part.module.startswith("benchmarks") else []
    # In front of the rest, which may end in options for others.
    command = [sys.executable, "-m", part.module, *to_file, *part.arguments]
    print(f"\n=== {' '.join(command[1:])}", flush=True)
    start = time.perf_counter()
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait(part.limit_s)
        outcome = "ok" if code == 0 else f"failed, exit status {code}"
    except subprocess.TimeoutExpired:
        outcome = f"stopped after {part.limit_s} s"
        # With whatever it has started: a training that goes on would keep the memory of the device.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    made = json.loads(file.read_text()) if file.exists() else None
    return {"part": part.name, "outcome": outcome, "seconds": time.perf_counter() - start, "record": made}


def draw_and_write() -> None:
    """Draws the plots and writes the tables of the newest records."""
    for module in ("benchmarks.env_step.plot", "benchmarks.tables"):
        subprocess.run([sys.executable, "-m", module], check=True)


def main() -> None:
    """Runs all parts; fails if any did."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.all", description=__doc__)
    parser.add_argument("--parts", nargs="+", metavar="PART", help="of those for the platform (default: all)")
    parser.add_argument("--platform", choices=("cpu", "gpu"), help="whose parts to run (default: JAX's own)")
    parser.add_argument("--out", type=Path, help="where to write the record; no plots and tables then")
    parser.add_argument("--smoke", action="store_true", help="try every part, without a record")
    options = parser.parse_args()
    parts = {part.name: part for part in (ON_CPU if (options.platform or platform()) == "cpu" else ON_GPU)}
    if unknown := set(options.parts or ()) - set(parts):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; choose from {', '.join(parts)}")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        extra = ("--smoke",) if options.smoke else ()
        rows = []
        for name in options.parts or parts:
            rows.append(run(parts[name], Path(scratch), extra))
            if not options.smoke:  # what there is so far, should the machine be taken away
                made = record.make("all", rows, load_average_before=load)
                record.write(made, options.out)
    print("\n" + "\n".join(f"{row['part']}: {row['outcome']}, {row['seconds']:.0f} s" for row in rows))
    if not options.smoke and not options.out:
        draw_and_write()
    if any(row["outcome"] != "ok" for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
