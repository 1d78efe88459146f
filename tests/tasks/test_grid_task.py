"""GridTask: every injection of a net counts once, episodes stay in their part, days are of the table."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import anmjax
from anmjax.agents.baselines import do_nothing_policy
from anmjax.tasks.limits import MissingLimitsWarning
from tests.grid.pandapower_nets import pp, small_net, solve, with_other_consumers, with_ward_and_shunts

KEY = jax.random.key(0)


def everything() -> pp.pandapowerNet:
    """The small net with motors, wards, shunts, loads by phase and of constant current, all at once."""
    net = small_net()
    with_other_consumers(net)
    with_ward_and_shunts(net)
    pp.create_load(net, 3, p_mw=0.7, q_mvar=0.1, const_i_p_percent=30.0, const_i_q_percent=30.0)
    pp.create_load(net, 5, p_mw=0.2, q_mvar=0.3, name="factory")
    pp.create_sgen(net, 12, p_mw=0.6, q_mvar=0.05, name="park", controllable=True, max_p_mw=0.6)
    return net


def idle(net: pp.pandapowerNet) -> anmjax.State:
    """The state after a do-nothing step of the task of a net, whose injections become those of that step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = anmjax.Network.from_pandapower(net)
        task = anmjax.GridTask(network, anmjax.Profiles.of_case(network), num_iters=20, tol=1e-11)
    # What a do-nothing step asks for: no Q of what is controlled, storage at rest, PV buses as PQ.
    if "controllable" in net.sgen:
        net.sgen.loc[net.sgen.controllable.fillna(False).astype(bool), "q_mvar"] = 0.0
    of_gens = net.gen[~net.gen.slack.astype(bool)]
    for row in of_gens[of_gens.in_service.astype(bool)].itertuples():
        pp.create_sgen(net, row.bus, p_mw=row.p_mw * row.scaling)
    net.gen = net.gen[net.gen.slack.astype(bool)]
    net.storage.loc[net.storage.max_e_mwh > 0, ["p_mw", "q_mvar"]] = 0.0
    action = do_nothing_policy(task).action
    start = jax.tree.map(lambda x: x[0], task.evaluation_starts())
    return jax.jit(lambda start: task.step(task.reset_to(KEY, start), action))(start)


