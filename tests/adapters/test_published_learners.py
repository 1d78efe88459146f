"""Learners that are programs in other repositories, in no package: in a checkout, where there is one.

``JAXMARL_CHECKOUT=/path/to/JaxMARL ENVELOPE_CHECKOUT=/path/to/envelope pytest -m slow tests/adapters``
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEARNERS = {
    "jaxmarl_ippo": ("JAXMARL_CHECKOUT", ("jaxmarl", "distrax", "hydra", "wandb")),
    "envelope_ppo": ("ENVELOPE_CHECKOUT", ("envelope", "distrax", "tyro", "wandb")),
}
DOING_NOTHING = -862  # the score of it, see docs/adapters.md


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted(LEARNERS))
def test_a_learner_of_another_project_learns_more_than_doing_nothing(example: str) -> None:
    variable, libraries = LEARNERS[example]
    if not (checkout := os.environ.get(variable)):
        pytest.skip(f"{variable} names no checkout")
    for library in libraries:
        pytest.importorskip(library, exc_type=ImportError)
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{example}.py", checkout, "--steps", "1e6"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    score = re.search(r"discounted return: (-?[\d.]+)", done.stdout)
    assert score is not None, done.stdout
    assert float(score[1]) > DOING_NOTHING
