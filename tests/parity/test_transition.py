"""One step on random networks against exact gym-anm, every quantity and the collapse flag."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.oracle.transitions import Batch
from tests.parity.scripted import env_errors, reference, run_env, run_transition, transition_errors

# Relative to max(|value|, 0.1 p.u.). Both sides take the same Newton iterates and stop at the same one, so
# that rounding alone is left: on the whole set at most 3e-12 in float64 and 8e-5 in float32.
TOLERANCE = {"float64": 1e-8, "float32": 1e-4}
SCALE = 0.1
# Observed currents and flows are differences of voltages, rounded to 6e-8 in float32, times admittances
# of up to 200 p.u.: relative to max(|value|, 1 p.u.).
OBS_SCALE = 1.0

# 3 buses in a row, 9 buses meshed; every kind of device on both.
CHOSEN = (20, 13)
NUM_STRUCTURES = 80  # 2 to 30 buses, half of them meshed
NUM_NETWORKS = 3  # each, so 240 in all, and 5 steps on each


def assert_equal(batch: Batch, errors: dict[str, np.ndarray], ours: Any, theirs: Any, dtype: str) -> None:
    different = [batch.labels[i] for i in np.flatnonzero(np.asarray(ours) != np.asarray(theirs))]
    assert not different, f"the collapse flag differs on {different}"
    for name, error in errors.items():
        worst = int(np.argmax(error))
        assert error[worst] <= TOLERANCE[dtype], (
            f"{name} differs by {error[worst]:.2e} on {batch.labels[worst]}"
        )


def check_transition(structure: int, dtype: str) -> None:
    batch = reference(structure, NUM_NETWORKS)
    grid = run_transition(batch, np.dtype(dtype))
    errors = transition_errors(batch, grid, SCALE)
    assert_equal(batch, errors, grid.converged, batch.expected.grid.converged, dtype)


def check_env(structure: int, dtype: str) -> None:
    batch = reference(structure, NUM_NETWORKS)
    state, vector = run_env(batch, np.dtype(dtype))
    errors = env_errors(batch, state, vector, SCALE, OBS_SCALE)
    assert_equal(batch, errors, state.terminated, batch.expected.terminated, dtype)


@pytest.mark.parametrize("structure", CHOSEN)
def test_a_step_of_a_task_equals_gym_anms_on_chosen_networks(structure: int) -> None:
    check_env(structure, "float64")


def test_a_step_of_a_task_equals_gym_anms_in_float32() -> None:
    check_env(CHOSEN[0], "float32")


def test_a_transition_equals_gym_anms() -> None:
    check_transition(CHOSEN[0], "float64")


def test_the_chosen_networks_collapse_on_some_steps() -> None:
    converged = np.concatenate([reference(s, NUM_NETWORKS).expected.grid.converged for s in CHOSEN])
    assert 0.05 < np.mean(~converged) < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("structure", range(NUM_STRUCTURES))
def test_a_step_of_a_task_equals_gym_anms_on_every_random_network(structure: int, dtype: str) -> None:
    check_env(structure, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("structure", range(0, NUM_STRUCTURES, 4))
def test_a_transition_equals_gym_anms_on_every_fourth_structure(structure: int, dtype: str) -> None:
    check_transition(structure, dtype)
