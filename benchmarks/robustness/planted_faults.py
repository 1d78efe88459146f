"""Do the tests notice a fault in what they are about?

Faults are planted one at a time in the files that numbers come from (equations, solver, simulator, rewards,
observations, wrappers, advantages, quadratic programs), in a copy of the working tree, and the tests of that
file, but for slow ones, are run until one fails. What no test notices is listed: each is a change without an
effect, which ``explained_faults.json`` says of it, or a gap. Seeded: the same command plants the same faults.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import command_line, record
from benchmarks.robustness.faults import Fault, faults

ROOT = Path(__file__).parents[2]
EXPLAINED = Path(__file__).parent / "explained_faults.json"


def _power_flow(*names: str) -> tuple[str, ...]:
    return tuple(f"powerflow/test_{name}.py" for name in names)


STEP = ("parity/test_transition.py", "envs/test_step.py", "envs/test_gradients.py", "parity/test_anm6easy.py")
QP = ("qp/test_qp.py", "qp/test_qp_bounds.py", "qp/test_qp_derivatives.py", "qp/test_stages.py")
# By file, the tests that are about it, the quickest first.
TESTS: dict[str, tuple[str, ...]] = {
    "powerflow/equations.py": _power_flow("equations", "updates", "chord", "slacks", "start_and_lanes"),
    "powerflow/admittance.py": _power_flow("two_ports", "equations", "slacks", "power_flow"),
    "powerflow/jacobian.py": _power_flow("equations", "updates", "chord", "slacks", "current_loads"),
    "powerflow/newton.py": _power_flow("updates", "chord", "start_and_lanes", "slacks", "power_flow"),
    "powerflow/chord.py": _power_flow("chord", "start_and_lanes"),
    "powerflow/solve.py": (
        *_power_flow("block_sizes", "updates", "start_and_lanes", "outages", "slacks", "power_flow"),
    ),
    "powerflow/implicit.py": _power_flow("derivatives", "slacks", "current_loads", "power_flow"),
    "powerflow/branches.py": (*_power_flow("quantities", "energy_balance"), *STEP),
    "projection/device_region.py": (
        "projection/test_device_region.py",
        "projection/test_device_region_as_program.py",
    ),
    "envs/transition.py": STEP,
    "envs/reward.py": ("envs/test_energy_loss.py", "envs/test_costs.py", *STEP),
    "envs/observation.py": ("parity/test_observation.py", *STEP),
    "wrappers/auto_reset.py": ("wrappers/test_wrappers.py",),
    "wrappers/time_limit.py": ("wrappers/test_wrappers.py",),
    "wrappers/normalize.py": ("wrappers/test_wrappers.py", "wrappers/test_running_statistics.py"),
    "agents/ppo/gae.py": ("agents/test_gae.py",),
    "agents/ppo/loss.py": ("agents/test_ppo_loss.py", "agents/test_ppo_probes.py"),
    "qp/solve_qp.py": QP,
    "qp/interior_point.py": QP,
    "qp/homogeneous.py": QP,
    "qp/kkt.py": QP,
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.robustness.planted_faults", description=__doc__
    )
    parser.add_argument("--files", nargs="+", choices=TESTS, default=list(TESTS), metavar="FILE")
    parser.add_argument("--number", type=int, default=200, help="faults (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=record.num_cores())
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for the tests of one fault")
    parser.add_argument("--resume", type=Path, help="record of a run that was stopped: its faults stand")
    parser.add_argument(
        "--explained", type=Path, default=EXPLAINED, help="JSON: by 'file: what', why no test can notice it"
    )
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.files, options.number, options.workers = ["agents/ppo/gae.py"], 2, 1
    return options


def drawn(files: Sequence[str], number: int, seed: int) -> list[tuple[str, Fault]]:
    """So many faults, as many from every file as there are, without one twice."""
    rng = np.random.default_rng(seed)
    of_file = {}
    for file in files:
        found = list(faults((ROOT / "anmjax" / file).read_text(encoding="utf-8")))
        of_file[file] = [found[i] for i in rng.permutation(len(found))]
    chosen: list[tuple[str, Fault]] = []
    while len(chosen) < number and any(of_file.values()):
        for file, left in of_file.items():
            if left and len(chosen) < number:
                chosen.append((file, left.pop()))
    return chosen


class Workshop:
    """A copy of the working tree, in which faults are planted and mended again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("anmjax", "tests", "benchmarks"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)

    def run(self, tests: Sequence[str], limit: float) -> tuple[str, str]:
        """Runs tests up to the first that fails: what became of them, and which failed."""
        program = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider"]
        # Programs that the fault leaves as they were need no second compilation.
        cache = {"JAX_COMPILATION_CACHE_DIR": str(self.folder / "compiled"), "PYTHONPATH": str(self.folder)}
        cache |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2", "NPROC": "1", "OMP_NUM_THREADS": "1"}
        cache |= {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # compiling is most of the time
        paths = [f"tests/{test}" for test in dict.fromkeys(tests)]
        try:
            done = subprocess.run(
                [*program, "-m", "not gpu and not slow and not pages and not long", *paths],
                cwd=self.folder,
                env=os.environ | cache,
                capture_output=True,
                text=True,
                timeout=limit,
            )
        except subprocess.TimeoutExpired:
            return "out of time", ""
        if done.returncode == 0:
            return "passed", ""
        named = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return "failed", named[0] if named else done.stdout[-300:]

    def plant(self, file: str, fault: Fault, limit: float) -> dict[str, Any]:
        """What becomes of the tests of a file with a fault in it."""
        path = self.folder / "anmjax" / file
        sound, begun = path.read_text(encoding="utf-8"), time.monotonic()
        path.write_text(fault.source, encoding="utf-8")
        try:
            outcome, test = self.run(TESTS[file], limit)
        finally:
            path.write_text(sound, encoding="utf-8")
        return {
            "file": file,
            "line": fault.line,
            "what": fault.what,
            # A loop without an end is noticed too.
            "caught": outcome != "passed",
            "by": test or outcome,
            "seconds": round(time.monotonic() - begun, 1),
        }


def row_of(fate: dict[str, Any], explained: dict[str, str]) -> dict[str, Any]:
    """The row of a fault: what became of it, and why, if that is known."""
    return fate | {"explained": explained.get(f"{fate['file']}: {fate['what']}", "")}


def main() -> None:
    """Runs the benchmark; leaves with 1 where the tests fail without a fault."""
    options = parse()
    explained = json.loads(options.explained.read_text())
    before, earlier = record.gone_on_with(options.resume)
    done = {(row["file"], row["what"]): row_of(row, explained) for row in before}
    planned = drawn(options.files, options.number, options.seed)
    rows = [done[file, fault.what] for file, fault in planned if (file, fault.what) in done]
    left = [(file, fault) for file, fault in planned if (file, fault.what) not in done]

    def write() -> None:
        if options.out or not options.smoke:
            caught = sum(row["caught"] for row in rows)
            made = record.make("robustness.planted_faults", rows, caught=caught, planted=len(rows))
            record.write(made | {"of": len(planned), "earlier": earlier}, options.out)

    with tempfile.TemporaryDirectory(prefix="planted-") as scratch:
        shops: queue.Queue[Workshop] = queue.Queue()
        for i in range(options.workers):
            shops.put(Workshop(Path(scratch) / str(i)))

        def work(job: tuple[str, Fault] | str) -> dict[str, Any]:
            shop = shops.get()
            try:
                if isinstance(job, str):
                    outcome, test = shop.run(TESTS[job], 4 * options.limit)
                    return {"file": job, "outcome": outcome, "by": test}
                return shop.plant(*job, options.limit)
            finally:
                shops.put(shop)

        with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
            # One file for every list of tests; those of a run that goes on were sound.
            lists = {} if options.resume else {TESTS[file]: file for file in options.files}
            for sound in pool.map(work, lists.values()):
                if sound["outcome"] != "passed":
                    sys.exit(f"without a fault: {sound['file']}: tests {sound['outcome']}: {sound['by']}")
            for future in concurrent.futures.as_completed([pool.submit(work, job) for job in left]):
                row = row_of(future.result(), explained)
                rows.append(row)
                fate = f"caught by {row['by']}" if row["caught"] else "NOT CAUGHT"
                place = f"{row['file']}:{row['line']}"
                print(f"{len(rows)}/{len(planned)} {place} {row['what']}: {fate}", flush=True)
                write()
    write()
    caught = sum(row["caught"] for row in rows)
    print(f"{caught} of {len(rows)} caught ({100 * caught / max(len(rows), 1):.1f} %)")


if __name__ == "__main__":
    main()