def difference(net: pp.pandapowerNet) -> float:
    """Largest difference of |V| (p.u.) between runpp and a do-nothing step of the task of a net."""
    after = idle(net)
    assert after.metrics["converged"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandapower's own, of the format of its cases
        index = anmjax.pandapower_bus_index(net)
        solve(net)
    ours, theirs = np.abs(after.grid.v), net.res_bus.vm_pu
    return max(abs(ours[k] - theirs[bus]) for bus, k in index.items() if k >= 0)


def test_a_do_nothing_step_is_the_power_flow_of_pandapower_with_all_that_is_no_device():
    # pandapower stops at 1e-10 MVA a bus.
    assert difference(everything()) < 1e-8


# One slack and a solution each: transmission, distribution, low voltage.
QUICK = ("case9", "simple_four_bus_system")
SHIPPED = (
    "case4gs",
    "case5",
    "case6ww",
    "case9",
    "case14",
    "case30",
    "case_ieee30",
    "case33bw",
    "simple_four_bus_system",
    "simple_mv_open_ring_net",
    "panda_four_load_branch",
    "four_loads_with_branches_out",
    "create_cigre_network_mv",
    "create_cigre_network_lv",
    "create_kerber_landnetz_freileitung_1",
    "create_kerber_landnetz_freileitung_2",
    "create_kerber_landnetz_kabel_1",
    "create_kerber_landnetz_kabel_2",
    "create_kerber_dorfnetz",
    "create_kerber_vorstadtnetz_kabel_1",
    "create_kerber_vorstadtnetz_kabel_2",
    "kb_extrem_landnetz_freileitung",
    "kb_extrem_landnetz_kabel",
    "kb_extrem_landnetz_freileitung_trafo",
    "kb_extrem_landnetz_kabel_trafo",
    "kb_extrem_dorfnetz",
    "kb_extrem_dorfnetz_trafo",
    "kb_extrem_vorstadtnetz_1",
    "kb_extrem_vorstadtnetz_2",
    "kb_extrem_vorstadtnetz_trafo_1",
    "kb_extrem_vorstadtnetz_trafo_2",
)


# Transmission, whose generators hold voltages: as PQ buses without reactive power they cannot carry the load.
UNSUPPORTED = (
    "case24_ieee_rts",
    "case39",
    "case57",
    "case89pegase",
    "case118",
    "case145",
    "case_illinois200",
    "case300",
    "create_cigre_network_hv",
)


@pytest.mark.long
def test_an_injection_counts_once_whether_it_is_of_a_device_or_fixed():
    battery = anmjax.Storage(bus=3, p_mw=0.4, capacity_mwh=1.0)
    states = []
    for devices in (True, False):
        net = anmjax.Network.from_pandapower(small_net(), devices=devices).with_limits(v_min=0.9, v_max=1.1)
        net = net.with_devices(battery)
        assert net.p_fixed is None if devices else net.p_fixed.any()
        task = anmjax.GridTask(net, anmjax.Profiles.of_case(net))
        start = jax.tree.map(lambda x: x[0], task.evaluation_starts())
        state = jax.jit(task.reset_to)(KEY, start)
        states.append(jax.jit(task.step)(state, jnp.array([0.3, 0.0])))  # MW, MVAr of the battery
    own, fixed = states
    # The same equations, summed in another order: a few roundings.
    np.testing.assert_allclose(fixed.grid.v, own.grid.v, atol=1e-14)
    np.testing.assert_allclose(fixed.metrics["e_loss"], own.metrics["e_loss"], atol=1e-14)
    # What the slack gives beyond what is drawn is lost: 2.7 MW less 1 MW of the static generator, on 2 MVA,
    # and the battery's 0.3 MW, which e_loss does not count as given.
    lost = (own.grid.p[0] * 2 - 1.7) / 2 * 0.25
    np.testing.assert_allclose(own.metrics["e_loss"], lost, atol=1e-14)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SHIPPED]
)
def test_a_do_nothing_step_of_a_net_that_pandapower_ships_is_its_power_flow(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandapower.networks

        net = getattr(pandapower.networks, name)()
    assert difference(net) < 1e-8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_net_without_a_solution_for_pandapower_has_none_here_and_the_episode_is_over(name):
    import pandapower.networks

    net = getattr(pandapower.networks, name)()
    after = idle(net)
    with pytest.raises(pp.LoadflowNotConverged):
        solve(net)
    assert after.terminated
    assert not after.metrics["converged"]


def test_a_net_with_two_external_grids_is_refused_by_its_number_of_slacks():
    net = small_net()
    pp.create_ext_grid(net, 3)
    network = anmjax.Network.from_pandapower(net).with_limits(v_min=0.9, v_max=1.1)
    with pytest.raises(ValueError, match="2 slack buses, but must be one with exactly one slack bus"):
        anmjax.GridTask(network, anmjax.Profiles.of_case(network))


@pytest.fixture(scope="module")
def network() -> anmjax.Network:
    """A load, a solar park and a battery on a feeder of three buses."""
    bus = [[0, 0, 20, 1.0, 1.0], [1, 1, 20, 1.05, 0.95], [2, 1, 20, 1.05, 0.95]]
    branch = [[0, 1, 0.02, 0.04, 0, 5, 1, 0], [1, 2, 0.02, 0.04, 0, 3, 1, 0]]
    slack = [[0, 0, 0, *[None] * 12]]
    net = anmjax.Network.from_dict({"baseMVA": 10, "bus": bus, "device": slack, "branch": branch})
    return net.with_devices(
        anmjax.Load(bus=1, q_per_p=0.2, name="town"),
        anmjax.Renewable(bus=2, p_mw=3.0, q_max_mvar=1.0, name="park"),
        anmjax.Storage(bus=2, p_mw=1.0, capacity_mwh=4.0, efficiency=0.9, name="battery"),
    )


@pytest.fixture(scope="module")
def profiles(network: anmjax.Network) -> anmjax.Profiles:
    """Ten days at hours that name their values: the town draws 1 + row / 1000 MW."""
    times = pd.date_range("2016-10-27", periods=240, freq="h")
    rows = np.arange(240.0)
    frame = pd.DataFrame({"town": 1 + rows / 1000, "park": np.maximum(0, np.sin(rows))}, index=times)
    return anmjax.Profiles.from_dataframe(frame, network)


@pytest.fixture(scope="module")
def task(network: anmjax.Network, profiles: anmjax.Profiles) -> anmjax.GridTask:
    return anmjax.GridTask(network, profiles, test=("2016-11",))


def test_starts_are_midnights_whose_episode_lies_in_the_part(task):
    # 27 October to 31 October are 5 days: of them the last would reach into November.
    np.testing.assert_array_equal(task.starts, [0, 24, 48, 72])
    held_out = task.replace(split="test")
    np.testing.assert_array_equal(held_out.starts, [120, 144, 168, 192])
    assert held_out.lamb == task.lamb == 100
    assert task.replace(lamb=7).lamb == 7
    assert task.replace(lamb=7).replace(split="test").lamb == 7


def test_a_step_follows_the_table_and_the_end_of_an_episode_truncates(task):
    starts = task.evaluation_starts()
    state = jax.jit(task.reset_to)(KEY, jax.tree.map(lambda x: x[1], starts))
    action = do_nothing_policy(task).action
    _, states = jax.lax.scan(lambda s, _: ((n := task.step(s, action)), n), state, None, length=25)
    # The load is device 1; row 24 is the start, so step k is at row 24 + k. 1e-12: MW to p.u. and back.
    np.testing.assert_allclose(states.grid.p[:, 1] * 10, -(1 + np.arange(25, 50) / 1000), rtol=1e-12)
    np.testing.assert_allclose(states.grid.q[:, 1], 0.2 * states.grid.p[:, 1], rtol=1e-12)
    np.testing.assert_array_equal(states.truncated, np.arange(1, 26) >= 24)
    assert not states.terminated.any()
    p_load, p_max = task.coming_profiles(state, 24)
    np.testing.assert_allclose(p_load[0], states.grid.p[:24, 1], rtol=1e-12)
    np.testing.assert_allclose(p_max[0], states.grid.p_potential[:24, 0], atol=1e-15)
    hour = task.observation_cycles
    assert hour == ((task.observation_space.shape[0] - 1, 24.0),)
    np.testing.assert_allclose(states.obs[:, hour[0][0]], np.arange(1, 26) % 24)


def test_what_comes_after_the_part_is_its_beginning(task):
    held_out = task.replace(split="test")
    state = jax.jit(held_out.reset_to)(KEY, jax.tree.map(lambda x: x[-1], held_out.evaluation_starts()))
    p_load, _ = held_out.coming_profiles(state, 60)
    rows = [*range(193, 240), *range(120, 133)]
    np.testing.assert_allclose(p_load[0] * 10, -(1 + np.array(rows) / 1000), rtol=1e-12)


def test_resets_draw_days_of_the_part_and_charges_of_the_whole_range(task):
    starts = jax.vmap(task.init_state)(jax.random.split(KEY, 200))
    assert set(np.asarray(starts.aux[:, -1])) == {0, 24, 48, 72}
    # 200 uniform draws: the chance that none is in a given twentieth is 0.95^200, 4e-5.
    assert starts.soc.min() < 0.2
    assert starts.soc.max() > 3.8
    np.testing.assert_array_equal(starts.p_dev[:, 3], 0)


@pytest.mark.long
def test_noise_multiplies_the_table_with_a_memory_and_planners_are_told_of_it(task):
    noisy = task.replace(noise=0.2, noise_hours=6.0)
    action = do_nothing_policy(noisy).action
    assert noisy.observation_space.shape == task.observation_space.shape

    def day(key):
        state = noisy.reset(key)
        told = noisy.coming_profiles(state, 12)
        _, states = jax.lax.scan(lambda s, _: ((n := noisy.step(s, action)), n), state, None, length=12)
        return state, told, states

    first, (p_load, p_max), states = jax.device_get(jax.jit(jax.vmap(day))(jax.random.split(KEY, 4000)))
    np.testing.assert_allclose(p_load[:, 0], states.grid.p[:, :, 1], rtol=1e-12)
    np.testing.assert_allclose(p_max[:, 0], states.grid.p_potential[:, :, 0], rtol=1e-12)
    # Of the town alone: the park's limit cuts what is beyond it. Row r says 1 + r / 1000 MW.
    rows = first.aux[:, -1:] + np.arange(13)
    z = (
        -10 * np.concatenate([first.grid.p[:, None, 1], states.grid.p[:, :, 1]], 1) / (1 + rows / 1000) - 1
    ) / 0.2
    # 4,000 lanes: 4 standard errors of a mean are 0.063, of a variance 0.09, of a correlation 0.063.
    np.testing.assert_allclose(z.mean(0), 0, atol=0.063)
    np.testing.assert_allclose(z.var(0), 1, atol=0.09)
    correlations = [np.corrcoef(z[:, 0], z[:, k])[0, 1] for k in range(13)]
    np.testing.assert_allclose(correlations, np.exp(-np.arange(13) / 6), atol=0.063)
    np.testing.assert_array_equal(noisy.evaluation_starts().p_dev, task.evaluation_starts().p_dev)


def test_devices_without_limits_have_those_of_their_profile(task):
    np.testing.assert_allclose(task.network.p_min[1] * 10, -1.239, rtol=1e-12)
    np.testing.assert_allclose(task.network.q_min[1] * 10, -0.2478, rtol=1e-12)
    assert jnp.isfinite(task.action_space.high).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "winter"}, "split is 'winter', but must be one of 'train', 'test', 'stress', 'low_sun'"),
        ({"split": "stress"}, "split is 'stress', but nothing is held out"),
        ({"split": "test"}, "nothing is held out"),
        ({"test": ("2017-01",)}, "test has '2017-01', but the profiles are from 2016-10-27"),
        ({"test": ("November",)}, "test has 'November'"),
        ({"test": 1.5}, r"test is 1.5"),
        ({"episode_hours": 1000}, "no episode of 1000 steps fits"),
        ({"episode_hours": 0.3}, "episode_hours is 0.3"),
        ({"start_every_hours": 0.3}, "start_every_hours is 0.3"),
        ({"noise": -1}, "noise is -1, but must be a number >= 0"),
        ({"noise": 0.1, "noise_hours": 0}, "noise_hours is 0, but must be a number > 0"),
    ],
)
def test_an_argument_that_is_none_is_named(network, profiles, options, said):
    with pytest.raises(ValueError, match=said):
        anmjax.GridTask(network, profiles, **options)


def test_missing_limits_are_warned_of_once(network, profiles):
    unlimited = network.replace(rating=np.full(2, np.inf), v_max=np.array([1, 2.0, 1.05]))
    with pytest.warns(MissingLimitsWarning) as caught:
        anmjax.GridTask(unlimited, profiles).replace(lamb=3)
    assert len(caught) == 1
    for said in ("no voltage limits at 'bus 1',", "no rating at 'branch 0', 'branch 1'", "with_limits"):
        assert said in str(caught[0].message)
    anmjax.GridTask(unlimited.with_limits(v_max=1.1, rating=8), profiles)
