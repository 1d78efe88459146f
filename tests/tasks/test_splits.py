"""Hard days and outages: which days, which branch, and what a grid without them says."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax

KEY = jax.random.key(0)
DAYS = 30
TEST = 2 / 3  # the last 20 days


@pytest.fixture(scope="module")
def network() -> anmjax.Network:
    """A town, a solar park and a battery on a ring of three buses behind a transformer."""
    bus = [[0, 0, 110, 1.0, 1.0], *([k, 1, 20, 1.05, 0.95] for k in (1, 2, 3))]
    lines = [[0, 1, 0.005, 0.02, 0, 20, 1, 0], [1, 2, 0.02, 0.04, 0, 5, 1, 0]]
    lines += [[2, 3, 0.02, 0.04, 0, 5, 1, 0], [3, 1, 0.02, 0.04, 0, 20, 1, 0]]
    slack = [[0, 0, 0, *[None] * 12]]
    net = anmjax.Network.from_dict({"baseMVA": 10, "bus": bus, "device": slack, "branch": lines})
    return net.with_devices(
        anmjax.Load(bus=2, q_per_p=0.2, name="town"),
        anmjax.Renewable(bus=3, p_mw=4.0, q_max_mvar=1.0, name="park"),
        anmjax.Renewable(bus=3, p_mw=1.0, controllable=False, name="roofs"),
        anmjax.Storage(bus=2, p_mw=1.0, capacity_mwh=4.0, name="battery"),
    )


@pytest.fixture(scope="module")
def task(network: anmjax.Network) -> anmjax.GridTask:
    """The town's peak grows by the day; days 12 and 27 have the least sun, of park and roofs."""
    hours = np.arange(24 * DAYS)
    day, hour = hours // 24, hours % 24
    sun = np.maximum(0, -np.cos(2 * np.pi * hour / 24)) * np.where(np.isin(day, (12, 27)), 0.1, 1.0)
    series = {"town": 2 + 0.05 * day * (hour == 20), "park": 3 * sun, "roofs": sun}
    profiles = anmjax.Profiles.from_numpy(series, network, step_hours=1.0, start="2016-01-01")
    return anmjax.GridTask(network, profiles, test=TEST)


def days_of(task: anmjax.GridTask) -> list[int]:
    return (np.asarray(task.starts) / 24).tolist()


def test_stress_and_low_sun_are_the_hardest_tenth_of_the_days_that_are_held_out(task):
    assert days_of(task) == list(range(9))
    held_out = days_of(task.replace(split="test"))
    assert held_out == list(range(10, 29))
    # 19 days are held out. An episode sees the 24 steps after its start: the last peak is of day 28.
    assert days_of(task.replace(split="stress")) == [27, 28]
    assert days_of(task.replace(split="low_sun")) == [12, 27]


def test_hard_days_go_on_as_the_table_does(task):
    hard = task.replace(split="low_sun")
    state = jax.jit(hard.reset)(KEY)
    p_load, p_max = hard.coming_profiles(state, 24)
    row = int(state.aux[-1])
    assert row in (12 * 24, 27 * 24)
    np.testing.assert_allclose(p_max[0] * 10, task.tables[row + 1 : row + 25, 2], rtol=1e-12)
    np.testing.assert_allclose(p_load[0] * 10, task.tables[row + 1 : row + 25, 0], rtol=1e-12)
    # A start is drawn of both.
    starts = jax.vmap(hard.init_state)(jax.random.split(KEY, 50))
    assert set(np.asarray(starts.aux[:, -1])) == {12 * 24, 27 * 24}


def test_an_outage_opens_the_most_loaded_branch_of_the_loop_and_no_other(task):
    reduced = task.replace(split="outage")
    # The town draws from bus 1 by both sides, more by the direct one, branch 1. The feeder to bus 1
    # carries more, and its outage would island everything.
    np.testing.assert_array_equal(reduced.network.in_service, [1, 0, 1, 1])
    assert days_of(reduced) == days_of(task.replace(split="test"))
    np.testing.assert_array_equal(task.network.in_service, 1)
    np.testing.assert_array_equal(reduced.replace(split="test").network.in_service, 1)
    after = jax.jit(lambda key: reduced.step(reduced.reset(key), jnp.zeros(4)))(KEY)
    assert after.metrics["converged"]
    # All of the town comes by the other side now: bus 2 is at the end of it.
    assert jnp.abs(after.grid.v[2]) < jnp.abs(after.grid.v[3])


def test_an_outage_may_be_chosen_and_needs_no_days_held_out(task):
    own = task.replace(split="outage", outage=3, test=())
    np.testing.assert_array_equal(own.network.in_service, [1, 1, 1, 0])
    assert days_of(own) == list(range(29))


@pytest.mark.parametrize("branch", [0, 9, "nowhere"])
def test_an_outage_that_would_leave_an_island_is_refused(task, branch):
    with pytest.raises(ValueError, match=rf"outage is {branch!r}, but must be the row .*: 1, 2, 3$"):
        task.replace(split="outage", outage=branch)


def test_a_radial_feeder_has_no_outage(network, task):
    radial = network.replace(in_service=np.array([1.0, 1.0, 1.0, 0.0]))
    with pytest.raises(ValueError, match="every outage of this grid would island a bus: it has no loop"):
        task.replace(net=radial, split="outage")


def test_a_grid_without_renewables_has_no_days_of_low_sun(network):
    plain = network.without_devices("park", "roofs")
    profiles = anmjax.Profiles.from_numpy({"town": np.ones(96)}, plain, step_hours=1.0)
    with pytest.raises(ValueError, match="split is 'low_sun', but nothing of this grid is a renewable"):
        anmjax.GridTask(plain, profiles, test=0.5, split="low_sun")
