"""Gymnasium, one lane: its checker, the core's numbers, gym-anm's attributes."""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gym_anm.envs.anm6_env.anm6_easy import ANM6Easy
from gymnasium.utils.env_checker import check_env

import anmjax
from anmjax.adapters.gymnasium import Env, EnvInitializationError
from tests.oracle.exact_gym_anm import exact_gym_anm

TASK = "anmjax/ANM6Easy-v0"


@pytest.fixture(scope="module")
def env() -> Env:
    made = gymnasium.make(TASK).unwrapped
    assert isinstance(made, Env)
    return made


@pytest.fixture(scope="module")
def start(env: Env) -> np.ndarray:
    """A start of gym-anm's own."""
    theirs = ANM6Easy()
    theirs.reset(seed=3)
    return theirs.init_state()


def test_every_registered_task_is_registered_with_gymnasium() -> None:
    ours = {f"anmjax/{name}" for name in anmjax.registered_tasks()}
    assert ours <= set(gymnasium.registry)
    made = gymnasium.make(f"anmjax.adapters.gymnasium:{TASK}")  # in one line, nothing imported before
    assert made.spec.vector_entry_point == "anmjax.adapters.gymnasium:VectorEnv"


def test_the_checker_of_gymnasium_has_no_word_to_say_where_actions_are_rescaled() -> None:
    # Warnings are errors here. Of actions in MW it says that it would have them between -1 and 1.
    check_env(gymnasium.make(TASK, rescale_actions=True).unwrapped)


@pytest.mark.slow
@pytest.mark.parametrize("name", anmjax.registered_tasks())
def test_the_checker_of_gymnasium_has_no_word_to_say_of_any_task(name: str) -> None:
    check_env(gymnasium.make(f"anmjax/{name}", rescale_actions=True).unwrapped)


@pytest.mark.long
def test_the_checker_of_gymnasium_asks_of_actions_in_mw_only_that_they_be_rescaled(env: Env) -> None:
    with pytest.warns(UserWarning, match="symmetric and normalized") as warned:
        check_env(env)
    assert len(warned) == 1


def test_a_seed_is_the_key_of_the_core_and_steps_are_its_steps(env: Env) -> None:
    core = anmjax.make("ANM6Easy-v0")
    state = jax.jit(lambda core, key: core.reset(key))(core, jax.random.key(7))
    obs, _ = env.reset(seed=7)
    np.testing.assert_array_equal(obs, state.obs)
    env.action_space.seed(1)
    step = jax.jit(lambda core, state, action: core.step(state, action))
    for _ in range(4):
        action = env.action_space.sample()
        state = step(core, state, action)
        obs, reward, terminated, truncated, info = env.step(action)
        # The same program on the same numbers, the task's among its arguments: bit for bit.
        np.testing.assert_array_equal(obs, state.obs)
        assert (reward, terminated, truncated) == (float(state.reward), bool(state.terminated), False)
        assert info == {name: value.item() for name, value in state.metrics.items()}


def test_a_day_from_a_start_of_gym_anm_is_that_of_gym_anm(env: Env, start: np.ndarray) -> None:
    theirs = ANM6Easy()
    theirs.init_state = lambda: start.copy()
    rng = np.random.default_rng(2)
    with exact_gym_anm():
        expected, _ = theirs.reset(seed=0)
        obs, _ = env.reset(seed=0, options={"state": start})
        np.testing.assert_allclose(obs, expected, rtol=1e-8, atol=1e-7)
        low, high = theirs.action_space.low, theirs.action_space.high
        for t in range(24):
            action = rng.uniform(0.3 * low, 0.3 * high)
            expected, reward, terminated, _, _ = theirs.step(action)
            obs, ours, ended, _, _ = env.step(action)
            # Rounding, and what is left of the mismatch of two power flows; the penalty is 25 times
            # differences of voltages.
            np.testing.assert_allclose(obs, expected, rtol=1e-8, atol=1e-7)
            np.testing.assert_allclose(ours, reward, rtol=1e-8, atol=1e-7)
            assert ended == terminated
            assert env.timestep == theirs.timestep == t + 1
            pairs = (env.e_loss, theirs.e_loss), (env.penalty, theirs.penalty)
            np.testing.assert_allclose(*zip(*pairs, strict=True), rtol=1e-8, atol=1e-7)
            np.testing.assert_allclose(env.state, theirs.state, rtol=1e-8, atol=1e-7)
            if terminated:
                break
        assert not theirs.terminated
        check_simulator(env, theirs)


