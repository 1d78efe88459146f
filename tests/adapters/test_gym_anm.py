"""gym-anm's own task, its source with the import changed, beside gym-anm's."""

from __future__ import annotations

import re
import sys
import types
from importlib.metadata import metadata
from pathlib import Path

import numpy as np
import pytest
from gym_anm.envs.anm6_env import anm6, anm6_easy

from anmjax.adapters.gym_anm import ANMEnv, EnvInitializationError, EnvNextVarsError
from tests.oracle.exact_gym_anm import exact_gym_anm
from tests.tasks.ported import TWO_BUSES


@pytest.fixture(scope="module")
def ported() -> type[ANMEnv]:
    """gym-anm's ANM6Easy by its own two files, with ``ANMEnv`` imported from here."""
    package = "gym_anm.envs.anm6_env"

    def changed(module: types.ModuleType, name: str, old: str, new: str) -> types.ModuleType:
        source, count = re.subn(old, new, Path(module.__file__).read_text(encoding="utf-8"), flags=re.M)
        assert count == 1
        made = types.ModuleType(name)
        made.__package__ = package
        sys.modules[name] = made
        exec(compile(source, name, "exec"), made.__dict__)
        return made

    changed(anm6, f"{package}.anm6_here", r"^from \.\.anm_env import", "from anmjax.adapters.gym_anm import")
    here = changed(anm6_easy, f"{package}.easy_here", r"^from \.anm6 import", "from .anm6_here import")
    yield here.ANM6Easy
    for name in ("anm6_here", "easy_here"):
        del sys.modules[f"{package}.{name}"]


def test_gym_anms_task_with_the_import_changed_gives_its_trajectory(ported: type[ANMEnv]) -> None:
    ours, theirs = ported(), anm6_easy.ANM6Easy()
    rng = np.random.default_rng(4)
    with exact_gym_anm():
        # The same generator, drawn from in the same order: the same start.
        pairs = [(ours.reset(seed=11)[0], theirs.reset(seed=11)[0])]
        low, high = theirs.action_space.low, theirs.action_space.high
        np.testing.assert_allclose(ours.action_space.low, low)
        np.testing.assert_allclose(ours.action_space.high, high)
        for _ in range(12):
            action = rng.uniform(low, high)
            obs, reward, terminated, truncated, _ = ours.step(action)
            expected = theirs.step(action)
            pairs.append((obs, expected[0]))
            # Rounding and what two power flows leave of the mismatch; collapses are -20,000 in both.
            np.testing.assert_allclose(reward, expected[1], rtol=1e-6, atol=1e-6)
            assert (terminated, truncated) == expected[2:4]
            np.testing.assert_allclose(ours.state, theirs.state, rtol=1e-6, atol=1e-6)
            assert ours.timestep == theirs.timestep
            assert ours.date == theirs.date  # of its own ANM6, by our ``state`` and ``reset``
        for obs, expected_obs in pairs:
            np.testing.assert_allclose(obs, expected_obs, rtol=1e-6, atol=1e-6)


class TwoBuses(ANMEnv):
    """gym-anm's sample environment: a load behind a line."""

    def __init__(self, observation="state", num_vars=2, num_state=6):
        super().__init__(TWO_BUSES, observation, 1, 0.25, 0.9, 100, np.array([[0, 10]]), (1, 100))
        self.sizes = num_vars, num_state

    def init_state(self):
        return self.np_random.random(self.sizes[1])

    def next_vars(self, s_t):
        assert isinstance(s_t, np.ndarray)
        return np.r_[self.np_random.uniform(-10, 0, self.sizes[0] - 1), self.np_random.integers(0, 10)]


def test_an_observation_may_be_a_function_of_the_state_vector() -> None:
    # State: P, Q of the slack, P, Q of the load, the auxiliary variable: five, by hand.
    env = TwoBuses(lambda state: state[[1, 4]], num_state=5)
    obs, _ = env.reset(seed=0)
    np.testing.assert_array_equal(obs, env.state[[1, 4]])
    obs = env.step(np.zeros(0))[0]
    np.testing.assert_array_equal(obs, env.state[[1, 4]])
    assert env.state[1] < 0
    assert env.state[3] == pytest.approx(0.2 * env.state[1])  # Q/P of the load
    assert env.observation_space.shape == (2,)


def test_a_start_or_variables_of_the_wrong_size_are_gym_anms_errors() -> None:
    with pytest.raises(EnvInitializationError, match=r"\(6,\)"):
        TwoBuses().reset(seed=0)
    env = TwoBuses(num_state=5, num_vars=3)
    env.reset(seed=0)
    with pytest.raises(EnvNextVarsError, match="3"):
        env.step(np.zeros(0))


def test_the_program_of_gym_anms_readme_runs_with_its_id_changed() -> None:
    readme = metadata("gym-anm").get_payload()
    program = next(code for code in re.findall(r"```\w*\n(.*?)```", readme, re.DOTALL) if "gym.make" in code)
    changes = {
        "gym_anm:ANM6Easy-v0": "anmjax.adapters.gymnasium:anmjax/ANM6Easy-v0",
        # What gym-anm 2.0.1 itself answers with: the README is older than Gymnasium's five values.
        "o, r, done, info": "o, r, done, truncated, info",
        "sleep(0.5)": "sleep(0)",
    }
    for old, new in changes.items():
        assert program.count(old) == 1
        program = program.replace(old, new)
    with pytest.warns(UserWarning, match="nothing to render"):
        exec(program, {"__name__": "__main__"})
