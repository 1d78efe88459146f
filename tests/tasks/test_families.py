"""randomise: a batch of grids around one, each what it is alone, with limits in order and no islands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax.agents.baselines import do_nothing_policy
from tests.envs.samples import NETWORK, Feeder

GRIDS = 4096
KEYS = jax.random.split(jax.random.key(0), GRIDS)
SPREADS = {"impedance": 0.3, "rating": 0.1, "load": 0.2, "der": 0.25}
ANM6 = anmjax.make("ANM6Easy-v0", tol=1e-11)
IDLE = do_nothing_policy(ANM6).action


def run(env: Any, key: jax.Array) -> anmjax.State:
    """A step of doing nothing from a drawn start."""
    return env.step(env.reset_to(key, env.init_state(key)), IDLE)


def drawn(key: jax.Array) -> Any:
    return anmjax.randomise(ANM6, key, **SPREADS)


@pytest.fixture(scope="module")
def family() -> Any:
    return jax.jit(jax.vmap(drawn))(KEYS)


@pytest.fixture(scope="module")
def together(family: Any) -> anmjax.State:
    """The states of all grids after a step, in one call."""
    chex.clear_trace_counter()
    return jax.jit(jax.vmap(chex.assert_max_traces(run, n=1)))(family, KEYS)


@pytest.mark.long
def test_4096_grids_in_one_call_are_each_the_grid_alone_by_one_trace(together):
    assert len(np.unique(together.reward)) == GRIDS
    assert together.grid.converged.all()
    alone = jax.jit(lambda key: replace(run(drawn(key), key), key=None))
    expected = jax.tree.map(lambda *x: np.stack(x), *(jax.device_get(alone(key)) for key in KEYS))
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(replace(together, key=None)),
        jax.tree.leaves(expected),
        strict=True,
    ):
        if "mismatch" in jax.tree_util.keystr(path):
            continue  # what is left of the power balance is itself rounding
        # The same operations, which the compiler may fuse in another order.
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12, err_msg=jax.tree_util.keystr(path))


def test_factors_are_within_their_spreads_and_fill_them(family):
    net, grids = jax.device_get((ANM6.network, family.network))
    devices = [*net.generators, *net.storage]
    for name, spread, which in (
        ("r", 0.3, slice(None)),
        ("rating", 0.1, slice(None)),
        ("p_min", 0.2, list(net.loads)),
        ("p_max", 0.25, devices),
        ("soc_max", 0.25, list(net.storage)),
    ):
        factor = getattr(grids, name)[:, which] / getattr(net, name)[which]
        assert 1 - spread <= factor.min() < 1 - 0.9 * spread, name
        assert 1 + 0.9 * spread < factor.max() <= 1 + spread, name
        # The mean of 4096 x n uniform draws: within 5 of its standard deviations.
        assert abs(factor.mean() - 1) < 5 * spread / np.sqrt(3 * factor.size), name
    np.testing.assert_allclose(grids.x / grids.r, np.tile(net.x / net.r, (GRIDS, 1)), rtol=1e-12)
    np.testing.assert_array_equal(grids.v_max, np.tile(net.v_max, (GRIDS, 1)))


def test_limits_stay_in_order(family):
    net = family.network
    for low, high in (
        *(("p_min", "p_max"), ("q_min", "q_max"), ("q_minus", "q_plus"), ("soc_min", "soc_max")),
        *(("p_plus", "p_max"), ("p_min", "p_minus"), ("q_plus", "q_max"), ("q_min", "q_minus")),
    ):
        of_units = [*ANM6.network.generators, *ANM6.network.storage]
        assert (getattr(net, low)[:, of_units] <= getattr(net, high)[:, of_units]).all(), (low, high)


def test_demand_and_potential_grow_with_their_devices(family, together):
    env, state = jax.tree.map(lambda x: x[0], (family, replace(together, key=None)))
    net, nominal = jax.device_get((env.network, ANM6.network))
    loads, generators = list(net.loads), list(net.generators)
    row = ANM6.tables[int(state.aux[0])]
    demand = net.p_min[loads] / nominal.p_min[loads] * row[: len(loads)] / 100
    potential = net.p_max[generators] / nominal.p_max[generators] * row[len(loads) :] / 100
    np.testing.assert_allclose(state.grid.p[jnp.array(loads)], demand, rtol=1e-12)
    np.testing.assert_allclose(
        state.grid.p_potential, np.minimum(potential, net.p_max[generators]), rtol=1e-12
    )
    # Planners are told of the same.
    before = replace(state, aux=state.aux - 1)
    p_load, p_max = env.coming_profiles(before, 1)
    np.testing.assert_allclose(p_load[:, 0], demand, rtol=1e-12)
    np.testing.assert_allclose(p_max[:, 0], potential, rtol=1e-12)


def test_a_draw_of_one_kind_is_the_same_beside_others_and_the_nominal_grid_without_any():
    alone = anmjax.randomise(ANM6, KEYS[1], impedance=0.3)
    beside = anmjax.randomise(ANM6, KEYS[1], **SPREADS)
    np.testing.assert_array_equal(alone.network.r, beside.network.r)
    np.testing.assert_array_equal(alone.network.rating, ANM6.network.rating)
    chex.assert_trees_all_equal(anmjax.randomise(ANM6, KEYS[1]), ANM6)


def test_an_outage_opens_one_branch_of_a_loop_and_leaves_no_bus_alone():
    # The ring of four buses with a spur to a fifth, whose loss would island it.
    bus, branch = (
        [*NETWORK["bus"], [4, 1, 33, 1.04, 0.98]],
        [*NETWORK["branch"], [3, 4, 0.01, 0.02, 0, 6, 1, 0]],
    )
    env = Feeder()
    spur = anmjax.Network.from_dict({**NETWORK, "bus": bus, "branch": branch})
    env = env.replace(network=jax.tree.map(jnp.asarray, spur))
    keys = jax.random.split(jax.random.key(1), 400)
    up = jax.jit(jax.vmap(lambda key: anmjax.randomise(env, key, outage=0.5).network.in_service))(keys)
    np.testing.assert_array_equal(up[:, 4], 1)
    assert set(np.asarray(up.sum(1))) == {4, 5}
    # 400 draws: 0.5 +- 5 standard deviations of 0.025; each of four branches 50 +- 5 of 6.6.
    assert abs(np.mean(up.sum(1) == 4) - 0.5) < 0.125
    assert (abs((up == 0).sum(0)[:4] - 50) < 33).all()
    again = anmjax.randomise(anmjax.randomise(env, keys[0], outage=1.0), keys[1], impedance=0.1)
    with pytest.raises(ValueError, match="it has no loop"):
        anmjax.randomise(again, keys[2], outage=1.0)


def test_a_task_with_other_arguments_keeps_the_grid_that_was_drawn():
    bus = [[0, 0, 20, 1.0, 1.0], [1, 1, 20, 1.05, 0.95]]
    grid = {"baseMVA": 10, "bus": bus, "device": [[0, 0, 0, *[None] * 12]]}
    net = anmjax.Network.from_dict({**grid, "branch": [[0, 1, 0.02, 0.04, 0, 5, 1, 0]]})
    net = net.with_devices(anmjax.Load(bus=1, p_mw=2, name="town"))
    hours = np.arange(48.0)
    task = anmjax.GridTask(net, anmjax.Profiles.from_numpy({"town": 1 + hours / 100}, net, step_hours=1))
    one = anmjax.randomise(task, KEYS[2], load=0.5, impedance=0.5)
    other = one.replace(lamb=3.0)
    assert other.lamb == 3.0
    np.testing.assert_array_equal(other.network.r, one.network.r)
    assert one.scale[0] != 1
    np.testing.assert_array_equal(other.rows(jnp.arange(3)), np.asarray(task.tables[:3]) * one.scale[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"impedance": 1.0}, "impedance is 1.0, but must be a spread in"),
        ({"rating": -0.1}, "rating is -0.1, but must be"),
        ({"load": "much"}, "load is 'much', but must be"),
        ({"outage": 1.5}, "outage is 1.5, but must be a probability"),
        ({"outage": 0.1}, "every outage of this grid would island a bus"),
    ],
)
def test_a_spread_that_is_none_is_named(options, said):
    with pytest.raises(ValueError, match=said):
        anmjax.randomise(ANM6, KEYS[0], **options)


def test_what_cannot_be_randomised_is_said():
    with pytest.raises(TypeError, match="env is a TimeLimit, expected an ANMEnv: randomise it, then wrap it"):
        anmjax.randomise(anmjax.TimeLimit(ANM6, max_steps=3), KEYS[0], load=0.1)
    with pytest.raises(ValueError, match="Feeder follows none"):
        anmjax.randomise(Feeder(), KEYS[0], load=0.1)
    batch = jax.vmap(lambda key: anmjax.randomise(ANM6, key, rating=0.1, impedance=0.1))(KEYS[:2])
    with pytest.raises(ValueError, match="env has a batch of grids"):
        anmjax.randomise(batch, KEYS[0], rating=0.1)
    with pytest.raises(ValueError, match="let jax trace the key alone"):
        jax.jit(lambda env, key: anmjax.randomise(env, key, outage=0.1))(Feeder(), KEYS[0])
