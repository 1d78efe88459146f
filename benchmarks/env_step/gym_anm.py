"""gym-anm's ANM6Easy stepped with random actions, in one process or in one a core.

As a program it is one such process: it reads a number of seconds from each line of its input, steps for that
long, and answers with the steps it made and the seconds they took.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

TASK = "ANM6Easy-v0"


def installed() -> bool:
    """True where gym-anm can be imported."""
    return importlib.util.find_spec("gym_anm") is not None


class Peer:
    """Processes that step gym-anm side by side, each on one thread, idle between measurements."""

    def __init__(self, num_processes: int):
        """Starts the processes and waits until each has made its first steps."""
        one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.env_step.gym_anm", str(seed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **one_thread},
            )
            for seed in range(num_processes)
        ]
        self.steps_per_s(0.5)

    def steps_per_s(self, seconds: float) -> float:
        """Steps per second of all processes together, measured over ``seconds``."""
        for process in self.processes:
            assert process.stdin is not None
            print(seconds, file=process.stdin, flush=True)
        rate = 0.0
        for process in self.processes:
            assert process.stdout is not None
            steps, took = process.stdout.readline().split()
            rate += int(steps) / float(took)
        return rate

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.communicate()  # the end of its input ends it


def main() -> None:
    """Steps on request: seconds in, steps and seconds out."""
    from gym_anm.envs import ANM6Easy

    env = ANM6Easy()
    env.reset(seed=int(sys.argv[1]))
    env.action_space.seed(int(sys.argv[1]))
    for line in sys.stdin:
        limit = float(line)
        steps, start = 0, time.perf_counter()
        while (took := time.perf_counter() - start) < limit:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            steps += 1
            if terminated or truncated:
                env.reset()
        print(steps, took, flush=True)


if __name__ == "__main__":
    main()
