"""Tasks are made by name, with overrides; a wrong name gets the nearest one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import anmjax
from anmjax.tasks.registry import _FACTORIES
from tests.tasks.ported import SimpleEnvironment


@pytest.fixture
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in _FACTORIES if name.startswith("Simple")]:
        monkeypatch.delitem(_FACTORIES, name)
    monkeypatch.setattr("anmjax.tasks.registry._FACTORIES", dict(_FACTORIES))


def test_the_packaged_tasks_are_registered() -> None:
    assert {"ANM6Easy-v0", "IEEE33Easy-v0"} <= set(anmjax.registered_tasks())
    assert list(anmjax.registered_tasks()) == sorted(anmjax.registered_tasks())


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("ANM6Easy", "ANM6Easy-v0"), ("anm6easy-v0", "ANM6Easy-v0"), ("IEEE33Eazy-v0", "IEEE33Easy-v0")],
)
def test_a_wrong_name_suggests_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"unknown task '{wrong}'; did you mean '{near}'"):
        anmjax.make(wrong)


def test_a_name_like_no_other_lists_the_tasks() -> None:
    with pytest.raises(ValueError, match="unknown task 'CartPole'; known tasks: ANM6Easy-v0, IEEE33Easy-v0"):
        anmjax.make("CartPole")


@pytest.mark.parametrize("task", ["ANM6Easy-v0", "IEEE33Easy-v0"])
def test_arguments_are_overridden_and_checked(task: str) -> None:
    env = anmjax.make(
        task, gamma=0.9, lamb=7, costs_clipping=(2, None), num_iters=5, tol=1e-8, dtype=jnp.float32,
        observation=[("bus_v_magn", "all")],
    )  # fmt: skip
    assert (env.gamma, env.lamb, env.num_iters, env.tol) == (0.9, 7.0, 5, 1e-8)
    assert env.costs_clipping == (2.0, float("inf"))
    assert env.observation_space.shape == (env.network.n_bus,)
    assert {leaf.dtype for leaf in jax.tree.leaves((env.network, env.tables))} == {jnp.dtype(jnp.float32)}
    default = anmjax.make(task)
    assert (default.gamma, default.lamb, default.costs_clipping) == (0.995, 100.0, (1.0, 100.0))
    assert (default.delta_t, default.K, default.steps_per_day) == (0.25, 1, 96)
    assert default.network.dtype == jnp.float64
    with pytest.raises(ValueError, match=r"gamma is 2\.0"):
        anmjax.make(task, gamma=2)
    with pytest.raises(TypeError, match="gama"):
        anmjax.make(task, gama=0.9)


@pytest.mark.usefixtures("clean_registry")
def test_a_task_is_registered_once() -> None:
    anmjax.register("Simple-v0", SimpleEnvironment)
    anmjax.register("Simple-v0", SimpleEnvironment)
    assert isinstance(anmjax.make("Simple-v0", dtype=jnp.float32), SimpleEnvironment)
    assert "Simple-v0" in anmjax.registered_tasks()
    with pytest.raises(ValueError, match="task 'Simple-v0' is already registered, choose another name"):
        anmjax.register("Simple-v0", lambda: SimpleEnvironment())
    with pytest.raises(ValueError, match="already registered"):
        anmjax.register("ANM6Easy-v0", SimpleEnvironment)
