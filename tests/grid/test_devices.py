"""Devices of one's own and of imported cases: what they become, what is refused, and that p and q stay."""

from __future__ import annotations

import numpy as np
import pytest

import anmjax
from anmjax.grid import Network, NetworkError
from tests.grid.matpower_samples import CASE, write
from tests.grid.pandapower_nets import pp, small_net, with_generators, with_other_consumers

FEEDER = {
    "baseMVA": 10,
    "bus": [[0, 0, 20, 1.0, 1.0], [4, 1, 20, 1.05, 0.95], [7, 1, 20, 1.05, 0.95]],
    "device": [[0, 0, 0, *[None] * 12], [3, 4, -1, 0.25, 0, -4, *[None] * 9]],
    "branch": [[0, 4, 0.02, 0.04, 0, 5, 1, 0], [4, 7, 0.02, 0.04, 0, 3, 1, 0]],
}
# The same devices as rows of a dict: MW, MVAr, MWh.
ROWS = [
    [4, 7, -1, 0.5, 0, -2, *[None] * 9],
    [5, 7, 1, None, 6, 1, 3, -3, *[None] * 7],
    [6, 4, 2, None, 5, 0, 2, -1, *[None] * 7],
    [7, 7, 3, None, 2, -1, 0.5, -0.5, None, None, None, None, 8, 1, 0.95],
]
DEVICES = (
    anmjax.Load(bus=7, p_mw=2, q_per_p=0.5),
    anmjax.Generator(bus=7, p_mw=6, p_min_mw=1, q_max_mvar=3),
    anmjax.Renewable(bus=4, p_mw=5, q_max_mvar=2, q_min_mvar=-1),
    anmjax.Storage(bus=7, p_mw=2, p_charge_mw=1, capacity_mwh=8, min_mwh=1, efficiency=0.95, q_max_mvar=0.5),
)


def test_devices_are_what_the_rows_of_a_dict_are():
    net = Network.from_dict(FEEDER).with_devices(*DEVICES)
    reference = Network.from_dict({**FEEDER, "device": [*FEEDER["device"], *ROWS]})
    for name in ("device_ids", "device_bus", "device_kind"):
        assert getattr(net, name) == getattr(reference, name)
    for name in ("qp_ratio", "p_max", "p_min", "q_max", "q_min", "p_plus", "p_minus", "q_plus", "q_minus"):
        np.testing.assert_array_equal(getattr(net, name), getattr(reference, name), err_msg=name)
    for name in ("soc_max", "soc_min", "eff"):
        np.testing.assert_array_equal(getattr(net, name), getattr(reference, name), err_msg=name)
    assert net.to_dict()["device"].tolist() == reference.to_dict()["device"].tolist()


def test_without_devices_undoes_with_devices():
    net = Network.from_dict(FEEDER)
    again = net.with_devices(*DEVICES).without_devices([4, 5], 6, 7)
    assert again.to_dict()["device"].tolist() == net.to_dict()["device"].tolist()
    named = net.with_devices(anmjax.Load(bus=4, power_factor=0.8, name="town"))
    assert named.device_names == ("slack 0", "load 3", "town")
    np.testing.assert_allclose(named.qp_ratio[2], 0.75)  # tan(acos(0.8)) = 0.6 / 0.8
    assert named.without_devices("load 3").device_names == ("slack 0", "town")


