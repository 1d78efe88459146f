"""Nets of pandapower for the tests of its import, and the comparison with its own solution."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from anmjax.grid import Network, pandapower_bus_index
from anmjax.grid.pandapower_net.names import element_name
from tests.grid.power_balance import admittance, assert_solves

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pandapower's own notices on import
    import pandapower as pp


def solve(net: pp.pandapowerNet, **options: object) -> None:
    """Solves a net with pandapower, with voltage angles, far below what is asked of us."""
    options = {"tolerance_mva": 1e-10, "max_iteration": 30, **options}
    with np.errstate(invalid="ignore", divide="ignore"):  # in its tables of results
        pp.runpp(net, calculate_voltage_angles=True, numba=False, **options)


def voltages(net: pp.pandapowerNet, network: Network) -> np.ndarray:
    """pandapower's solution at the buses of the network, (n_bus,) complex p.u., NaN where it reports none."""
    reference = net.res_bus.vm_pu * np.exp(1j * np.deg2rad(net.res_bus.va_degree))
    v = np.full(network.n_bus, np.nan, complex)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the import itself has said it
        index = pandapower_bus_index(net)
    for bus, k in index.items():
        assert (k < 0) == np.isnan(net.res_bus.vm_pu[bus])
        if k >= 0:
            v[k] = reference[bus]
    # The inner bus of an extended ward is the end of its branch that is no bus of the net.
    branches, outer = list(network.branch_names), set(index.values())
    for inner in net.res_xward.itertuples():
        if (name := element_name(net, "xward", inner.Index)) in branches:
            k = branches.index(name)
            (end,) = {network.from_bus[k], network.to_bus[k]} - outer
            v[end] = inner.vm_internal_pu * np.exp(1j * np.deg2rad(inner.va_internal_degree))
    # Open ends and star points, which pandapower does not report, have nothing connected to them.
    idle = np.isnan(v)
    y = admittance(network).tocsc()
    v[idle] = -np.linalg.solve(y[idle][:, idle].toarray(), y[idle][:, ~idle] @ v[~idle])
    assert not network.p[idle].any()
    assert not network.q[idle].any()
    return v


def assert_balanced(net: pp.pandapowerNet, **options: object) -> Network:
    """Imports a net and asserts that pandapower's solution of it solves the network."""
    network = Network.from_pandapower(net)
    solve(net, **options)
    # pandapower stops at 1e-10 MVA a bus; 1e-8 p.u. is what rounding leaves of 1e4 p.u. of admittance.
    assert_solves(network, voltages(net, network), 1e-8)
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
    pp.create_asymmetric_load(net, 5, **dict.fromkeys(("p_a_mw", "p_b_mw", "p_c_mw"), 0.1), scaling=0.5)
    pp.create_asymmetric_sgen(net, 12, **dict.fromkeys(("q_a_mvar", "q_b_mvar", "q_c_mvar"), 0.02))


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


def with_constant_impedance(net):
    net.load.loc[0, ["const_z_p_percent", "const_z_q_percent"]] = [100.0, 40.0]


def with_constant_current(net):
    net.load.loc[0, ["const_i_p_percent", "const_i_q_percent"]] = [60.0, 100.0]


def with_voltage_dependence(net):
    columns = ["const_z_p_percent", "const_i_p_percent", "const_z_q_percent", "const_i_q_percent"]
    net.load.loc[0, columns] = [20.0, 70.0, 50.0, 50.0]
    pp.create_load(net, 5, p_mw=100.0, const_z_p_percent=50.0, in_service=False)
    pp.create_load(net, 3, p_mw=0.4, q_mvar=0.3)


def with_lines_of_direct_current(net):
    ends = {"loss_percent": 2.0, "loss_mw": 0.05, "vm_from_pu": 1.01, "vm_to_pu": 1.02}
    pp.create_dcline(net, 3, 5, p_mw=0.8, **ends)
    pp.create_dcline(net, 12, 5, p_mw=-0.5, **{**ends, "vm_from_pu": 0.99})
    pp.create_dcline(net, 12, 3, p_mw=50.0, **ends, in_service=False)


def with_asymmetric_impedance(net):
    unequal = {"rft_pu": 0.02, "xft_pu": 0.1, "rtf_pu": 0.05, "xtf_pu": 0.13, "gf_pu": 0.01}
    pp.create_impedance(net, 12, 3, sn_mva=5.0, **unequal, bf_pu=0.02, gt_pu=0.03, bt_pu=-0.01)
    pp.create_impedance(net, 5, 3, rft_pu=0.02, xft_pu=0.1, sn_mva=5.0)


def with_uneven_leakage(net):
    net.trafo["leakage_resistance_ratio_hv"] = 0.3
    net.trafo["leakage_reactance_ratio_hv"] = 0.8
    net.trafo["i0_percent"] = 3.0


