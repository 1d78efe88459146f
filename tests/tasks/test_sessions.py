"""EV sessions: drawn and given, in steps, and a task whose cars are charged."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax import EVCharger, FlexibleLoad, GridTask, Network, Profiles
from anmjax.agents.baselines import do_nothing_policy, mpc_perfect_policy
from anmjax.tasks import ProfileError
from anmjax.tasks.processes import EVSessions, Session

GRID: dict[str, Any] = {
    "baseMVA": 1,
    "bus": [[0, 0, 20, 1.0, 1.0], [1, 1, 0.4, 1.05, 0.95], [2, 1, 0.4, 1.05, 0.95]],
    "device": [
        [0, 0, 0, *[None] * 12],
        [1, 1, -1, 0.2, 0, -0.2, *[None] * 9],
        [2, 2, 3, None, 0.1, -0.1, 0.05, -0.05, *[None] * 4, 0.2, 0, 0.9],
    ],
    "branch": [[0, 1, 0.01, 0.04, 0, 0.4, 1, 0], [1, 2, 0.05, 0.03, 0, 0.2, 1, 0]],
}
NET = Network.from_dict(GRID).with_devices(
    EVCharger(2, p_mw=0.02, capacity_mwh=0.1, name="A"),
    FlexibleLoad(1, p_mw=0.05, shift_mwh=0.03, name="pump"),
    EVCharger(1, p_mw=0.02, capacity_mwh=0.1, name="B"),
)
HOURS = np.arange(48 * 4) / 4
TABLE = Profiles.from_numpy(
    {1: 0.1 + 0.05 * np.sin(HOURS * 2 * np.pi / 24), "pump": np.full(len(HOURS), 0.01)},
    NET,
    step_hours=0.25,
    start="2023-01-01T00:00",
)
SESSIONS = [
    Session("A", 18.0, 31.0, 0.06),  # more than 2 h at full power
    Session("B", "2023-01-01T17:00", "2023-01-01T18:00", 0.03),  # more than can be charged in an hour
    Session("B", 40.1, 60.0, 0.02),  # cut at the end of the table
    Session("A", -5.0, 3.0, 0.02),  # before it
]


def test_sessions_are_put_into_steps() -> None:
    profiles = TABLE.with_sessions(SESSIONS, NET)
    stay: Any = profiles.stay
    a, b = stay.T
    assert np.flatnonzero(a).tolist() == list(range(72, 124))
    assert a[72] == 13
    assert a[123] == 0.25
    assert np.flatnonzero(b).tolist() == [*range(68, 72), *range(160, 192)]
    assert b[68] == 1
    assert b[160] == 20
    energy = -profiles.values[:, [NET.loads.index(k) for k in NET.chargers]] * 0.25
    assert np.flatnonzero(energy[:, 0]).tolist() == [72]
    np.testing.assert_allclose(energy.sum(0), [0.06, 0.05])
    # The others keep their columns.
    pump = NET.loads.index(NET.device_names.index("pump"))
    np.testing.assert_allclose(profiles.values[:, pump], -0.01)


@pytest.mark.parametrize(
    ("session", "message"),
    [
        (("C", 1, 2, 0.01), "session 0 is of 'C', which is no EVCharger"),
        (("pump", 1, 2, 0.01), "which is no EVCharger"),
        (("A", 2, 1, 0.01), "ends at 1, but must end after it begins, 2"),
        (("A", 1, 2, 11.0), "needs 11.0 MWh, but must need 0 to 0.1 MWh"),
        (("A", 1, 2, -0.1), "needs -0.1 MWh"),
        (("A", "noon", 2, 0.1), "from 'noon' to 2, but must be from and to hours"),
        (("A", np.nan, 2, 0.1), "from nan to 2"),
        (("A", 20, 22, 0.01), "overlaps with another one there"),
    ],
)
def test_a_wrong_session_is_one_sentence(session: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        TABLE.with_sessions([session, ("A", 19, 21, 0.01)], NET)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_profiles_with_sessions_stay_at_their_step() -> None:
    with pytest.raises(ProfileError, match="at_step first, then with_sessions"):
        TABLE.with_sessions(SESSIONS, NET).at_step(1.0)


def test_drawn_sessions_have_the_mean_and_spread_asked_for() -> None:
    cars = EVSessions(daily=0.6, weekend=0.3)
    drawn = cars.draw(range(50), seed=3, start=None, days=700, p_mw=0.011, most_mwh=0.1)
    again = cars.draw(range(50), seed=3, start=None, days=700, p_mw=0.011, most_mwh=0.1)
    assert drawn == again
    begin, end, energy = np.array([(s.arrival, s.departure, s.energy_mwh) for s in drawn]).T
    day = begin // 24
    weekend = day % 7 >= 5  # the first day is a Monday
    for chosen, days, chance in ((~weekend, 500, 0.6), (weekend, 200, 0.3)):
        share = chosen.sum() / (50 * days)
        assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / (50 * days))
    n = len(drawn)
    for values, mean, spread in (
        (begin - 24 * day, 18, 1.5),
        (end - 24 * day, 31, 1),
        (energy, 0.012, 0.005),
    ):
        assert abs(values.mean() - mean) < 5 * spread / np.sqrt(n) + 0.002 * mean
        assert abs(values.std() / spread - 1) < 0.03
    assert (energy <= 0.9 * 0.011 * (end - begin) + 1e-12).all()
    # No car waits for another one.
    for charger in range(5):
        own = sorted((s.arrival, s.departure) for s in drawn if s.charger == charger)
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(own))


def test_drawn_sessions_have_the_days_of_their_date() -> None:
    options = {"seed": 3, "days": 70, "p_mw": 0.011, "most_mwh": 0.1}
    hours = EVSessions().draw("AB", start=None, **options)
    dated = EVSessions().draw("AB", start="2023-01-02", **options)  # a Monday
    for one, other in zip(hours, dated, strict=True):
        assert (one.charger, one.energy_mwh) == (other.charger, other.energy_mwh)
        since = (np.datetime64(other.arrival) - np.datetime64("2023-01-02")) / np.timedelta64(1, "h")
        assert abs(since - one.arrival) <= 1 / 120


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"daily": 1.5}, "daily is 1.5, but must be a probability"),
        ({"energy_spread_mwh": -1}, "energy_spread_mwh is -1"),
        ({"departure_hour": 18.5}, "departure_hour is 18.5, but must be 1 to 23 h after"),
    ],
)
def test_what_no_sessions_can_be_is_named(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EVSessions(**changes)


@pytest.fixture(scope="module")
def task() -> GridTask:
    profiles = TABLE.with_sessions(SESSIONS, NET)
    return GridTask(NET, profiles, episode_hours=24, start_hour=12, lamb=10)


@pytest.fixture(scope="module")
def day(task: GridTask) -> Any:
    """Follows three policies from noon to noon: at once, never, and late."""
    at_once = do_nothing_policy(task).action
    never = at_once.at[-3:].set(0.0)

    def follow(state: anmjax.State, early: jax.Array) -> Any:
        def step(state: anmjax.State, t: jax.Array) -> Any:
            late = (t >= 40) | early
            action = jnp.where(late, at_once, never)
            after = task.step(state, action)
            return after, after

        return jax.lax.scan(step, state, jnp.arange(96))[1]

    start = jax.jit(task.reset)(jax.random.key(0))
    return start, jax.jit(jax.vmap(follow, in_axes=(None, 0)))(start, jnp.array([True, False]))


def test_cars_are_charged_while_they_are_there(task: GridTask, day: Any) -> None:
    start, (at_once) = day[0], jax.tree.map(lambda x: x[0], day[1])
    np.testing.assert_allclose(task.hour(start), 12)
    car_a, _, car_b = (at_once.grid.p[:, k] for k in NET.flexible)
    # From 18:00 at 20 kW for three hours; 24 steps after noon, the step from t to t + 1 ends in row t + 1.
    charging = np.flatnonzero(np.abs(car_a) > 1e-9)
    assert charging.tolist() == list(range(23, 35))
    np.testing.assert_allclose(car_a[charging], -0.02, rtol=1e-9)
    # One hour is not enough for the other one.
    np.testing.assert_allclose(-car_b.sum() * 0.25, 0.02, rtol=1e-9)
    np.testing.assert_allclose(at_once.grid.unserved.sum(0), [0, 0, 0.01], atol=1e-12)
    np.testing.assert_allclose(at_once.metrics["unserved"].sum(), 0.01, rtol=1e-9)
    row = int(np.flatnonzero(at_once.metrics["unserved"] > 1e-12)[0])
    before = at_once.metrics
    lost = before["e_loss"][row] + before["penalty"][row] + 10 * 0.01
    np.testing.assert_allclose(at_once.reward[row], -lost, rtol=1e-9)
    # Q of the pump follows its P, of cars there is none.
    assert np.abs(at_once.grid.q[:, list(NET.chargers)]).max() == 0


def test_what_waits_is_served_later_or_lost(day: Any) -> None:
    late = jax.tree.map(lambda x: x[1], day[1])
    owed, lost = late.grid.owed, late.grid.unserved.sum(0)
    # The pump is owed 0.03 MWh at most: 10 kW fill that in 3 h; the rest of 10 h is shed.
    np.testing.assert_allclose(owed[:, 1].max(), 0.03, rtol=1e-9)
    np.testing.assert_allclose(lost[1], 40 * 0.25 * 0.01 - 0.03, rtol=1e-6)
    np.testing.assert_allclose(lost[jnp.array([0, 2])], [0, 0.03], atol=1e-12)
    np.testing.assert_allclose(owed[-1], 0, atol=1e-12)


def test_what_is_observed_tells_of_the_cars(task: GridTask, day: Any) -> None:
    late = jax.tree.map(lambda x: x[1], day[1])
    at = 30  # six in the evening is row 24
    owed = late.obs[at][-(3 + 2 + 1) : -3]
    np.testing.assert_allclose(owed, late.grid.owed[at], rtol=1e-12)
    np.testing.assert_allclose(late.obs[at][-3:-1], [13 - 7 * 0.25, 0])
    assert jax.vmap(task.observation_space.contains)(late.obs).all()
    assert task.observation_cycles == ((late.obs.shape[1] - 1, 24.0),)


def test_planners_know_what_flexible_demand_draws(task: GridTask, day: Any) -> None:
    start, at_once = day[0], jax.tree.map(lambda x: x[0], day[1])
    p_load, _ = task.coming_profiles(start, 96)
    np.testing.assert_allclose(p_load.T, at_once.grid.p[:, list(NET.loads)], rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_planners_have_nothing_wait(task: GridTask, day: Any) -> None:
    action = mpc_perfect_policy(task).act(jax.random.key(0), day[0])
    np.testing.assert_allclose(action[-3:], task.action_space.low[-3:])


@pytest.mark.slow
def test_the_contract_of_environments(task: GridTask) -> None:
    anmjax.check_env(task)


def test_daily_tables_have_no_cars() -> None:
    env = anmjax.make("ANM6Easy-v0")
    with_cars = env.network.with_devices(EVCharger(3))
    with pytest.raises(ValueError, match="asks for a GridTask"):
        env.replace(network=with_cars).next_vars(jax.random.key(0), jnp.zeros(18))