def test_what_is_not_controllable_follows_its_profile_and_takes_no_action():
    net = Network.from_dict(FEEDER).with_devices(
        anmjax.Renewable(bus=7, p_mw=2, q_per_p=-0.1, controllable=False, name="roofs")
    )
    assert net.loads == (1, 2)
    np.testing.assert_allclose([net.p_min[2], net.p_max[2], net.q_min[2], net.q_max[2]], [0, 0.2, -0.02, 0])
    with pytest.raises(ValueError, match="roofs that feed in"):
        net.to_dict()


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: anmjax.Storage(bus=7, p_mw=-1, capacity_mwh=8), "p_mw is -1, must be a number >= 0 or inf"),
        (lambda: anmjax.Storage(bus=7, p_mw=1, capacity_mwh=np.nan), "capacity_mwh is nan"),
        (
            lambda: anmjax.Storage(bus=7, p_mw=1, capacity_mwh=8, efficiency=0),
            r"efficiency is 0, .* \(0, 1\]",
        ),
        (
            lambda: anmjax.Storage(bus=7, p_mw=1, capacity_mwh=8, min_mwh=9, name="big"),
            "Storage 'big': capacity_mwh is 8, must be >= min_mwh = 9",
        ),
        (lambda: anmjax.Generator(bus=7, p_mw=1, p_min_mw=2), "p_mw is 1, must be >= p_min_mw = 2"),
        (lambda: anmjax.Renewable(bus=7, q_max_mvar=-1, q_min_mvar=1), "q_max_mvar is -1, must be >= q_min"),
        (lambda: anmjax.Load(bus=7, p_mw="2"), "Load at bus 7: p_mw is '2'"),
        (lambda: anmjax.Load(bus=7, q_per_p=0.1, power_factor=0.9), "power_factor is 0.9, must be None"),
        (lambda: anmjax.Load(bus=7, name=""), "name is '', must be a str"),
        (lambda: anmjax.Load(bus=None), "bus is None, must be the id or the name of a bus"),
        (lambda: anmjax.Renewable(bus=7, controllable="no"), "controllable is 'no', must be True or False"),
        (lambda: Network.from_dict(FEEDER).with_devices(anmjax.Load(bus=9)), "Load: bus is 9"),
        (lambda: Network.from_dict(FEEDER).without_devices(9), "device is 9, must be .* slack 0, load 3"),
        (lambda: Network.from_dict(FEEDER).without_devices(0), "device is 0, must not be a slack"),
        (lambda: Network.from_dict(FEEDER).with_limits(v_min={9: 1}), "v_min: key is 9"),
        (lambda: Network.from_dict(FEEDER).with_limits(rating=-1), "rating is -1, must be a number >= 0"),
        (lambda: Network.from_dict(FEEDER).with_limits(v_min=1.2), "bus 4: v_min is 1.2, must be <= v_max"),
    ],
)
def test_a_fault_names_device_field_value_and_what_is_allowed(build, said):
    with pytest.raises(NetworkError, match=said):
        build()


def test_limits_are_set_for_all_but_slacks_or_by_name():
    net = Network.from_dict(FEEDER).with_limits(v_min=0.9, v_max={7: 1.1}, rating=2)
    np.testing.assert_array_equal(net.v_min, [1.0, 0.9, 0.9])
    np.testing.assert_array_equal(net.v_max, [1.0, 1.05, 1.1])
    np.testing.assert_array_equal(net.rating, [0.2, 0.2])
    np.testing.assert_array_equal(net.with_limits(rating={1: 3}).rating, [0.2, 0.3])


@pytest.fixture(scope="module")
def net():
    """The small net with motors, elements by phase, a generator and a battery with limits of its own."""
    net = small_net()
    with_other_consumers(net)
    pp.create_gen(net, 3, p_mw=0.5, vm_pu=1.01, name="engine", max_p_mw=0.8, min_q_mvar=-0.3, max_q_mvar=0.4)
    pp.create_sgen(net, 12, p_mw=0.6, q_mvar=0.05, name="park", controllable=True, max_p_mw=0.9)
    pp.create_storage(
        net, 12, p_mw=0.1, max_e_mwh=2.0, min_e_mwh=0.5, min_p_mw=-0.4, max_p_mw=0.3, name="battery"
    )
    pp.create_load(net, 12, p_mw=9.0, in_service=False, name="off")
    return net


