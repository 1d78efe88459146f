"""Networks from pandapower: its own solutions balance them, and what they cannot say is refused."""

from __future__ import annotations

import copy
import sys
import warnings
from functools import partial

import numpy as np
import pytest

from anmjax.grid import IsolatedBusWarning, Network, NetworkError, pandapower_bus_index
from tests.grid.power_balance import admittance, assert_solves

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pandapower's own notices on import
    import pandapower as pp
    import pandapower.networks as shipped

# pandapower says it of nets that it ships itself.
pytestmark = pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")

SHIPPED = [
    *("case4gs", "case5", "case6ww", "case9", "case14", "case24_ieee_rts", "case30", "case33bw", "case39"),
    *("case57", "case89pegase", "case118", "case_illinois200", "case300", "case1354pegase", "iceland"),
    *("create_cigre_network_mv", "create_cigre_network_lv", "example_simple", "example_multivoltage"),
    *("kb_extrem_landnetz_freileitung", "kb_extrem_landnetz_kabel", "kb_extrem_landnetz_freileitung_trafo"),
    *("kb_extrem_landnetz_kabel_trafo", "kb_extrem_dorfnetz", "kb_extrem_dorfnetz_trafo"),
    *("kb_extrem_vorstadtnetz_1", "kb_extrem_vorstadtnetz_2", "kb_extrem_vorstadtnetz_trafo_1"),
    *("kb_extrem_vorstadtnetz_trafo_2", "create_kerber_landnetz_freileitung_1"),
    *("create_kerber_landnetz_freileitung_2", "create_kerber_landnetz_kabel_1"),
    *("create_kerber_landnetz_kabel_2", "create_kerber_dorfnetz", "create_kerber_vorstadtnetz_kabel_1"),
    "create_kerber_vorstadtnetz_kabel_2",
]


def assert_balanced(net: pp.pandapowerNet, **options: object) -> Network:
    """Imports a net and asserts that pandapower's solution of it solves the network."""
    network = Network.from_pandapower(net)
    pp.runpp(net, tolerance_mva=1e-10, calculate_voltage_angles=True, numba=False, **options)
    reference = net.res_bus.vm_pu * np.exp(1j * np.deg2rad(net.res_bus.va_degree))
    v = np.full(network.n_bus, np.nan, complex)
    for bus, k in pandapower_bus_index(net).items():
        assert (k < 0) == np.isnan(net.res_bus.vm_pu[bus])
        if k >= 0:
            v[k] = reference[bus]
    first_inner = int(net.bus.index.max()) + 1
    for k, inner in enumerate(net.res_xward.itertuples()):
        if first_inner + k in network.bus_ids:
            v[network.bus_ids.index(first_inner + k)] = inner.vm_internal_pu * np.exp(
                1j * np.deg2rad(inner.va_internal_degree)
            )
    # Open ends and star points, which pandapower does not report, have nothing connected to them.
    idle = np.isnan(v)
    y = admittance(network).toarray()
    v[idle] = -np.linalg.solve(y[np.ix_(idle, idle)], y[np.ix_(idle, ~idle)] @ v[~idle])
    assert not network.p[idle].any()
    assert not network.q[idle].any()
    # pandapower stops at 1e-10 MVA a bus; 1e-8 p.u. is what rounding leaves of 1e4 p.u. of admittance.
    assert_solves(network, v, 1e-8)
    return network


def small_net() -> pp.pandapowerNet:
    """A transformer and a loop of three lines at 20 kV; indices with gaps, in no order, on 2 MVA."""
    net = pp.create_empty_network(sn_mva=2.0)
    for index, kv in ((7, 110.0), (3, 20.0), (12, 20.0), (5, 20.0)):
        pp.create_bus(net, vn_kv=kv, index=index)
    pp.create_ext_grid(net, bus=7, vm_pu=1.02, va_degree=-20.0)
    pp.create_transformer(net, 7, 3, std_type="25 MVA 110/20 kV")
    for f, t in ((3, 12), (12, 5), (5, 3)):
        pp.create_line(net, f, t, length_km=2.5, std_type="NA2XS2Y 1x240 RM/25 12/20 kV")
    pp.create_load(net, 12, p_mw=3.0, q_mvar=0.8, scaling=0.9)
    pp.create_sgen(net, 5, p_mw=1.0, q_mvar=-0.2)
    return net


def with_trafo3w(net):
    net.bus.loc[12, "vn_kv"] = 10.0
    net.line = net.line.drop(index=[0, 1])
    pp.create_transformer3w(net, 7, 3, 12, std_type="63/25/38 MVA 110/20/10 kV", tap_pos=2)
    net.trafo.loc[0, "in_service"] = False  # its shift of 150 degrees differs


def with_ward_and_shunts(net):
    pp.create_ward(net, 12, ps_mw=0.3, qs_mvar=0.1, pz_mw=0.4, qz_mvar=0.2)
    pp.create_shunt(net, 5, q_mvar=-0.7, p_mw=0.05, step=2)
    pp.create_shunt(net, 5, q_mvar=-0.7, in_service=False)


