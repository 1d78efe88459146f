"""The tasks on drawn years: limits bind in the stated shares, months are held out, planners run."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax.agents.baselines import BASELINES, do_nothing_policy
from anmjax.projection.flexible import Waiting, serve
from anmjax.tasks import DrawnTask

KEY = jax.random.key(0)
# Observations and actions, as documented.
SIZES = {
    "IEEE33-v0": (90, 14),
    "IEEE69-v0": (125, 16),
    "CIGREMV-v0": (77, 26),
    "LVFeeder-v0": (263, 72),
    "MVOberrhein-v0": (332, 24),
    "IEEE33Switch-v0": (90, 24),
}
STEPS = 35_040


# Those whose parts others have too.
_SLOW = ("IEEE69-v0", "IEEE33Switch-v0")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name in _SLOW)) for name in SIZES],
)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def task(name: str) -> DrawnTask:
    return anmjax.make(name)


def charged_at_once(env: DrawnTask) -> tuple[np.ndarray, np.ndarray]:
    """What chargers draw, (n_steps, n_charger) p.u., and what is owed after each step, p.u.h."""
    net = env.network
    at = np.array([k for k, place in enumerate(net.loads) if place in net.chargers], int)

    def step(owed: jax.Array, coming: Any) -> Any:
        waiting = Waiting(owed, coming[1], jnp.full_like(owed, -jnp.inf))
        served = serve(net, waiting, -coming[0] / net.base_mva, delta_t=env.delta_t)
        return served.owed, (served.p, served.owed)

    begin = jnp.zeros(len(at), net.dtype)
    p, owed = jax.jit(lambda *x: jax.lax.scan(step, begin, x))(env.tables[:, at], env.stay)[1]
    return np.asarray(p), np.asarray(owed)


def idle(env: DrawnTask, rows: np.ndarray) -> Any:
    """States after a step of doing nothing from each of some rows of the year, with storage half full."""
    action = do_nothing_policy(env).action
    half = jax.tree.map(lambda x: x[0], env.evaluation_starts()).soc
    owed = charged_at_once(env)[1] * env.network.base_mva if env.network.chargers else None

    def one(row: jax.Array, owed: jax.Array | None) -> anmjax.State:
        return env.step(env.reset_to(KEY, env.start_at(row, half).replace(owed=owed)), action)

    run = jax.jit(jax.vmap(one))
    parts = [
        jax.device_get(run(jnp.asarray(part), None if owed is None else owed[part]).replace(key=None))
        for part in np.split(rows, 8)
    ]
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def shares(states: Any) -> tuple[float, float, float]:
    """Of steps in which a voltage limit, a rating, or either is violated."""
    voltage, branch = (states.costs[:, k] > 0 for k in range(2))
    return float(voltage.mean()), float(branch.mean()), float((voltage | branch).mean())


def stated(env: DrawnTask) -> tuple[float, ...]:
    """The same as the documentation has them."""
    text = " ".join((type(env).__doc__ or "").split())
    found = re.search(
        r"violates a voltage limit in ([\d.]+) % of the year's steps, a branch rating in ([\d.]+) %, "
        r"and one or the other in ([\d.]+) %\.",
        text,
    )
    assert found
    return tuple(float(x) / 100 for x in found.groups())


@pytest.mark.slow
def test_a_sample_of_the_year_violates_limits_in_the_stated_shares(task):
    # 61 is no divisor of a day: all hours and all months. 575 steps: within 3 points here, being drawn once.
    net = jax.device_get(task.network)
    rows = np.array(task.tables)[::61] / net.base_mva
    if net.chargers:
        at = [k for k, place in enumerate(net.loads) if place in net.chargers]
        rows[:, at] = charged_at_once(task)[0][::61]
    p, q = np.zeros((2, len(rows), net.n_bus))
    for column, k in zip(rows.T, (*net.loads, *net.generators), strict=True):
        p[:, net.device_bus[k]] += column
        q[:, net.device_bus[k]] += column * (net.qp_ratio[k] if k in net.loads else 0)

    @jax.jit
    @jax.vmap
    def solve(p, q):
        flow = anmjax.power_flow(net, p, q)
        ends = anmjax.branch_flows(net, flow.v)
        return jnp.abs(flow.v), jnp.maximum(jnp.abs(ends.s_from), jnp.abs(ends.s_to)), flow.converged

    vm, flow, converged = jax.device_get(solve(p, q))
    assert converged.all()
    others = np.arange(net.n_bus) != net.slack
    voltage = ((vm > net.v_max) | (vm < net.v_min))[:, others].any(1)
    branch = (flow > net.rating).any(1)
    found = voltage.mean(), branch.mean(), (voltage | branch).mean()
    np.testing.assert_allclose(found, stated(task), atol=0.03)
    # Both sides of the voltage limits bind.
    assert (vm > net.v_max)[:, others].any()
    assert (vm < net.v_min)[:, others].any()


@pytest.mark.slow
def test_the_whole_year_violates_limits_in_the_stated_shares(task):
    states = idle(task, (np.arange(STEPS) - 1) % STEPS)
    np.testing.assert_allclose(shares(states), stated(task), atol=0.000501)  # written with one decimal
    assert not states.terminated.any()
    assert np.isfinite(states.obs).all()
    # Nothing is curtailed, and losses are positive.
    assert abs(states.metrics["curtailment"]).max() < 1e-12
    assert (states.metrics["e_loss"] > 0).all()


def test_the_documentation_has_the_sizes_of_observation_and_action(name, task):
    text = " ".join((type(task).__doc__ or "").split())
    assert (task.observation_space.shape[0], task.action_space.shape[0]) == SIZES[name]
    assert f"Observation ({SIZES[name][0]})" in text
    assert f"Action ({SIZES[name][1]})" in text
    assert text.startswith(f"{name}: ")
    assert f"{task.network.n_bus}" in text
    assert task.episode_steps == 96
    assert task.tables.shape[0] == STEPS


def test_a_month_of_each_season_is_held_out(task):
    months = np.datetime64("2023-01-01T00:00") + np.arange(STEPS) * np.timedelta64(15, "m")
    month = months.astype("datetime64[M]").astype(int) % 12 + 1
    held_out = task.replace(split="test")
    assert set(month[np.asarray(held_out.starts, int)]) == {3, 6, 9, 12}
    assert set(month[np.asarray(task.starts, int)]) == {1, 2, 4, 5, 7, 8, 10, 11}
    # Of every stretch all days but the last, whose episode would leave it.
    assert held_out.starts.shape == (31 + 30 + 30 + 31 - 4,)
    assert len(held_out.evaluation_starts().p_dev) == 96
    assert held_out.tables.shape == task.tables.shape


def test_loads_stay_below_their_nominal_power_and_generators_below_theirs(task):
    net = jax.device_get(task.network)
    table = np.asarray(task.tables) / net.base_mva
    n = len(net.loads)
    # 1e-12: MW to p.u. and back.
    loads = [k for k, place in enumerate(net.loads) if place not in net.chargers]
    assert (table[:, loads] >= net.p_min[np.array(net.loads)[loads]] - 1e-12).all()
    assert (table[:, n:] <= net.p_max[np.array(net.generators)] + 1e-12).all()
    assert (table[:, :n] <= 0).all()
    assert (table[:, n:] >= 0).all()


def test_another_seed_is_another_year_and_the_same_one_the_same():
    task = anmjax.make("CIGREMV-v0")
    again, other = anmjax.make("CIGREMV-v0", seed=0), anmjax.make("CIGREMV-v0", seed=1)
    np.testing.assert_array_equal(task.tables, again.tables)
    assert abs(task.tables.mean(0) - other.tables.mean(0)).max() > 0
    narrow = anmjax.make("CIGREMV-v0", dtype=jnp.float32)
    np.testing.assert_array_equal(narrow.tables, np.asarray(task.tables, np.float32))
    assert other.replace(lamb=3.0).lamb == 3.0
    np.testing.assert_array_equal(other.replace(lamb=3.0).tables, other.tables)


@pytest.mark.long
def test_an_episode_runs_from_reset_to_truncation(task):
    policy = do_nothing_policy(task)
    state = jax.jit(task.reset)(KEY)
    step = jax.jit(lambda s, _: ((n := task.step(s, policy.action)), (n.reward, n.truncated, n.terminated)))
    _, (reward, truncated, terminated) = jax.lax.scan(step, state, None, length=96)
    assert np.isfinite(reward).all()
    np.testing.assert_array_equal(truncated, np.arange(96) == 95)
    assert not terminated.any()


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["mpc-constant", "mpc-perfect"])
def test_planners_run_on_every_task(task, baseline):
    policy = BASELINES[baseline](task)
    states = jax.vmap(task.reset_to, in_axes=(None, 0))(
        KEY, jax.tree.map(lambda x: x[:2], task.evaluation_starts())
    )
    actions = jax.jit(jax.vmap(lambda s: policy.act(KEY, s)))(states)
    assert np.isfinite(actions).all()
    after = jax.jit(jax.vmap(task.step))(states, actions)
    assert not after.terminated.any()


@pytest.mark.parametrize("name", ["ANM6Easy-v0", "ANM6-v0", "CIGREMV-v0"])
def test_the_clock_of_a_task_is_its_time_of_day_whatever_else_it_remembers(name):
    env = anmjax.make(name)
    for row in (0, 61, 95):  # quarters of an hour
        assert float(env.hour(env.start_at(jnp.int32(row), env.charges(None)))) == row / 4