def test_devices_of_a_pandapower_net_have_its_names_limits_and_controls(net):
    network = Network.from_pandapower(net)
    labels = dict(zip(network.device_names, network.device_kind, strict=True))
    assert labels == {
        "slack 7": 0,
        "load 0": -1,
        "sgen 0": -1,  # pandapower's own default is not controllable
        "park": 2,
        "engine": 1,
        "storage 0": 3,
        "battery": 3,
    }
    at = {name: k for k, name in enumerate(network.device_names)}
    limits = {name: getattr(network, name) * 2.0 for name in ("p_min", "p_max", "q_min", "q_max", "soc_max")}
    expected = {
        "park": {"p_min": 0, "p_max": 0.9, "q_min": 0, "q_max": 0.05},
        "engine": {"p_min": 0, "p_max": 0.8, "q_min": -0.3, "q_max": 0.4},
        "battery": {"p_min": -0.3, "p_max": 0.4, "soc_max": 2.0},
        "sgen 0": {"p_min": 0, "p_max": np.inf},
        "load 0": {"p_min": -np.inf, "p_max": 0},
    }
    for name, of in expected.items():
        for limit, value in of.items():
            assert limits[limit][at[name]] == pytest.approx(value), (name, limit)
    np.testing.assert_allclose(network.qp_ratio[at["load 0"]], 0.8 / 3.0)


@pytest.mark.parametrize("source", ["pandapower", "matpower"])
@pytest.mark.filterwarnings("ignore::anmjax.grid.IsolatedBusWarning")
def test_p_and_q_stay_and_are_the_sum_of_devices_and_what_is_fixed(net, source, tmp_path):
    if source == "pandapower":
        network, plain = (Network.from_pandapower(net, devices=of) for of in (True, False))
    else:
        path = write(tmp_path, CASE)
        network, plain = (Network.from_matpower(path, devices=of) for of in (True, False))
    assert plain.n_device == 1
    others = np.delete(np.arange(network.n_bus), network.slacks)
    for of in "pq":
        np.testing.assert_array_equal(getattr(network, of), getattr(plain, of))
        np.testing.assert_array_equal(getattr(plain, f"{of}_fixed")[others], getattr(plain, of)[others])
        total = np.bincount(network.device_bus, getattr(network, f"{of}_device"), network.n_bus)
        if network.p_fixed is not None:
            total += getattr(network, f"{of}_fixed")
        # A few roundings of numbers of order 1.
        np.testing.assert_allclose(total[others], getattr(network, of)[others], atol=1e-14)
    without = network.without_devices(1)
    gone = network.p - without.p
    np.testing.assert_allclose(gone[network.device_bus[1]], network.p_device[1], rtol=1e-12)
    assert np.count_nonzero(gone) == 1


@pytest.mark.filterwarnings("ignore::anmjax.grid.IsolatedBusWarning")
def test_devices_of_a_matpower_case_are_demands_and_generators_within_their_limits(tmp_path):
    network = Network.from_matpower(write(tmp_path, CASE))
    # Out of service, isolated and at the reference bus (40): none of these is a device.
    assert network.device_names == ("slack 40", "load 7", "load 12", "load 9", "gen 0", "gen 1", "gen 4")
    assert network.device_kind == (0, -1, -1, -1, 1, 1, 1)
    np.testing.assert_allclose(network.p_max[4:] * 50, 30)
    np.testing.assert_allclose(network.q_min[4:] * 50, -9)
    np.testing.assert_allclose(network.p_device[4:] * 50, [10, 5, 1])


def test_a_generator_of_a_net_that_is_a_slack_is_no_device():
    net = small_net()
    with_generators(net)
    network = Network.from_pandapower(net)
    assert set(network.device_bus[network.n_slack :]).isdisjoint(network.slacks)


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan, -1.0])
def test_odd_limits_of_a_net_never_stop_its_import(odd):
    net = small_net()
    pp.create_sgen(net, 12, p_mw=0.6, q_mvar=0.05, name="park", controllable=True)
    pp.create_storage(net, 12, p_mw=0.1, max_e_mwh=2.0, name="battery")
    for column in ("max_p_mw", "min_p_mw", "max_q_mvar", "min_q_mvar", "sn_mva"):
        net.sgen[column] = net.storage[column] = odd
    network = Network.from_pandapower(net)
    assert network.device_names[-2:] == ("park", "battery")
    assert not any(np.isnan(getattr(network, name)).any() for name in ("p_min", "p_max", "q_min", "q_max"))
    assert (network.p_min <= network.p_max).all()
    assert (network.q_min <= network.q_max).all()
    net.storage["max_e_mwh"] = odd
    assert Network.from_pandapower(net).device_names[-1] == "park"
