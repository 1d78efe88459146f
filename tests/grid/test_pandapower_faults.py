"""What a pandapower net may not hold is named, with its element, column and value."""

from __future__ import annotations

import sys
import warnings
from functools import partial

import numpy as np
import pytest

from anmjax.grid import Network, NetworkError, pandapower_bus_index
from tests.grid.pandapower_nets import (
    small_net,
    with_joined_buses,
    with_lines_of_direct_current,
    with_open_ends,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # pandapower's own notices on import
    import pandapower as pp


def add(function, *args, **kwargs):
    """A change of a net: one element more."""
    return partial(lambda net: function(net, *args, **kwargs))


def put(table, column, value, before=lambda net: None):
    """A change of a net: one value of the first element of a table."""

    def change(net):
        before(net)
        if isinstance(value, str):
            net[table][column] = net[table][column].astype(object)
        net[table].loc[net[table].index[0], column] = value

    return change


def without(table, column=None):
    """A change of a net: a table or a column less."""

    def change(net):
        if column is None:
            del net[table]
        else:
            net[table] = net[table].drop(columns=column)

    return change


def number(table, *indices):
    """A change of a net: other indices of a table."""

    def change(net):
        net[table].index = list(indices)

    return change


def with_a_table_of_its_own(net):
    net["flux_capacitor"] = net.load.copy()


def with_names(net):
    net.load["name"] = "Mill Lane 4"
    net.load.loc[0, "p_mw"] = np.nan


def with_a_column_twice(net):
    net.load = net.load[[*net.load.columns, "p_mw"]]


REFUSED = {
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
    "set-points of direct current at odds": (
        lambda net: (with_lines_of_direct_current(net), pp.create_gen(net, 12, 1, 1.01)),
        "dcline 1: vm_from_pu is 0.99, must be 1.01, as at gen 0 of the same bus",
    ),
    "no impedance": (put("line", "length_km", 0.0), "line 0: BR_X is 0, must not be 0 where BR_R is 0"),
    "no impedance of a transformer": (
        put("trafo", "vk_percent", 0.0),
        "trafo 0: vk_percent is 0, must be a fin",
    ),
    "no impedance of an impedance": (
        add(pp.create_impedance, 5, 3, rft_pu=0, xft_pu=0, sn_mva=2.0),
        "impedance 0: BR_X is 0",
    ),
    "not a number": (put("load", "p_mw", np.nan), "load 0: p_mw is nan, must be a finite number"),
    "a name": (with_names, "load 0 'Mill Lane 4': p_mw is nan, must be a finite number"),
    "a word": (put("line", "x_ohm_per_km", "low"), "line 0: x_ohm_per_km is 'low', must be a finite number"),
    "a negative length": (
        put("line", "length_km", -1.0),
        "line 0: length_km is -1, must be a finite number >= 0",
    ),
    "unlimited power": (put("sgen", "p_mw", np.inf), "sgen 0: p_mw is inf, must be a finite number"),
    "a resistance beyond the impedance": (
        put("trafo", "vkr_percent", 20.0),
        "trafo 0: vkr_percent is 20, must be a finite number, no more than vk_percent",
    ),
    "all leakage at one side": (
        lambda net: net.trafo.insert(0, "leakage_reactance_ratio_hv", 1.0),
        "trafo 0: leakage_reactance_ratio_hv is 1, must be between 0 and 1",
    ),
    "neither true nor false": (
        put("line", "in_service", "yes"),
        "line 0: in_service is 'yes', must be True or F",
    ),
    "an ideal tap changer without position": (
        put("trafo", "tap_pos", np.nan, put("trafo", "tap_changer_type", "Ideal")),
        "trafo 0: tap_pos is nan, must be a number, for an ideal phase shifter",
    ),
    "an unknown tap changer": (
        put("trafo", "tap_changer_type", "ratio"),
        "trafo 0: tap_changer_type is 'ratio', must be one of Ratio, Symmetrical, Ideal, Tabular",
    ),
    "an unknown side": (put("trafo", "tap_side", "mv"), "trafo 0: tap_side is 'mv', must be one of hv, lv"),
    "more than all of a load": (
        put("load", "const_z_p_percent", 110.0),
        "load 0: const_z_p_percent + const_i_p_percent is 110, must be at most 100",
    ),
    "a bus without voltage": (put("bus", "vn_kv", 0.0), "bus 7: vn_kv is 0, must be a finite number > 0"),
    "unknown bus": (put("load", "bus", 8), "load 0: bus is 8, must be the index of a bus"),
    "unknown bus of direct current": (
        put("dcline", "to_bus", 8, with_lines_of_direct_current),
        "dcline 0: to_bus is 8, must be the index of a bus",
    ),
    "unknown line": (
        put("switch", "element", 9, with_open_ends),
        "switch 0: element is 9, must be the index of a line",
    ),
    "a switch elsewhere": (
        put("switch", "bus", 7, with_open_ends),
        "switch 0: bus is 7, must be an end of line 0",
    ),
    "an unknown kind of switch": (
        put("switch", "et", "x", with_open_ends),
        "switch 0: et is 'x', must be one of b",
    ),
    "a switch of unknown impedance": (
        put("switch", "z_ohm", np.nan, with_joined_buses),
        "switch 0: z_ohm is nan, must be a number: 0 joins the buses",
    ),
    "unknown table": (
        with_a_table_of_its_own,
        "network: flux_capacitor is '1 rows', must be empty: this table is not known",
    ),
    "no table": (
        without("motor"),
        "network: motor is 'no table', must be one: pandapower.convert_format(net)",
    ),
    "no column": (without("line", "c_nf_per_km"), "network: line.c_nf_per_km is 'no column', must be one: "),
    "a column twice": (with_a_column_twice, "network: load.p_mw is '2 columns', must be one"),
    "an index twice": (number("line", 1, 1, 2), "network: line.index is 1, must be unique"),
    "a negative index": (number("line", 1, -1, 2), "network: line.index is -1, must be from 0 to 9999999"),
    "a huge index": (number("bus", 7, 3, 12, 10**12), "network: bus.index is 1000000000000, must be from 0"),
    "a word for an index": (number("bus", 7, 3, 12, "b"), "network: bus.index is 'b', must be an integer"),
    "no bus": (lambda net: net.__setitem__("bus", net.bus.iloc[:0]), "network: bus is 'without a row'"),
    "no base": (
        lambda net: net.__setitem__("sn_mva", 0.0),
        "network: sn_mva is 0, must be a finite number > 0",
    ),
    "other solution": (
        add(pp.set_user_pf_options, distributed_slack=True),
        "network: user_pf_options['distributed_slack'] is True, must be False",
    ),
    "options that are none": (
        lambda net: net.__setitem__("user_pf_options", "t"),
        "network: user_pf_options is 't', must be a dict",
    ),
    "refused by pandapower": (
        add(pp.create_ext_grid, 7, vm_pu=1.02, va_degree=0.0),
        "must be what pandapower can convert",
    ),
    "an unknown model": (
        add(pp.set_user_pf_options, trafo_model="gamma"),
        "network: conversion of trafo is 'Unknown Transformer Model g",
    ),
}
RAISED = {
    **dict.fromkeys(("set-points at odds", "set-points of direct current at odds"), UserWarning),
    **{"refused by pandapower": UserWarning, "an unknown model": ValueError},
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_network_cannot_represent_is_named(case):
    change, message = REFUSED[case]
    net = small_net()
    change(net)
    with pytest.raises(NetworkError) as caught:
        Network.from_pandapower(net)
    assert message.replace("'", '"') in str(caught.value).replace("'", '"')
    assert isinstance(caught.value.__cause__, RAISED.get(case, type(None)))


def test_all_faults_are_named_at_once():
    net = small_net()
    for case in ("static compensator", "not a number", "unknown bus", "unknown table"):
        REFUSED[case][0](net)
    with pytest.raises(NetworkError) as caught:
        pandapower_bus_index(net)
    assert len(caught.value.faults) == 4
    assert str(caught.value).startswith("the pandapower net has 4 faults")


def test_anything_but_a_net_is_refused():
    with pytest.raises(TypeError, match="a pandapower net is needed, not a str"):
        Network.from_pandapower("net.json")


def test_a_missing_pandapower_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandapower.auxiliary", None)
    with pytest.raises(ImportError, match=r"pip install 'anmjax\[pandapower\]'"):
        Network.from_pandapower(None)
