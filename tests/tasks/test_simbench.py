"""Profiles of SimBench nets: a small one made here, and one of the package where it is installed."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import anmjax
from tests.grid.pandapower_nets import pp, small_net

TIMES = ["31.03.2016 23:30", "31.03.2016 23:45", "01.04.2016 00:00", "01.04.2016 00:15"]


@pytest.fixture
def source() -> pp.pandapowerNet:
    """The small net in SimBench's form: two loads and a park with profiles, a block without one."""
    net = small_net()
    pp.create_load(net, 5, p_mw=0.5, q_mvar=0.1, name="shop")
    pp.create_gen(net, 3, p_mw=0.3, vm_pu=1.0, name="block")
    net.load["profile"] = ["H0-A", "G1-B"]
    net.sgen["profile"] = "PV5"
    net.gen["profile"] = None
    demand = {"H0-A_pload": [0.1, 0.2, 0.3, 0.4], "H0-A_qload": [0.9] * 4, "G1-B_pload": [1.0, 0.9, 0.8, 0.7]}
    net["profiles"] = {
        "load": pd.DataFrame({"time": TIMES, **demand}),
        "renewables": pd.DataFrame({"time": TIMES, "PV5": [0.0, 0.5, 0.25, 0.0]}),
        "powerplants": pd.DataFrame({"time": TIMES}),
    }
    return net


def test_an_element_follows_its_profile_times_its_size_and_scaling(source):
    net = anmjax.Network.from_pandapower(source)
    net = net.with_devices(anmjax.Storage(bus=5, p_mw=1.0, capacity_mwh=2.0, name="battery"))
    profiles = anmjax.Profiles.from_simbench(source, net)
    assert profiles.step_hours == 0.25
    assert profiles.start is not None
    assert profiles.start.startswith("2016-03-31T23:30")
    labels = [net.device_labels[k] for k in (*net.loads, *net.generators)]
    of = dict(zip(labels, np.asarray(profiles.values).T, strict=True))
    # 3 MW of load scaled by 0.9, 0.5 MW unscaled, 1 MW of sun; the block without a profile stays at 0.3 MW.
    np.testing.assert_allclose(of["load 0"], [-0.27, -0.54, -0.81, -1.08], rtol=1e-12)
    np.testing.assert_allclose(of["shop"], [-0.5, -0.45, -0.4, -0.35], rtol=1e-12)
    np.testing.assert_allclose(of["sgen 0"], [0.0, 0.5, 0.25, 0.0], rtol=1e-12)
    np.testing.assert_allclose(of["block"], 0.3, rtol=1e-12)


def test_a_profile_that_is_not_there_is_named(source):
    net = anmjax.Network.from_pandapower(source)
    source.sgen["profile"] = "PV9"
    with pytest.raises(anmjax.ProfileError, match="profiles of the name that elements give: 'sgen 0: PV9'"):
        anmjax.Profiles.from_simbench(source, net)


def test_a_net_without_profiles_is_refused(source):
    del source["profiles"]
    net = anmjax.Network.from_pandapower(source)
    with pytest.raises(anmjax.ProfileError, match=r"no profiles: expected one of simbench\.get_simbench_net"):
        anmjax.Profiles.from_simbench(source, net)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_a_net_of_simbench_has_the_year_that_simbench_itself_makes_of_it():
    simbench = pytest.importorskip("simbench")
    source = simbench.get_simbench_net("1-LV-rural1--0-sw")
    expected = simbench.get_absolute_values(source, profiles_instead_of_study_cases=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = anmjax.Network.from_pandapower(source)
    profiles = anmjax.Profiles.from_simbench(source, net)
    assert profiles.num_steps == 366 * 96
    columns = [*net.loads, *net.generators]
    values = np.asarray(profiles.values)
    for table, sign in (("load", -1), ("sgen", 1)):
        for index in source[table].index:
            name = source[table].name[index]
            k = net.device_position(name)
            of_device = values[:, columns.index(k)]
            np.testing.assert_allclose(of_device, sign * expected[table, "p_mw"][index], rtol=1e-12)