def with_xwards(net):
    args = {"ps_mw": 0.3, "qs_mvar": 0.1, "pz_mw": 0.4, "qz_mvar": 0.2, "r_ohm": 0.3, "x_ohm": 2.0}
    pp.create_xward(net, 3, **args, vm_pu=0.9, in_service=False)
    pp.create_xward(net, 12, **args, vm_pu=1.01)


def with_impedance(net):
    pp.create_impedance(net, 12, 3, rft_pu=0.02, xft_pu=0.1, sn_mva=5.0, gf_pu=0.01, bf_pu=0.02)


def with_two_tap_changers(net):
    net.trafo.loc[0, "tap_pos"] = 3
    pp.create_transformer_from_parameters(
        *(net, 7, 3, 25.0, 110.0, 20.0, 0.4, 12.0, 14.0, 0.07),
        **{"shift_degree": 150.0, "tap_side": "lv", "tap_neutral": 0, "tap_min": -9, "tap_max": 9},
        **{"tap_step_percent": 1.5, "tap_step_degree": 30.0, "tap_pos": -2, "tap_changer_type": "Ratio"},
        **{"tap2_side": "hv", "tap2_neutral": 0, "tap2_min": -2, "tap2_max": 2, "tap2_step_percent": 2.5},
        **{"tap2_step_degree": 0.0, "tap2_pos": 1, "tap2_changer_type": "Ratio", "parallel": 2},
    )


def with_phase_shifter(net):
    net.trafo.loc[0, ["tap_changer_type", "tap_side"]] = ["Ideal", "hv"]
    net.trafo.loc[0, ["tap_step_percent", "tap_step_degree", "tap_pos"]] = [np.nan, 1.5, -4]


def with_other_consumers(net):
    pp.create_motor(net, 12, pn_mech_mw=0.5, cos_phi=0.85, efficiency_percent=94.0, loading_percent=70.0)
    pp.create_storage(net, 5, p_mw=-0.4, q_mvar=0.1, max_e_mwh=1.0)
    pp.create_asymmetric_load(net, 5, p_a_mw=0.1, p_b_mw=0.2, p_c_mw=0.05, q_a_mvar=0.02, scaling=0.5)
    pp.create_asymmetric_sgen(net, 12, p_a_mw=0.1, q_c_mvar=0.02)


def with_generators(net):
    pp.create_gen(net, 5, p_mw=0.7, vm_pu=1.03)
    pp.create_gen(net, 5, p_mw=0.4, vm_pu=1.03, scaling=0.5)
    pp.create_gen(net, 7, p_mw=0.4, vm_pu=1.02)
    pp.create_gen(net, 12, p_mw=0.4, vm_pu=0.9, in_service=False)


def with_slack_generator(net):
    net.ext_grid.loc[0, "in_service"] = False
    pp.create_gen(net, 7, p_mw=0.0, vm_pu=0.99, slack=True)


def with_open_ends(net):
    pp.create_switch(net, 12, 0, et="l", closed=False)
    pp.create_switch(net, 3, 2, et="l", closed=True)
    pp.create_transformer(net, 7, 3, std_type="25 MVA 110/20 kV")
    pp.create_switch(net, 3, 1, et="t", closed=False)


def with_elements_out_of_service(net):
    net.line.loc[1, "in_service"] = False
    pp.create_load(net, 12, p_mw=100.0, in_service=False)


def with_joined_buses(net):
    for index in (2, 20, 21):
        pp.create_bus(net, vn_kv=20.0, index=index)
    pp.create_switch(net, 12, 20, et="b")
    pp.create_switch(net, 20, 2, et="b")
    pp.create_switch(net, 20, 5, et="b", closed=False)
    pp.create_switch(net, 5, 21, et="b", z_ohm=0.05)
    pp.create_load(net, 20, p_mw=0.5, q_mvar=0.1)
    pp.create_load(net, 21, p_mw=0.5, q_mvar=0.1)


def with_conductive_parallel_lines(net):
    net.line.loc[0, ["parallel", "g_us_per_km"]] = [3, 40.0]


def with_costs(net):
    pp.create_poly_cost(net, 0, "ext_grid", cp1_eur_per_mw=1.0)


ELEMENTS = [
    *(with_trafo3w, with_ward_and_shunts, with_xwards, with_impedance, with_two_tap_changers),
    *(with_phase_shifter, with_other_consumers, with_generators, with_slack_generator, with_open_ends),
    *(with_elements_out_of_service, with_joined_buses, with_conductive_parallel_lines, with_costs),
]


@pytest.mark.parametrize("name", SHIPPED)
def test_pandapowers_solution_solves_the_networks_it_ships(name):
    assert_balanced(getattr(shipped, name)())


@pytest.mark.parametrize("der", ["all", "pv_wind"])
def test_pandapowers_solution_solves_the_cigre_network_with_its_generation(der):
    assert_balanced(shipped.create_cigre_network_mv(with_der=der))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["case2869pegase", "GBnetwork"])
