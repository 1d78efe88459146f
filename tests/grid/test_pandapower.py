"""Networks from pandapower: its own solutions balance them, and what they cannot say is refused."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest

from anmjax.grid import IsolatedBusWarning, Network, SimplificationWarning, pandapower_bus_index
from benchmarks.robustness.pandapower_nets import factories
from tests.grid.pandapower_nets import (
    ELEMENTS,
    assert_balanced,
    small_net,
    with_elements_out_of_service,
    with_impedance,
    with_joined_buses,
    with_limits_of_reactive_power,
    with_open_ends,
    with_trafo3w,
    with_voltage_dependence,
    with_xwards,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pandapower's own notices on import
    import pandapower as pp
    import pandapower.networks as shipped

# pandapower says it of nets that it ships itself.
pytestmark = pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")

# Those with thousands of buses, and one that has no solution: at 99 % of its loads it has.
LARGE = [
    *("case1888rte", "case2848rte", "case2869pegase", "case3120sp", "case6470rte", "case6495rte"),
    *("case6515rte", "case9241pegase", "GBnetwork", "lv_schutterwald"),
]
UNSOLVED = ["case11_iwamoto"]
SHIPPED = [name for name in factories() if name not in (*LARGE, *UNSOLVED)]


@pytest.mark.filterwarnings("ignore::anmjax.grid.SimplificationWarning")  # of ieee_european_lv_asymmetric
@pytest.mark.parametrize("name", SHIPPED)
def test_pandapowers_solution_solves_the_networks_it_ships(name):
    assert_balanced(getattr(shipped, name)())


@pytest.mark.parametrize("der", ["all", "pv_wind"])
def test_pandapowers_solution_solves_the_cigre_network_with_its_generation(der):
    assert_balanced(shipped.create_cigre_network_mv(with_der=der))


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_pandapowers_solution_solves_the_largest_networks(name):
    assert_balanced(getattr(shipped, name)())


@pytest.mark.parametrize("name", UNSOLVED)
def test_pandapowers_solution_solves_a_network_without_one_at_a_lower_load(name):
    net = getattr(shipped, name)()
    with pytest.raises(pp.LoadflowNotConverged):
        assert_balanced(net)
    net.load["scaling"] = 0.99
    assert_balanced(net)


@pytest.mark.parametrize("change", ELEMENTS, ids=lambda change: change.__name__)
def test_pandapowers_solution_solves_a_net(change):
    net = small_net()
    change(net)
    assert_balanced(net)


@pytest.mark.parametrize("options", [{"trafo_model": "pi"}, {"switch_rx_ratio": 0.5}])
def test_a_model_stored_in_the_net_is_kept(options):
    net = small_net()
    with_joined_buses(net)
    plain = Network.from_pandapower(net)
    pp.set_user_pf_options(net, **options)
    network = assert_balanced(net)
    assert np.any(network.x != plain.x)


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"voltage_depend_loads": False}, with_voltage_dependence),
        ({"enforce_p_lims": True}, with_limits_of_reactive_power),
        ({"trafo3w_losses": "mv"}, with_trafo3w),
        ({"trafo3w_losses": "star"}, with_trafo3w),
        ({"neglect_open_switch_branches": True}, with_open_ends),
        (
            {"consider_line_temperature": True},
            lambda net: net.line.insert(0, "temperature_degree_celsius", 60.0),
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
@pytest.mark.filterwarnings("ignore:'alpha' is assumed")  # pandapower's, of the temperature
def test_other_options_of_a_power_flow_stored_in_the_net_are_kept(options, change):
    net = small_net()
    change(net)
    pp.set_user_pf_options(net, **options)
    network = assert_balanced(net)
    net.user_pf_options.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SimplificationWarning)
        plain = Network.from_pandapower(net)
    numbers = [
        np.concatenate([n.p, n.q, n.r, n.g_shunt, n.b_shunt, n.g, n.p_current]) for n in (network, plain)
    ]
    assert numbers[0].shape != numbers[1].shape or np.any(numbers[0] != numbers[1])


@pytest.mark.parametrize(
    "stored", [{"calculate_voltage_angles": False}, {"init": "results"}, {"init_vm_pu": 0.9}]
)
def test_options_that_only_steer_the_solution_do_not_matter(stored):
    net = small_net()
    plain = Network.from_pandapower(net)
    pp.set_user_pf_options(net, **stored)
    network = Network.from_pandapower(net)
    np.testing.assert_array_equal(network.shift, plain.shift)
    np.testing.assert_array_equal(network.v_set, plain.v_set)


def test_numbers_are_per_unit_on_the_nets_power_and_sorted_by_index():
    net = small_net()
    network = Network.from_pandapower(net)
    assert network.base_mva == 2.0
    assert network.bus_ids == (3, 5, 7, 12)
    np.testing.assert_array_equal(network.base_kv, [20, 20, 110, 20])
    assert (network.slack, network.pv) == (2, ())
    np.testing.assert_allclose(network.p, [0, 0.5, 0, -1.35], rtol=1e-15)
    np.testing.assert_allclose(network.q, [0, -0.1, 0, -0.36], rtol=1e-15)
    np.testing.assert_allclose(network.v_set, [1, 1, 1.02, 1])
    np.testing.assert_allclose(network.slack_angle, -np.pi / 9, rtol=1e-15)
    assert network.from_bus == (0, 3, 1, 2)
    assert network.to_bus == (3, 1, 0, 0)
    np.testing.assert_allclose(network.shift[3], np.deg2rad(150))
    assert network.dtype == np.float64


def test_an_imported_network_has_an_unlimited_slack_as_its_only_device():
    network = Network.from_pandapower(small_net(), devices=False)
    assert (network.device_ids, network.device_bus, network.device_kind) == ((0,), (network.slack,), (0,))
    assert (network.slack_device, network.loads, network.generators, network.storage) == (0, (), (), ())
    for name in ("p", "q"):
        assert getattr(network, f"{name}_max") == np.inf
        assert getattr(network, f"{name}_min") == -np.inf
    from_dict = Network.from_dict(
        {
            "baseMVA": 2.0,
            "bus": [[7, 0, 20.0, 1.1, 0.9], [8, 1, 20.0, 1.1, 0.9]],
            "device": [[0, 7, 0, *[None] * 12]],
            "branch": [[7, 8, 0.1, 0.1, 0, None, 1, 0]],
        }
    )
    for name in ("p_plus", "p_minus", "q_plus", "q_minus", "qp_ratio", "soc_max", "soc_min", "eff"):
        np.testing.assert_array_equal(getattr(network, name), getattr(from_dict, name), err_msg=name)


def test_ratings_are_powers_at_full_loading_or_at_the_loading_allowed():
    net = small_net()
    with_trafo3w(net)
    with_impedance(net)
    net.line["max_loading_percent"] = 80.0
    net.trafo["max_loading_percent"] = np.nan
    network = Network.from_pandapower(net)
    line = 0.8 * np.sqrt(3) * 20.0 * net.line.max_i_ka.iloc[0] / 2
    np.testing.assert_allclose(network.rating, [line, 25 / 2, 63 / 2, 25 / 2, 38 / 2, np.inf])


def test_voltage_limits_are_those_of_the_buses_the_tightest_where_they_are_joined():
    net = small_net()
    plain = Network.from_pandapower(net)
    np.testing.assert_array_equal(plain.v_max, 2.0)
    np.testing.assert_array_equal(plain.v_min, 0.0)
    with_joined_buses(net)
    net.bus["max_vm_pu"] = 1.1
    net.bus["min_vm_pu"] = 0.9
    net.bus.loc[[2, 20], ["max_vm_pu", "min_vm_pu"]] = [[1.08, 0.85], [1.2, 0.93]]
    net.bus.loc[21, ["max_vm_pu", "min_vm_pu"]] = np.nan
    network = Network.from_pandapower(net)
    assert network.bus_ids == (2, 3, 5, 7, 21)
    np.testing.assert_array_equal(network.v_max, [1.08, 1.1, 1.1, 1.1, 2.0])
    np.testing.assert_array_equal(network.v_min, [0.93, 0.9, 0.9, 0.9, 0.0])


def test_joined_buses_have_the_smallest_index_and_one_position():
    net = small_net()
    with_joined_buses(net)
    network = Network.from_pandapower(net)
    index = pandapower_bus_index(net)
    assert list(index) == list(net.bus.index)
    assert index[2] == index[12] == index[20] == network.bus_ids.index(2)
    assert index[21] == network.bus_ids.index(21)
    assert (index[3], index[5], index[7]) == tuple(network.bus_ids.index(i) for i in (3, 5, 7))


def test_inner_buses_have_ids_above_the_largest_index():
    net = small_net()
    with_xwards(net)
    with_open_ends(net)
    network = Network.from_pandapower(net)
    assert network.bus_ids[:4] == (3, 5, 7, 12)
    assert network.bus_ids[4] == 14  # that of the second ward; the first, out of service, is left out
    assert network.n_bus == 7
    assert network.pv == (4,)


def test_elements_out_of_service_stay_as_open_branches():
    net = small_net()
    with_elements_out_of_service(net)
    network = Network.from_pandapower(net)
    np.testing.assert_array_equal(network.in_service, [1, 0, 1, 1])
    closed = Network.from_pandapower(small_net())
    np.testing.assert_array_equal(network.x, closed.x)


def test_isolated_buses_are_left_out_with_a_warning_that_names_them():
    net = small_net()
    for index in (30, 31, 32):
        pp.create_bus(net, vn_kv=20.0, index=index, in_service=index != 32)
    pp.create_line(net, 30, 31, length_km=1.0, std_type="NA2XS2Y 1x240 RM/25 12/20 kV")
    pp.create_line(net, 31, 3, length_km=1.0, std_type="NA2XS2Y 1x240 RM/25 12/20 kV", in_service=False)
    pp.create_load(net, 31, p_mw=2.0, q_mvar=0.5)
    pp.create_gen(net, 30, p_mw=1.0, vm_pu=1.0)
    with pytest.warns(IsolatedBusWarning, match=r"2 MW and 0.5 MVAr of load: bus 30, 31, 32") as caught:
        network = Network.from_pandapower(net)
    assert caught[0].filename == __file__
    warning = caught[0].message
    assert (warning.bus_ids, warning.p_mw, warning.q_mvar) == ((30, 31, 32), 2.0, 0.5)
    assert network.bus_ids == (3, 5, 7, 12)
    assert network.n_branch == 4
    index = pandapower_bus_index(net)
    assert [index[i] for i in (30, 31, 32)] == [-1, -1, -1]
    with pytest.warns(IsolatedBusWarning):
        assert_balanced(net)


def test_the_net_stays_as_it_is_and_its_results_do_not_matter():
    net = small_net()
    with_trafo3w(net)
    before = copy.deepcopy(net)
    network = Network.from_pandapower(net)
    pandapower_bus_index(net)
    assert set(net) == set(before)
    assert pp.toolbox.nets_equal(net, before)
    assert net["_ppc"] is None
    pp.runpp(net, numba=False)
    again = Network.from_pandapower(net)
    for name in ("p", "q", "r", "x", "v_set", "slack_angle"):
        np.testing.assert_array_equal(getattr(again, name), getattr(network, name))
