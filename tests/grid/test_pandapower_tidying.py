"""What a pandapower net may hold without need, what is simplified, and what warnings say of it."""

from __future__ import annotations

import copy
import functools
import pickle
import warnings

import numpy as np
import pytest

from anmjax.grid import Network, NetworkError, SimplificationWarning
from tests.grid.pandapower_nets import (
    assert_balanced,
    small_net,
    with_a_shunt_table,
    with_a_symmetrical_tap_changer,
    with_a_tap_changer_table,
    with_asymmetric_impedance,
    with_generators,
    with_lines_of_direct_current,
    with_numbers_as_objects,
    with_other_consumers,
    with_trafo3w,
    with_ward_and_shunts,
    with_xwards,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pandapower's own notices on import
    import pandapower as pp


@functools.cache
def net_of_every_table():
    """A net with elements in every table, all of them in service; not to be changed."""
    net = small_net()
    for change in (with_ward_and_shunts, with_xwards, with_asymmetric_impedance, with_other_consumers):
        change(net)
    for change in (with_generators, with_lines_of_direct_current):
        change(net)
    net.dcline["vm_to_pu"] = 1.03  # as the generators there
    with_trafo3w(net)
    return net


SPOILED = [
    *("line", "trafo", "trafo3w", "impedance", "dcline", "load", "sgen", "storage"),
    *("motor", "asymmetric_load", "asymmetric_sgen", "shunt", "ward", "xward", "gen"),
]


@pytest.mark.parametrize("table", SPOILED)
def test_what_is_out_of_service_may_hold_anything(table):
    net, clean = copy.deepcopy(net_of_every_table()), copy.deepcopy(net_of_every_table())
    for each in (net, clean):
        each[table]["in_service"] = False
        each.trafo["in_service"] = table == "trafo3w"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = Network.from_pandapower(clean)
        net[table][net[table].select_dtypes(float).columns] = np.nan
        net[table][next(column for column in net[table] if column.endswith("bus"))] = 999
        network = Network.from_pandapower(net)
    buses = [k for k, i in enumerate(expected.bus_ids) if i <= 12]
    for name in ("p", "q", "g_shunt", "b_shunt", "v_set"):
        values, same = getattr(network, name)[buses], getattr(expected, name)[buses]
        np.testing.assert_allclose(values, same, rtol=0, atol=1e-15)  # sums in another order
    np.testing.assert_array_equal(network.r[network.in_service == 1], expected.r[expected.in_service == 1])


def test_a_bus_out_of_service_may_hold_anything():
    net = small_net()
    pp.create_bus(net, vn_kv=np.nan, index=30, in_service=False)
    pp.create_load(net, 30, p_mw=np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert Network.from_pandapower(net).bus_ids == (3, 5, 7, 12)
    pp.create_line(net, 30, 3, length_km=1.0, std_type="NA2XS2Y 1x240 RM/25 12/20 kV")
    with pytest.raises(NetworkError, match="bus 30: vn_kv is nan"):
        Network.from_pandapower(net)


def test_numbers_may_be_objects():
    net = small_net()
    expected = Network.from_pandapower(net)
    with_numbers_as_objects(net)
    network = Network.from_pandapower(net)
    for name in ("p", "q", "r", "x", "b", "tap", "rating"):
        np.testing.assert_array_equal(getattr(network, name), getattr(expected, name), err_msg=name)


def test_uneven_phases_are_taken_as_balanced_with_a_warning():
    net = small_net()
    pp.create_asymmetric_load(net, 5, p_a_mw=0.3, q_b_mvar=0.1, name="Mill", scaling=0.5)
    pp.create_asymmetric_sgen(net, 12, p_a_mw=0.1, p_b_mw=0.1, p_c_mw=0.1)
    with pytest.warns(SimplificationWarning) as caught:
        network = Network.from_pandapower(net)
    assert [str(warning.message) for warning in caught] == [
        "the pandapower net: asymmetric_load 0 'Mill': taken as balanced, a third of the sum in each phase"
    ]
    assert caught[0].filename == __file__
    assert caught[0].message.elements == ("asymmetric_load 0 'Mill'",)
    assert str(pickle.loads(pickle.dumps(caught[0].message))) == str(caught[0].message)
    # Bus 5 has 1 MW and -0.2 MVAr of generation, and half of 0.3 MW and 0.1 MVAr of this load, on 2 MVA.
    np.testing.assert_allclose(network.p[network.bus_ids.index(5)], (1 - 0.15) / 2, rtol=1e-12)
    np.testing.assert_allclose(network.q[network.bus_ids.index(5)], (-0.2 - 0.05) / 2, rtol=1e-12)


def test_controllers_are_not_run_which_is_said():
    net = small_net()
    plain = Network.from_pandapower(net)
    pp.control.DiscreteTapControl(net, 0, 0.98, 1.02)
    with pytest.warns(SimplificationWarning, match="controller 0: not run"):
        network = Network.from_pandapower(net)
    np.testing.assert_array_equal(network.tap, plain.tap)
    net.controller["in_service"] = False
    assert Network.from_pandapower(net).n_bus == 4


def test_shares_that_pandapower_averages_over_a_bus_are_said():
    net = small_net()
    net.load.loc[0, ["const_z_p_percent", "const_i_q_percent"]] = [40.0, 60.0]
    alone = Network.from_pandapower(net)
    np.testing.assert_allclose(alone.g_shunt, [0, 0, 0, 0.4 * 2.7 / 2], rtol=1e-12)
    np.testing.assert_allclose(alone.q_current, [0.6 * 0.72 / 2], rtol=1e-12)
    assert alone.current_load_bus == (3,)
    np.testing.assert_allclose(alone.p[3], -0.6 * 2.7 / 2, rtol=1e-12)
    pp.create_load(net, 12, p_mw=1.0)
    with pytest.warns(SimplificationWarning, match="load 0: the mean share of constant current"):
        assert_balanced(net)
    net.load.loc[1, "in_service"] = False
    pp.create_sgen(net, 12, p_mw=1.0)
    with pytest.warns(SimplificationWarning, match="load 0: the mean share"):
        assert_balanced(net)


@pytest.mark.parametrize(
    "change", [with_a_tap_changer_table, with_a_shunt_table, with_a_symmetrical_tap_changer]
)
def test_the_net_itself_is_not_tidied(change):
    net = small_net()
    change(net)
    with_numbers_as_objects(net)
    before = {name: table.copy() for name, table in net.items() if hasattr(table, "columns")}
    Network.from_pandapower(net)
    for name, table in before.items():
        assert table.equals(net[name]), name
        assert (table.dtypes == net[name].dtypes).all(), name
