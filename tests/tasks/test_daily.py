"""ANM6Easy-v0 with its quirks, and IEEE33Easy-v0 with the violations it is sized for."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gym_anm.envs.anm6_env.anm6_easy import ANM6Easy as GymANM6Easy

import anmjax
from anmjax.tasks import DailyTask, IEEE33Easy

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def anm6() -> DailyTask:
    return anmjax.make("ANM6Easy-v0")


@pytest.fixture(scope="module")
def ieee33() -> DailyTask:
    return anmjax.make("IEEE33Easy-v0")


def idle_day(env: DailyTask) -> anmjax.State:
    """The 96 steps of a day of doing nothing, each from its own start at half charge."""
    actions = env.action_space.high.at[-2 * len(env.network.storage) :].set(0.0)
    n = len(env.network.generators)
    actions = actions.at[n : 2 * n].set(0.0)  # P at the potential, no Q, storage idle

    def one(start: anmjax.InitialState) -> anmjax.State:
        return env.step(env.reset_to(KEY, start), actions)

    return jax.jit(jax.vmap(one))(env.evaluation_starts())


def test_the_tables_of_anm6easy_are_gym_anms(anm6: DailyTask) -> None:
    reference = GymANM6Easy()
    tables = np.concatenate([reference.P_loads, reference.P_maxs])
    np.testing.assert_array_equal(anm6.tables.T, tables)
    assert tables.max() == 40
    assert tables[3].max() == 36.75  # above the PMAX of 30
    space = anm6.observation_space
    np.testing.assert_allclose(space.low[-4:], reference.observation_space.low[-4:])
    np.testing.assert_allclose(space.high[-1], 95)


def test_starts_of_anm6easy_have_gym_anms_quirks(anm6: DailyTask) -> None:
    n = 4000
    starts = jax.jit(jax.vmap(anm6.init_state))(jax.random.split(KEY, n))
    q, soc = np.asarray(starts.q_dev[:, [2, 4]]), np.asarray(starts.soc[:, 0])
    # p.u. read as MVAr and MWh: 0.3 and 0.5 of 30 and 50 MVAr, 1 of 100 MWh.
    for x, low, high in ((q[:, 0], -0.3, 0.3), (q[:, 1], -0.5, 0.5), (soc, 0, 1)):
        assert low <= x.min() < low + 0.01
        assert high - 0.01 < x.max() <= high
        assert x.mean() == pytest.approx((low + high) / 2, abs=5 * (high - low) / np.sqrt(12 * n))
    hour = np.asarray(starts.aux[:, 0]).astype(int)
    counts = np.bincount(hour, minlength=96)
    assert len(counts) == 96
    # Chi-squared with 95 degrees of freedom: mean 95, deviation 14.
    assert ((counts - n / 96) ** 2 / (n / 96)).sum() < 95 + 5 * 14
    tables = np.asarray(anm6.tables)[hour]
    np.testing.assert_array_equal(starts.p_dev[:, [1, 3, 5, 2, 4]], tables)
    np.testing.assert_array_equal(starts.p_max, tables[:, 3:])
    np.testing.assert_array_equal(starts.p_dev[:, [0, 6]], np.zeros((n, 2)))
    ratio = np.asarray(anm6.network.qp_ratio)[[1, 3, 5]]
    np.testing.assert_allclose(starts.q_dev[:, [1, 3, 5]], tables[:, :3] * ratio, rtol=1e-15)


@pytest.mark.parametrize(("task", "charge"), [("anm6", [0.5]), ("ieee33", [1.6, 0.9])])
def test_evaluation_starts_are_every_time_of_day_at_one_charge(
    task: str, charge: list[float], request: pytest.FixtureRequest
) -> None:
    env = request.getfixturevalue(task)
    starts = env.evaluation_starts()
    np.testing.assert_array_equal(starts.aux[:, 0], np.arange(96))
    np.testing.assert_allclose(starts.soc, np.tile(charge, (96, 1)), rtol=1e-15)
    np.testing.assert_allclose(env.evaluation_starts(0.2).soc, np.full((96, len(charge)), 0.2), rtol=1e-15)
    assert not starts.q_dev[:, np.array(env.network.generators)].any()


def test_the_table_in_force_is_that_of_the_next_quarter_and_days_repeat(anm6: DailyTask) -> None:
    state = np.zeros(18)
    for hour, following in ((0, 1), (94, 95), (95, 0)):
        drawn = anm6.next_vars(KEY, jnp.asarray(state).at[-1].set(hour))
        np.testing.assert_array_equal(drawn, [*anm6.tables[following], following])


def test_doing_nothing_on_ieee33easy_violates_limits_in_the_stated_shares(ieee33: DailyTask) -> None:
    day = idle_day(ieee33)
    assert not day.terminated.any()
    np.testing.assert_array_equal(day.aux[:, 0], (np.arange(96) + 1) % 96)
    assert float(np.abs(day.metrics["curtailment"]).max()) < 1e-12
    voltage = np.asarray(day.metrics["voltage_violation"]) > 0
    branch = np.asarray(day.metrics["branch_violation"]) > 0
    shares = (voltage.sum(), branch.sum(), (voltage | branch).sum())
    assert shares == (28, 21, 38)
    documentation = " ".join((IEEE33Easy.__doc__ or "").split())
    for count, share in zip(shares, ("29 %", "22 %", "40 %"), strict=True):
        assert f"{share} ({count})" in documentation
        assert round(100 * count / 96) == int(share[:2])
    # Where a limit is violated the reward pays for it, lambda 100 a quarter of an hour.
    penalty = 25 * np.asarray(day.metrics["voltage_violation"] + day.metrics["branch_violation"])
    np.testing.assert_allclose(day.metrics["penalty"], np.minimum(penalty, 100), rtol=1e-12)


def test_the_sizes_of_the_tasks_are_those_documented(anm6: DailyTask, ieee33: DailyTask) -> None:
    for env, num_obs, num_actions in ((anm6, 18, 6), (ieee33, 88, 14)):
        assert env.observation_space.shape == (num_obs,)
        assert env.action_space.shape == (num_actions,)
        documentation = type(env).__doc__ or ""
        assert f"observation ({num_obs})" in documentation
        assert f"Action ({num_actions})" in documentation
