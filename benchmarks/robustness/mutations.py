"""Is every damaged input answered by one clear error, in bounded time and memory?

Good inputs of each kind (MATPOWER case files, gym-anm dicts, JSON cases, pandapower nets, daily profiles,
checkpoints) are damaged at random and read. An input that is still good, or whose damage cannot be told, is
read; any other must be refused by the error of its kind. Whatever else is raised is a failure, and so is an
answer that takes longer than ``--limit`` seconds. Seeded: the same command tries the same inputs. Command
lines have such a test of their own, tests/cli/test_any_command.py.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.harness import command_line, record
from benchmarks.robustness import mutated_inputs

SHARES = {
    "matpower": 3000,
    "dict": 2500,
    "json_case": 1000,
    "pandapower": 1000,
    "profiles": 1500,
    "checkpoint": 1000,
}


class TookTooLong(Exception):
    """An input that was not answered within the limit."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness.mutations", description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument(
        "--scale", type=float, default=1.0, help="times as many inputs (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--limit", type=float, default=20.0, help="seconds for one input (default: %(default)s)"
    )
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.scale = 0.02
    return options


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises ``TookTooLong`` in the body after so many seconds."""

    def stop(*_: Any) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measure(kind: str, number: int, seed: int, limit: float, folder: Path) -> dict[str, Any]:
    """Tries so many damaged inputs of a kind and counts what became of them."""
    source = mutated_inputs.KINDS[kind](folder)
    rng = np.random.default_rng([seed, list(SHARES).index(kind)])
    outcomes: collections.Counter[str] = collections.Counter()
    failures: list[dict[str, str]] = []
    longest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for index in range(number):
        mutant = source.mutate(rng)
        begun = time.perf_counter()
        try:
            with warnings.catch_warnings(), time_limit(limit):
                warnings.simplefilter("ignore")
                source.read(mutant)
            outcome = "read"
        except source.refusals as error:
            outcome = type(error).__name__
            if not str(error).strip():
                failures.append({"input": str(index), "error": f"{outcome} without a word"})
        except Exception as error:
            outcome = "failed"
            failures.append({"input": str(index), "error": f"{type(error).__name__}: {error}"[:300]})
            (folder / f"{kind}-{index}").write_bytes(source.shown(mutant))
        outcomes[outcome] += 1
        longest = max(longest, time.perf_counter() - begun)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (
        1 if sys.platform == "darwin" else 1024
    )
    return {
        "kind": kind,
        "inputs": number,
        "outcomes": dict(outcomes.most_common()),
        "longest_s": longest,
        "memory_grown_bytes": grown,
        "failures": failures,
    }


def main() -> None:
    """Runs the benchmark; leaves with 1 where an input failed."""
    options = parse()
    jax.config.update("jax_platforms", "cpu")
    rows = []
    folder = Path(tempfile.mkdtemp(prefix="mutations-"))
    for kind in options.kinds:
        number = max(int(SHARES[kind] * options.scale), 1)
        rows.append(measure(kind, number, options.seed, options.limit, folder))
        row = rows[-1]
        counts = ", ".join(f"{count} {name}" for name, count in row["outcomes"].items())
        print(f"{kind}: {number} inputs: {counts}; longest {row['longest_s']:.1f} s", flush=True)
        for failure in row["failures"][:10]:
            print(f"  {kind} {failure['input']}: {failure['error']}", flush=True)
    if options.out or not options.smoke:
        record.write(
            record.make("robustness.mutations", rows),
            options.out,
        )
    if any(row["failures"] for row in rows):
        sys.exit(f"inputs that failed are kept in {folder}")


if __name__ == "__main__":
    main()