def with_a_second_source(net):
    pp.create_ext_grid(net, 5, vm_pu=1.01, va_degree=-171.0)


def with_a_source_and_a_slack_generator(net):
    pp.create_gen(net, 5, p_mw=0.4, vm_pu=1.01, slack=True)
    net.trafo["shift_degree"] = 20.0


def with_an_island_of_its_own(net):
    for index in (40, 41):
        pp.create_bus(net, vn_kv=20.0, index=index)
    pp.create_line(net, 40, 41, length_km=2.5, std_type="NA2XS2Y 1x240 RM/25 12/20 kV")
    pp.create_load(net, 41, p_mw=1.0, q_mvar=0.3)
    pp.create_ext_grid(net, 40, vm_pu=0.98, va_degree=30.0)


def with_sources_at_joined_buses(net):
    pp.create_bus(net, vn_kv=110.0, index=40)
    pp.create_switch(net, 7, 40, et="b")
    pp.create_ext_grid(net, 40, vm_pu=1.02, va_degree=-20.0)


def with_limits_of_reactive_power(net):
    pp.create_sgen(net, 12, p_mw=1.0, q_mvar=-0.9, min_q_mvar=-0.1, max_q_mvar=0.1, max_p_mw=0.5)
    pp.create_gen(net, 5, p_mw=0.7, vm_pu=1.05, min_q_mvar=-0.01, max_q_mvar=0.01, max_p_mw=0.5)


def with_a_symmetrical_tap_changer(net):
    net.trafo.loc[0, ["tap_changer_type", "tap_side"]] = ["Symmetrical", "hv"]
    net.trafo.loc[0, ["tap_step_percent", "tap_step_degree", "tap_pos"]] = [1.5, 90.0, -4]


def with_a_tap_changer_table(net):
    rows = {"id_characteristic": [0, 0, 0], "step": [-2, -1, 0], "voltage_ratio": [0.94, 0.97, 1.0]}
    rows |= {"angle_deg": [-1.0, -0.5, 0.0], "vk_percent": [13.0, 12.5, 12.0], "vkr_percent": [0.5, 0.4, 0.3]}
    unused = dict.fromkeys([f"{v}_{side}_percent" for v in ("vk", "vkr") for side in ("hv", "mv", "lv")], 1.0)
    net["trafo_characteristic_table"] = pd.DataFrame({**rows, **unused})
    net.trafo["id_characteristic_table"] = pd.array([0], "Int64")
    net.trafo.loc[0, ["tap_changer_type", "tap_side", "tap_pos"]] = ["Tabular", "hv", -2]
    net.trafo["tap_dependency_table"] = True


def with_a_tap_changer_without_position(net):
    net.trafo["tap_pos"] = np.nan  # which pandapower takes as neutral


def with_a_shunt_table(net):
    rows = {"id_characteristic": [0, 0, 0], "step": [1, 2, 3]}
    rows |= {"q_mvar": [-0.2, -0.3, -0.35], "p_mw": [0.01, 0.02, 0.04]}
    net["shunt_characteristic_table"] = pd.DataFrame(rows)
    pp.create_shunt(net, 5, q_mvar=-9.0, step=2, id_characteristic_table=0, step_dependency_table=True)


def with_a_tap_at_the_star_point(net):
    with_trafo3w(net)
    net.trafo3w["tap_at_star_point"] = True
    net.trafo3w["loss_side"] = "mv"


def with_switches_of_impedance_at_one_end(net):
    pp.create_bus(net, vn_kv=20.0, index=20)
    pp.create_switch(net, 12, 20, et="b", z_ohm=0.3)
    pp.create_switch(net, 12, 20, et="b", z_ohm=0.3, closed=False)
    pp.create_load(net, 20, p_mw=0.5, q_mvar=0.1)


def with_numbers_as_objects(net):
    for table in (net.line, net.load, net.trafo, net.bus):
        for column in table.select_dtypes(float):
            table[column] = table[column].astype(object)
    net.line["parallel"] = net.line["parallel"].astype("Int64")


ELEMENTS = [
    *(with_trafo3w, with_ward_and_shunts, with_xwards, with_impedance, with_two_tap_changers),
    *(with_phase_shifter, with_other_consumers, with_generators, with_slack_generator, with_open_ends),
    *(with_elements_out_of_service, with_joined_buses, with_conductive_parallel_lines, with_costs),
    *(with_constant_impedance, with_constant_current, with_voltage_dependence, with_lines_of_direct_current),
    *(with_asymmetric_impedance, with_uneven_leakage, with_a_second_source, with_an_island_of_its_own),
    *(with_a_source_and_a_slack_generator, with_sources_at_joined_buses, with_limits_of_reactive_power),
    *(with_a_symmetrical_tap_changer, with_a_tap_changer_table, with_a_tap_changer_without_position),
    *(with_a_shunt_table, with_a_tap_at_the_star_point, with_switches_of_impedance_at_one_end),
]
