"""Everything worth measuring on a GPU machine, in one go of less than nine and a half minutes.

Each part runs in a process of its own under a time limit: the tests marked ``gpu``, power flows of several
networks, projections, the safety layer, plans, the sweep of ``env_step`` up to a million grids, and PPO with
many grids. The records land in ``benchmarks/results``, or in ``--out``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PLATFORM = "import jax; print(jax.devices()[0].platform)"


@dataclass(frozen=True)
class Part:
    """One process: its name, the module to run, its arguments and its time limit."""

    name: str
    module: str
    arguments: tuple[str, ...]
    limit_s: int


BATCHES = tuple(str(2**i) for i in range(12, 21, 2))
MANY_GRIDS = ("--num-envs", "16384", "--total-steps", "200_000_000")

POWER_FLOW = (
    *("--networks", "case33bw", "case118", "case1354pegase", "case2869pegase", "cigre_lv"),
    *("--batches", "1024", "16384", "131072", "--max-buses", "25_000_000"),
    *("--what", "forward", "with gradient", "--no-peers", "--seconds", "0.2", "--budget", "80"),
)
PROJECTION = (
    *("--batches", "1024", "16384", "131072", "--points", "1_000_000", "--max-numbers", "50_000_000"),
    *("--no-peers", "--budget", "35"),
)
SAFETY = (
    *("--tasks", "ANM6Easy-v0", "--layers", "perfect", "--search-every", "8"),
    *("--batches", "1024", "16384", "131072", "--seconds", "0.2", "--repeats", "3"),
)
MPC = (
    *("--steps", "32", "--batch", "16384", "--dtypes", "float32"),
    *("--no-peer", "--seconds", "0.2", "--repeats", "3"),
)

# The limits add up to less than nine and a half minutes.
PARTS = (
    Part("checks", "pytest", ("-m", "gpu", "-n", "0", "-q"), 70),
    Part("power_flow", "benchmarks.power_flow", POWER_FLOW, 130),
    Part("projection", "benchmarks.projection", PROJECTION, 55),
    Part("safety", "benchmarks.safety", SAFETY, 50),
    Part("mpc", "benchmarks.mpc", MPC, 45),
    Part("env_step", "benchmarks.env_step", ("--no-peer", "--seconds", "0.2", "--batch", *BATCHES), 115),
    Part("training", "benchmarks.training", ("--seeds", "1", "--", *MANY_GRIDS), 100),
)


def platform() -> str:
    """The platform of JAX's first device, asked in a process that then lets go of the device."""
    done = subprocess.run([sys.executable, "-c", PLATFORM], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def run(part: Part, out: Path | None) -> str:
    """Runs one part and says how it ended."""
    to_file = (
        ["--out", str(out / f"{part.name}.json")] if out and part.module.startswith("benchmarks") else []
    )
    # In front of the rest, which may end in options for others.
    command = [sys.executable, "-m", part.module, *to_file, *part.arguments]
    print(f"\n=== {' '.join(command[1:])}", flush=True)
    start = time.perf_counter()
    try:
        code = subprocess.run(command, timeout=part.limit_s, check=False).returncode
        outcome = "ok" if code == 0 else f"FAILED, exit status {code}"
    except subprocess.TimeoutExpired:
        outcome = f"STOPPED after {part.limit_s} s"
    return f"{part.name}: {outcome}, {time.perf_counter() - start:.0f} s"


def main() -> None:
    """Runs all parts; fails if any did."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for the records (default: benchmarks/results)")
    parser.add_argument(
        "--any-platform", action="store_true", help="run without a GPU too, to try the script"
    )
    options = parser.parse_args()
    if (found := platform()) != "gpu" and not options.any_platform:
        sys.exit(
            f"JAX's first device here is a {found}: this needs a GPU, and jax with CUDA (the cuda extra)"
        )
    outcomes = [run(part, options.out) for part in PARTS]
    print("\n" + "\n".join(outcomes))
    if not all(": ok" in outcome for outcome in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    main()
