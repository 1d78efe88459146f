"""check_env finds what breaks the contract of an environment, and nothing where nothing does."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
from flax import struct

import anmjax
from anmjax import Box, State
from anmjax.wrappers import Wrapper


@struct.dataclass
class Level:
    """A level that the action moves; the reward is minus its square."""

    high: float = 4.0

    @property
    def action_space(self) -> Box:
        return Box(-jnp.ones(1), jnp.ones(1))

    @property
    def observation_space(self) -> Box:
        return Box(-self.high * jnp.ones(1), self.high * jnp.ones(1))

    def reset(self, key: jax.Array) -> State:
        no, zero = jnp.array(False), jnp.zeros(())
        level = jax.random.uniform(key, (1,), float, -1.0, 1.0)
        return State(level, zero, no, no, {}, (), jnp.zeros(0), jnp.int32(0), key, jnp.zeros(0))

    def step(self, state: State, action: jax.Array) -> State:
        level = jnp.clip(state.obs + action, -4, 4)
        return replace(state, obs=level, reward=-(level**2).sum(), t=state.t + 1)


class Faulty(Wrapper):
    """A level with a fault of a kind."""

    kind: str = struct.field(pytree_node=False, default="")

    def step(self, state: State, action: jax.Array) -> State:
        after = self.env.step(state, action)
        match self.kind:
            case "dtype":
                return replace(after, reward=after.reward.astype(jnp.float32))
            case "metrics":
                return replace(after, metrics={"more": after.reward})
            case "nan":
                return replace(after, obs=jnp.where(after.t > 3, jnp.nan, after.obs))
            case "slope":
                root = jnp.sqrt(jnp.abs(action).sum() * 0)  # its derivative at 0 is infinite times 0
                return replace(after, reward=after.reward + root)
            case "revived":
                return replace(after, terminated=after.t == 2)
            case "branch":
                return self.env.step(after, action) if after.reward < -1 else after
        raise AssertionError(self.kind)


@jax.custom_batching.custom_vmap
def _count(x: jax.Array) -> jax.Array:
    return jnp.zeros_like(x)


@_count.def_vmap
def _count_lanes(size, batched, x):
    return jnp.full_like(x, float(size)), True


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("dtype", r"state\.reward is \(\) float64 after a reset and \(\) float32 after a step"),
        ("metrics", r"state\.metrics\['more'\] is there after a step and not after a reset"),
        ("nan", "component 0 of an observation is not finite"),
        ("slope", "the gradient of the reward by component 0 of the action is not finite"),
        ("revived", "an episode that has terminated goes on"),
        ("branch", "step cannot be traced with a state from reset: TracerBoolConversionError"),
    ],
)
def test_a_fault_is_named(kind: str, sentence: str) -> None:
    with pytest.raises(anmjax.ContractError, match=sentence):
        anmjax.check_env(Faulty(Level(), kind))


def test_lanes_that_depend_on_each_other_are_found() -> None:
    class Coupled(Wrapper):
        def step(self, state: State, action: jax.Array) -> State:
            after = self.env.step(state, action)
            return replace(after, reward=after.reward + jax.lax.stop_gradient(_count(after.reward)))

    with pytest.raises(anmjax.ContractError) as found:
        anmjax.check_env(Coupled(Level()))
    assert found.value.faults[0] == "step under jax.vmap gives another reward than step of one lane"
    assert found.value.faults[1].startswith("the reward has no gradient by the action: ValueError")


def test_observations_beyond_the_bounds_and_bad_spaces_are_named() -> None:
    # 32 steps of up to 1 from within 1 leave a box of half-width 1 in one of 16 lanes.
    with pytest.raises(anmjax.ContractError, match="component 0 of an observation is"):
        anmjax.check_env(Level(high=1.0))
    with pytest.raises(anmjax.ContractError, match=r"the low bound 1\.0 of component 0 is not"):
        anmjax.check_env(Level(high=-1.0))


def test_a_sound_environment_has_no_fault() -> None:
    anmjax.check_env(Level())


@pytest.mark.long
@pytest.mark.parametrize("name", ["ANM6Easy-v0"])
def test_the_tasks_of_the_package_have_no_fault(name: str) -> None:
    anmjax.check_env(anmjax.TimeLimit(anmjax.make(name), max_steps=20))


@pytest.mark.slow
@pytest.mark.parametrize("name", anmjax.registered_tasks())
def test_every_registered_task_has_no_fault(name: str) -> None:
    anmjax.check_env(anmjax.make(name))