def check_simulator(env: Env, theirs: ANM6Easy) -> None:
    """Every quantity, unit and id of gym-anm; its kA lacks the square root of 3."""
    ours, state = env.simulator, theirs.simulator.state
    for quantity, units in state.items():
        assert ours.state[quantity].keys() >= units.keys(), quantity
        for unit, by_id in units.items():
            factor = 1 / np.sqrt(3) if unit == "kA" else 1.0
            found = ours.state[quantity][unit]
            assert list(found) == list(by_id), (quantity, unit)
            expected = factor * np.array(list(by_id.values()))
            if quantity == "branch_i_magn":
                # NumPy 2 has another sign of complex numbers than gym-anm was written for.
                currents = np.array([theirs.simulator.branches[i].i_from for i in by_id])
                expected = np.sign(currents.real) * np.abs(currents)
            # At a bus without devices the current is what is left of the mismatch, and its angle that of
            # rounding: an angle counts by its current.
            size: Any = 1.0
            if quantity.endswith("_i_ang"):
                size = np.abs(list(ours.state[quantity.replace("_i_ang", "_i_magn")]["pu"].values()))
            np.testing.assert_allclose(
                size * np.array(list(found.values())),
                size * expected,
                rtol=1e-6,
                atol=1e-6,
                err_msg=f"{quantity} {unit}",
            )
    assert (ours.N_bus, ours.N_device, ours.N_load) == (6, 7, 3)
    assert ours.pfe_converged is True
    assert env.observation_N == theirs.observation_N
    assert env.state_N == theirs.state_N
    bounds, expected_bounds = ours.state_bounds, theirs.simulator.state_bounds
    assert bounds.keys() == expected_bounds.keys()
    for quantity, elements in expected_bounds.items():
        for element, units in elements.items():
            for unit, pair in units.items():
                np.testing.assert_allclose(
                    bounds[quantity][element][unit], pair, err_msg=f"{quantity} {element} {unit}"
                )
    for ours_by_id, theirs_by_id in zip(
        ours.get_action_space(), theirs.simulator.get_action_space(), strict=True
    ):
        assert ours_by_id.keys() == theirs_by_id.keys()
        np.testing.assert_allclose(list(ours_by_id.values()), list(theirs_by_id.values()))
    specs = ours.get_rendering_specs()
    expected_specs = theirs.simulator.get_rendering_specs()
    assert specs.keys() == expected_specs.keys()
    assert specs["branch_s"][0, 1]["MVA"] == pytest.approx(expected_specs["branch_s"][0, 1]["MVA"])
    assert specs["bus_v"][3]["kV"] == pytest.approx(expected_specs["bus_v"][3]["kV"])


def test_the_current_of_a_branch_is_shown_in_ka(env: Env, start: np.ndarray) -> None:
    env.reset(options={"state": start})
    state = env.simulator.state
    # |S| = sqrt(3) U I at the from end, kV and kA.
    s = np.hypot(state["branch_p"]["MW"][2, 4], state["branch_q"]["MVAr"][2, 4])
    current = abs(state["branch_i_magn"]["kA"][2, 4])
    assert current == pytest.approx(s / (np.sqrt(3) * state["bus_v_magn"]["kV"][2]), rel=1e-9)


def test_episodes_without_a_seed_follow_from_the_last_one(env: Env) -> None:
    def three(seed: int) -> list[np.ndarray]:
        return [env.reset(seed=seed)[0], env.reset()[0], env.reset()[0]]

    first, again, other = three(5), three(5), three(6)
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.round(np.stack([*first, *other]), 6), axis=0)) == 6


def test_a_start_without_a_power_flow_or_of_a_wrong_shape_is_an_initialization_error(
    env: Env, start: np.ndarray
) -> None:
    with pytest.raises(EnvInitializationError, match=r"options\['state'\]"):
        env.reset(options={"state": start[:-1]})
    with pytest.raises(EnvInitializationError, match="finite"):
        env.reset(options={"state": start * np.nan})


def test_the_bounds_of_a_subclass_are_the_space_and_cut_the_observation() -> None:
    class Narrow(Env):
        def observation_bounds(self) -> gymnasium.spaces.Box:
            full = super().observation_bounds()
            return gymnasium.spaces.Box(full.low / 10, full.high / 10, dtype=full.dtype.type)

    env = Narrow("ANM6Easy-v0")
    obs, _ = env.reset(seed=0)
    wide = jax.jit(anmjax.make("ANM6Easy-v0").reset)(jax.random.key(0)).obs
    np.testing.assert_array_equal(
        obs, np.clip(np.asarray(wide), env.observation_space.low, env.observation_space.high)
    )
    assert not np.array_equal(obs, wide)


def test_a_task_in_float32_has_spaces_and_observations_in_float32() -> None:
    env = gymnasium.make(TASK, dtype=np.float32)
    obs, _ = env.reset(seed=0)
    assert (obs.dtype, env.observation_space.dtype, env.action_space.dtype) == (np.float32,) * 3


def test_gymnasium_truncates_at_its_limit() -> None:
    env = gymnasium.make(TASK, max_episode_steps=2)
    env.reset(seed=0)
    still = np.zeros(6)
    assert [env.step(still)[3] for _ in range(2)] == [False, True]


def test_there_is_no_state_before_the_first_reset() -> None:
    env = Env("ANM6Easy-v0")
    assert env.simulator.state is None
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.zeros(6))
    with pytest.raises(ValueError, match="render_mode"):
        Env("ANM6Easy-v0", render_mode="ansi")