def test_pandapowers_solution_solves_the_largest_networks(name):
    assert_balanced(getattr(shipped, name)())


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
    network = Network.from_pandapower(small_net())
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


def add(function, *args, **kwargs):
    """A change of a net: one element more."""
    return partial(lambda net: function(net, *args, **kwargs))


def put(table, column, value):
    """A change of a net: one value of the first element of a table."""

    def change(net):
        net[table].loc[net[table].index[0], column] = value

    return change


def with_a_table_of_its_own(net):
    net["flux_capacitor"] = net.load.copy()


def with_an_island_that_has_a_grid(net):
    pp.create_ext_grid(net, 5)


def with_a_controller(net):
    pp.control.DiscreteTapControl(net, 0, 0.98, 1.02)


REFUSED = {
    "controller": (with_a_controller, "controller 0: in_service is True, must be False: controllers"),
    "voltage-dependent load": (
        put("load", "const_z_p_percent", 30.0),
        "load 0: const_z_p_percent is 30, must be 0: only constant power",
    ),
    "direct-current line": (
        add(pp.create_dcline, 3, 5, p_mw=1.0, loss_percent=1, loss_mw=0.1, vm_from_pu=1, vm_to_pu=1),
        "dcline 0: in_service is True, must be False: direct-current",
    ),
    "direct-current grid": (add(pp.create_bus_dc, vn_kv=10.0), "bus_dc 0: in_service is True"),
    "static compensator": (
        add(pp.create_svc, 5, x_l_ohm=1, x_cvar_ohm=-10, set_vm_pu=1.0, thyristor_firing_angle_degree=90),
        "svc 0: in_service is True, must be False: controlled (FACTS)",
    ),
    "no slack": (put("ext_grid", "in_service", False), "network: ext_grid is 'without a row in service'"),
    "set-points at odds": (
        lambda net: (with_joined_buses(net), pp.create_gen(net, 12, 1, 1.01), pp.create_gen(net, 2, 1, 1.03)),
        "gen 1: vm_pu is 1.03, must be 1.01, as at gen 0 of the same bus",
    ),
    "asymmetric impedance": (
        add(pp.create_impedance, 5, 3, rft_pu=0.1, xft_pu=0.1, sn_mva=2.0, rtf_pu=0.2, xtf_pu=0.1),
        "impedance 0: BR_R_ASYM is 0.1, must be 0: a branch is the same from both ends",
    ),
    "asymmetric shunts": (
        add(pp.create_impedance, 5, 3, rft_pu=0.1, xft_pu=0.1, sn_mva=2.0, gf_pu=0.1, gt_pu=0.2),
        "impedance 0: BR_G_ASYM is 0.2, must be 0",
    ),
    "no impedance": (put("line", "length_km", 0.0), "line 0: BR_X is 0, must not be 0 where BR_R is 0"),
    "not a number": (put("load", "p_mw", np.nan), "bus 12: PD is nan, must be a finite number"),
    "unknown bus": (put("load", "bus", 8), "load 0: bus is 8, must be the index of a bus"),
    "unknown line": (
        lambda net: (with_open_ends(net), put("switch", "element", 9)(net)),
        "switch 0: element is 9, must be the index of a line",
    ),
    "unknown table": (
        with_a_table_of_its_own,
        "network: flux_capacitor is '1 rows', must be empty: this table is not known",
    ),
    "other model": (
        add(pp.set_user_pf_options, distributed_slack=True),
        "network: user_pf_options['distributed_slack'] is True, must be False",
    ),
    "refused by pandapower": (
        add(pp.create_ext_grid, 7, vm_pu=1.02, va_degree=0.0),
        "must be what pandapower can convert",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_network_cannot_represent_is_named(case):
    change, message = REFUSED[case]
    net = small_net()
    change(net)
    with pytest.raises(NetworkError) as caught:
        Network.from_pandapower(net)
    assert message in str(caught.value)


def test_all_faults_are_named_at_once():
    net = small_net()
    for case in ("controller", "voltage-dependent load", "unknown bus", "unknown table"):
        REFUSED[case][0](net)
    with pytest.raises(NetworkError) as caught:
        pandapower_bus_index(net)
    assert len(caught.value.faults) == 4
    assert str(caught.value).startswith("the pandapower net has 4 faults")


def test_elements_that_are_out_of_service_are_no_obstacle():
    net = small_net()
    REFUSED["direct-current line"][0](net)
    net.dcline["in_service"] = False
    with_a_controller(net)
    net.controller["in_service"] = False
    assert Network.from_pandapower(net).n_bus == 4


def test_anything_but_a_net_is_refused():
    with pytest.raises(TypeError, match="a pandapower net is needed, not a str"):
        Network.from_pandapower("net.json")


def test_a_missing_pandapower_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandapower.auxiliary", None)
    with pytest.raises(ImportError, match=r"pip install 'anmjax\[pandapower\]'"):
        Network.from_pandapower(None)
