"""Processes: mean, spread, memory and bounds are what their equations say, drawn in JAX or as a table."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtri

import anmjax
from anmjax.tasks import processes
from anmjax.tasks.processes import Demand, Moment, Noise, Sun, Wind

START = Moment.of("2023-01-01T00:00")
YEAR = START.after(0.25 * np.arange(35_040))
PROCESSES = {
    "sun": Sun(),
    "wind": Wind(),
    "homes": processes.residential(),
    "shops": processes.commercial(),
    "factories": processes.industrial(),
}


@pytest.fixture(scope="module")
def years() -> dict[str, np.ndarray]:
    """A year of 8 sites of each, (35040, 8)."""
    return {name: one.table((0,), 8, START, 35_040, 0.25) for name, one in PROCESSES.items()}


def test_noise_has_the_variance_the_memory_and_the_correlation_that_it_states():
    noise = Noise((10.0, 0.5), (0.6, 0.4), shared=0.3)
    z = noise.table((1,), 200, 20_000, 0.25)
    # 200 sites with 5000 h each: some 30,000 independent values, less what sites share.
    assert abs(z.mean()) < 0.05
    assert abs(z.var() - 1) < 0.05
    for hours in (0.25, 1.0, 5.0):
        lag = round(hours / 0.25)
        measured = np.mean(z[lag:] * z[:-lag])
        assert abs(measured - 0.6 * np.exp(-hours / 10) - 0.4 * np.exp(-hours / 0.5)) < 0.05
    between = np.corrcoef(z[:, :40].T)
    assert abs(between[np.triu_indices(40, 1)].mean() - 0.3) < 0.05


@pytest.mark.parametrize("name", PROCESSES)
def test_values_are_within_0_and_1(years, name):
    assert years[name].min() >= 0
    assert years[name].max() <= 1
    assert np.isfinite(years[name]).all()


@pytest.mark.parametrize("name", PROCESSES)
def test_the_mean_of_a_year_is_that_of_all_weathers(years, name):
    expected = PROCESSES[name].mean(YEAR).mean()
    # 8 sites that share most of their noise: a year has about 24 x 365 / (2 hours of memory) of its values.
    hours, spread = max(PROCESSES[name].noise.hours), years[name].std()
    assert abs(years[name].mean() - expected) < 5 * spread / np.sqrt(365 * 24 / (2 * hours))


def test_there_is_no_sun_at_night_and_more_of_it_in_summer(years):
    sun, hour, day = years["sun"], YEAR.hour, YEAR.yearday
    assert (sun[(hour < 3.5) | (hour > 20.5)] == 0).all()
    assert (sun[(hour > 9) & (hour < 15)] > 0).all()
    summer, winter = abs(day - 172) < 20, (day < 20) | (day > 345)
    assert sun[summer].mean() > 3 * sun[winter].mean()
    # At 48 degrees the sun is 65.45 degrees high at noon in midsummer: 1098 x 0.9096 x exp(-0.0627) W/m2.
    clear = Sun().clear_sky(YEAR)
    assert clear.max() == pytest.approx(0.9 * 1.098 * 0.9096 * np.exp(-0.057 / 0.9096), abs=1e-3)
    assert (sun <= clear[:, None] + 1e-15).all()
    # By day the mean of the index is dark + (1 - dark) / (1 + cloudiness).
    index = Sun().mean(YEAR)[clear > 0.1] / clear[clear > 0.1]
    np.testing.assert_allclose(index, 0.1 + 0.9 / 1.6, atol=1e-3)


def test_days_are_16_hours_long_in_midsummer_and_8_in_midwinter():
    for time, hours in (("2023-06-21T00:00", 15.9), ("2023-12-21T00:00", 8.1), ("2023-03-21T00:00", 12.0)):
        day = Moment.of(time).after(np.arange(0, 24, 0.01))
        up = (Sun(latitude_deg=48.0).clear_sky(day) > 0).sum() * 0.01
        assert up == pytest.approx(hours, abs=0.2)  # of geometry, without refraction


def test_the_wind_is_weibulls_and_the_turbine_follows_its_curve():
    wind = Wind(seasonal=0.0)
    z = wind.noise.table((3,), 50, 20_000, 0.25)
    speed = wind.speed(z, START.after(0.25 * np.arange(20_000)))
    # Of 50 sites that share most of it, 5000 h with a memory of 14 h: 180 independent values.
    assert speed.mean() == pytest.approx(wind.mean_speed(), rel=0.15)
    at = Moment(*(np.zeros(5) for _ in range(3)))
    asked = np.array([2.9, 3.0, 8.0, 12.0, 25.5])
    u = 1 - np.exp(-((asked / wind.scale) ** wind.shape))
    power = wind.output(ndtri(u)[:, None], at)[:, 0]
    np.testing.assert_allclose(power, [0, 0, (8**3 - 27) / (12**3 - 27), 1, 0], atol=1e-9)


def test_the_wind_lasts_for_hours_and_clouds_pass(years):
    def correlation(x: np.ndarray, lag: int) -> float:
        return float(np.corrcoef(x[lag:], x[:-lag])[0, 1])

    wind = years["wind"][:, 0]
    assert correlation(wind, 4) > 0.85  # an hour
    assert correlation(wind, 4 * 72) < 0.25  # three days: what is left is the season's
    clear = Sun().clear_sky(YEAR)
    noon = (YEAR.hour == 12.0).nonzero()[0]
    index = years["sun"][:, 0] / np.where(clear > 0.05, clear, 1)
    hour = np.corrcoef(index[noon], index[noon + 4])[0, 1]
    assert 0.6 < hour < 0.9  # 0.75 exp(-1 / 30) + 0.25 exp(-1 / 0.7), less for the power of u


def test_demand_goes_with_hours_weekdays_and_seasons(years):
    at, homes, shops = YEAR, years["homes"].mean(1), years["shops"].mean(1)
    workday, weekend = at.weekday < 5, at.weekday >= 5
    evening, night = (at.hour > 18) & (at.hour < 20), (at.hour > 2) & (at.hour < 4)
    assert homes[evening & workday].mean() > 2.5 * homes[night & workday].mean()
    noon = (at.hour > 10) & (at.hour < 15)
    assert shops[noon & workday].mean() > 1.6 * shops[noon & weekend].mean()
    winter, summer = at.yearday < 50, abs(at.yearday - 200) < 25
    assert homes[winter].mean() > 1.2 * homes[summer].mean()
    # 2023 began with a Sunday.
    assert weekend[0]
    assert workday[96]
    noise = years["homes"] / Demand().expected(at)[:, None] - 1
    assert noise.std() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("name", PROCESSES)
def test_steps_in_jax_are_of_the_distribution_of_the_table(name):
    process, sites = PROCESSES[name], 2000
    at = Moment.of("2023-06-14T10:00")
    state = process.init(jax.random.key(0), sites, at)
    step = jax.jit(lambda key, state: process.step(key, state, 0.5))
    values = [process.value(state)]
    for k in range(4):
        state = step(jax.random.key(k + 1), state)
        values.append(process.value(state))
    expected = process.mean(at.after(0.5 * np.arange(5)))
    tolerance = 5 * np.std(values) * np.sqrt(process.noise.shared + 1 / sites)
    np.testing.assert_allclose(np.mean(values, 1), expected, atol=tolerance)
    assert state.at.hour == pytest.approx(12.0)
    narrow = process.init(jax.random.key(0), 3, at, jnp.float32)
    assert process.value(process.step(jax.random.key(1), narrow, 0.25)).dtype == jnp.float32


@pytest.mark.long
@pytest.mark.parametrize("name", ["sun", "wind", "homes"])
def test_the_mean_forecast_is_the_mean_of_noisy_ones(name):
    process = PROCESSES[name]
    state = process.init(jax.random.key(5), 2, Moment.of("2023-06-14T09:00"))
    run = jax.jit(
        lambda key, kind: process.forecast(key, state, 12, delta_t=0.5, kind=kind), static_argnames="kind"
    )
    keys = jax.random.split(jax.random.key(6), 2000)
    drawn = jax.jit(jax.vmap(lambda key: process.forecast(key, state, 12, delta_t=0.5, kind="noisy")))(keys)
    mean = run(keys[0], "mean")
    assert mean.shape == (12, 2)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=float(5 * drawn.std() / np.sqrt(2000)))
    # In the first moments persistence is as good, in the end it is off by all that the noise forgets.
    kept = run(keys[0], "persistence")
    coming = state.at.after(0.5 * jnp.arange(1, 13.0))
    forgot = process.output(jnp.broadcast_to(process.noise.sum(state.terms), (12, 2)), coming)
    np.testing.assert_allclose(kept, forgot, atol=1e-12)
    assert abs(kept[0] - mean[0]).max() < abs(kept - mean).max()
    with pytest.raises(ValueError, match="kind is 'perfect', but must be one of 'persistence', 'mean'"):
        process.forecast(keys[0], state, 3, delta_t=0.5, kind="perfect")


def test_profiles_are_drawn_by_seed():
    grid = {"baseMVA": 10, "bus": [[0, 0, 20, 1.0, 1.0], [1, 1, 20, 1.05, 0.95]]}
    grid |= {"device": [[0, 0, 0, *[None] * 12]], "branch": [[0, 1, 0.02, 0.04, 0, 5, 1, 0]]}
    net = anmjax.Network.from_dict(grid).with_devices(
        anmjax.Load(bus=1, p_mw=2.0, name="town"), anmjax.Renewable(bus=1, p_mw=3.0, name="park")
    )
    driven = [(processes.residential(), {"town": 2.0}), (Sun(), {"park": 3.0})]
    one = anmjax.Profiles.from_processes(driven, net, seed=4, days=2, start="2023-06-01T00:00")
    again = anmjax.Profiles.from_processes(driven, net, seed=4, days=2, start="2023-06-01T00:00")
    other = anmjax.Profiles.from_processes(driven, net, seed=5, days=2, start="2023-06-01T00:00")
    np.testing.assert_array_equal(one.values, again.values)
    assert (one.values[:, 0] != other.values[:, 0]).all()
    assert one.values.shape == (192, 2)
    assert (one.values[:, 0] < 0).all()
    assert 0.5 < one.values[:, 1].max() <= 3
    with pytest.raises(ValueError, match="two processes drive 'town'"):
        anmjax.Profiles.from_processes([driven[0], driven[0]], net)
    with pytest.raises(ValueError, match="seed is -1"):
        anmjax.Profiles.from_processes(driven, net, seed=-1)
    with pytest.raises(ValueError, match="time is 'May'"):
        anmjax.Profiles.from_processes(driven, net, start="May")


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Noise(()), "hours are"),
        (lambda: Noise((0.0,)), "hours are"),
        (lambda: Noise((1.0, 2.0)), "shares are"),
        (lambda: Noise((1.0,), shared=1.5), "shared is 1.5"),
        (lambda: Demand(workday=(1.0,) * 23), "workday is"),
    ],
)
def test_a_number_that_may_not_be_is_named(build, said):
    with pytest.raises(ValueError, match=said):
        build()
