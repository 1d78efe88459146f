"""The programs of examples/: each learns, in a short training, what doing nothing does not give.

Two run learners that are programs in other repositories, in no package, where there is a checkout:
``JAXMARL_CHECKOUT=/path/to/JaxMARL ENVELOPE_CHECKOUT=/path/to/envelope pytest -m slow tests/adapters``
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import anmjax
from anmjax.agents.baselines import do_nothing_policy
from anmjax.agents.evaluation import evaluate, starts_of

ROOT = Path(__file__).parents[2]
# What an example imports besides the package, and steps after which it is beyond doing nothing.
NEEDS = {
    "behaviour_cloning": ((), "1000"),
    "brax_ppo": (("brax",), "1e6"),
    "envelope_ppo": (("envelope", "distrax", "tyro", "wandb"), "1e6"),
    "jaxmarl_ippo": (("jaxmarl", "distrax", "hydra", "wandb"), "1e6"),
    "ppo_in_one_file": (("gymnax",), "2e6"),
    "rejax_ppo": (("rejax", "gymnax"), "4e6"),
    "sb3_ppo": (("stable_baselines3",), "5e5"),
    "sb3_sac": (("stable_baselines3",), "1e5"),
}
# Which variable names the checkout that an example takes.
CHECKOUTS = {"envelope_ppo": "ENVELOPE_CHECKOUT", "jaxmarl_ippo": "JAXMARL_CHECKOUT"}


@pytest.fixture(scope="module")
def nothing() -> float:
    """Score of doing nothing, by the protocol that the examples print."""
    env = anmjax.make("ANM6Easy-v0")
    starts, _ = starts_of(env, jax.random.key(0))
    return evaluate(env, do_nothing_policy(env), starts).discounted_return


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted(NEEDS))
def test_an_example_learns_more_than_doing_nothing(example: str, nothing: float) -> None:
    libraries, steps = NEEDS[example]
    variable = CHECKOUTS.get(example)
    if variable and variable not in os.environ:
        pytest.skip(f"{variable} names no checkout")
    checkout = [os.environ[variable]] if variable else []
    for library in libraries:
        pytest.importorskip(library, exc_type=ImportError)
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{example}.py", *checkout, "--steps", steps],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    score = re.search(r"discounted return: (-?[\d.]+)", done.stdout)
    assert score is not None, done.stdout
    assert float(score[1]) > nothing


def test_every_example_is_run() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} - {"log_reward"} == set(NEEDS)
