"""Unflattening takes any leaves: JAX and checkpointers put names, axes and shardings in place of numbers."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint
import pytest
from flax import serialization, struct

import anmjax
from anmjax.agents.ppo import PPO, PPOConfig
from anmjax.wrappers import NormalizeObservation, NormalizeReward
from tests.agents.probes import Match
from tests.envs.samples import Feeder

FEEDER = Feeder()
TREES: dict[str, Any] = {
    "ANM6Easy-v0": anmjax.make("ANM6Easy-v0"),
    "IEEE33Easy-v0": anmjax.make("IEEE33Easy-v0"),
    "subclass": FEEDER,
    "AutoReset": anmjax.AutoReset(FEEDER, pool_size=3),
    "AutoReset in place": anmjax.AutoReset(FEEDER, pool_size=None),
    "EpisodeStatistics": anmjax.EpisodeStatistics(FEEDER),
    "ExploringStarts": anmjax.ExploringStarts(FEEDER, num_starts=3),
    "NormalizeObservation": NormalizeObservation(FEEDER),
    "NormalizeReward": NormalizeReward(FEEDER),
    "SafeAction": anmjax.SafeAction(FEEDER),
    "TimeLimit": anmjax.TimeLimit(FEEDER, 3),
    "all of them": NormalizeReward(
        NormalizeObservation(anmjax.AutoReset(anmjax.EpisodeStatistics(anmjax.TimeLimit(Match(), 3)), 3))
    ),
    "PPO": PPO.create(Match(), PPOConfig(num_envs=8)),
}


def leaves_of(tree: Any) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


@pytest.mark.parametrize("name", TREES)
def test_whatever_takes_the_place_of_leaves_is_kept_as_it_is(name: str) -> None:
    tree = TREES[name]
    treedef = jax.tree.structure(tree)
    for leaf in ("name", object(), {"a": 1}, -1, 2.5, float("nan"), jax.sharding.PartitionSpec()):
        filled = jax.tree.unflatten(treedef, [leaf] * treedef.num_leaves)
        assert type(filled) is type(tree)
        kept = jax.tree.leaves(filled, is_leaf=lambda x, leaf=leaf: x is leaf)
        assert len(kept) == treedef.num_leaves
        assert all(x is leaf for x in kept)
    # A whole part replaced, as in a tree of axes.
    axes = jax.tree.map(lambda _: 0, tree, is_leaf=lambda x: x is not tree)
    assert set(jax.tree.leaves(axes)) == {0}
    names = jax.tree.map(str, tree)
    again = jax.tree.map(lambda _, x: x, names, tree)
    assert jax.tree.structure(again) == treedef
    np.testing.assert_equal(leaves_of(again), leaves_of(tree))


@pytest.mark.parametrize("name", TREES)
def test_a_checkpointer_a_pickle_and_a_state_dict_give_it_back(name: str, tmp_path: Path) -> None:
    tree = TREES[name]
    copies = [pickle.loads(pickle.dumps(tree))]
    if not isinstance(tree, anmjax.ANMEnv | PPO):
        copies.append(serialization.from_state_dict(tree, serialization.to_state_dict(tree)))
    if all(x.size for x in leaves_of(tree)):  # orbax refuses empty arrays, as a probe without a grid has
        with orbax.checkpoint.StandardCheckpointer() as checkpointer:
            checkpointer.save(tmp_path / "saved", tree)
            checkpointer.wait_until_finished()
            copies.append(checkpointer.restore(tmp_path / "saved", tree))
    for copy in copies:
        assert jax.tree.structure(copy) == jax.tree.structure(tree)
        np.testing.assert_equal(leaves_of(copy), leaves_of(tree))


def test_a_wrapper_of_a_users_own_may_be_a_flax_dataclass() -> None:
    @struct.dataclass
    class Twice(anmjax.Wrapper):
        factor: float = 2.0

        def step(self, state: anmjax.State, action: jax.Array) -> anmjax.State:
            return self.env.step(state, self.factor * action)

    env = Twice(anmjax.TimeLimit(Match(), 3))
    assert env.replace(factor=3.0).factor == 3.0
    assert jax.tree.map(str, env).max_steps == "3"
    state = env.step(env.reset(jax.random.key(0)), jnp.array([0.5]))
    assert state.aux[1] == 1.0


class Thrice(anmjax.Wrapper):
    """Of a user's own, without a decorator: a leaf, a static field, and a check in the constructor."""

    factor: float = 3.0
    mode: str = struct.field(pytree_node=False, default="all")

    def __post_init__(self) -> None:
        if self.mode not in ("all", "first"):
            raise ValueError(f"mode is {self.mode!r}")

    def step(self, state: anmjax.State, action: jax.Array) -> anmjax.State:
        return self.env.step(state, self.factor * action)


def test_a_wrapper_of_a_users_own_needs_no_decorator() -> None:
    env = Thrice(anmjax.TimeLimit(Match(), 3))
    assert jax.tree.map(str, env).factor == "3.0"
    assert jax.tree.map(lambda _: None, env).mode == "all"
    assert env.replace(factor=4.0).factor == 4.0
    with pytest.raises(ValueError, match="mode is 'none'"):
        env.replace(mode="none")
    with pytest.raises(ValueError, match="Thrice has no attribute 'facter' to replace"):
        env.replace(facter=4.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        env.factor = 5.0  # type: ignore[misc]
    assert serialization.to_state_dict(env) == {"env": {"env": {}, "max_steps": 3}, "factor": 3.0}
    assert pickle.loads(pickle.dumps(env)) == env
    state = jax.jit(lambda env, key: env.step(env.reset(key), jnp.array([0.25])))(env, jax.random.key(0))
    assert state.aux[1] == 0.75


def test_a_state_dict_of_a_task_holds_its_arrays_and_gives_them_back() -> None:
    doubled = FEEDER.replace(collapse_share=jnp.asarray(0.25))
    saved = serialization.to_state_dict(doubled)
    assert set(saved) == {"network", "collapse_share", "noise"}
    restored = serialization.from_state_dict(FEEDER, saved)
    assert float(restored.collapse_share) == 0.25
    assert jax.tree.structure(restored) == jax.tree.structure(FEEDER)
