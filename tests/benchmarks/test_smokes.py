"""Every benchmark runs: those that take longest here, the others in ``.ci/run``."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LONGEST = (
    "all",
    "env_step.parts",
    "policies.clairvoyant",
    "power_flow.parts",
    "projection.safety",
    "robustness.mutations",
    "robustness.pandapower_nets",
    "robustness.soak",
    "training.constrained",
    "training.returns",
    "training.search",
    "training.stacks",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", LONGEST)
def test_a_benchmark_runs(name: str) -> None:
    run = [sys.executable, "-m", f"benchmarks.{name}", "--smoke"]
    # Programs that run for moments.
    hurried = {**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run(run, env=hurried, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
