"""Decision trees of others: which leaf is come to, and what its number means as an action."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.envs.spaces import Box
from benchmarks.policies import trees

# Two features, one either side of 0, and two actions, of which the second is either side of 0 too.
SEEN = Box(jnp.array([-10.0, 0.0]), jnp.array([30.0, 4.0]))
DONE = Box(jnp.array([0.0, -2.0]), jnp.array([20.0, 6.0]))
ENV = SimpleNamespace(observation_space=SEEN, action_space=DONE)
#           features   thresholds  leaves: right of the root, then left and right of the split left of it
NUMBERS = ((0.1, 0.7, 0.5, 0.25, 0.1, 0.2, 0.3), (0.6, 0.2, 0.5, 0.75, 0.9, 0.25, 0.75))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> trees.DecisionTrees:
    path: Path = tmp_path_factory.mktemp("trees") / "tree_model.txt"
    path.write_text(",".join(str(number) for tree in NUMBERS for number in tree))
    return trees.read(path, ENV)


@pytest.mark.parametrize(
    ("obs", "expected"),
    [
        # First tree: splits on x[0] at 0, then on x[1] at 1. Second: on x[1] at 2, then on x[0] at 15.
        ((-0.1, 0.9), (0.2 * 20, -0.5 * 2)),
        ((-0.1, 1.0), (0.3 * 20, -0.5 * 2)),
        ((0.0, 0.9), (0.1 * 20, -0.5 * 2)),
        ((15.0, 1.9), (0.1 * 20, 0.5 * 6)),
        ((14.9, 2.0), (0.1 * 20, 0.8 * 6)),
    ],
)
def test_observations_lead_to_leaves(policy: trees.DecisionTrees, obs: tuple, expected: tuple) -> None:
    action = policy(jax.random.key(0), jnp.array(obs))
    np.testing.assert_allclose(action, expected, rtol=1e-12)


def test_numbers_that_make_no_trees_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("0.1,0.2,0.3")
    with pytest.raises(ValueError, match="3 numbers make no 2 trees"):
        trees.read(tmp_path / "x", ENV)
