"""Agreement with gym-anm, live: what it refuses is refused, and its defaults are these."""

from __future__ import annotations

import copy
import warnings
from types import ModuleType

import numpy as np
import pytest

from anmjax.grid import Network, load_case, validate
from anmjax.grid.tables import CLASSICAL, DEVICE, LOAD, RENEWABLE, SLACK, STORAGE, TABLES
from tests.grid.samples import FULL, PLACE, SPARSE, as_arrays, changed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # gym's own notices on import
    simulator = pytest.importorskip("gym_anm.simulator")
    anm6: ModuleType = pytest.importorskip("gym_anm.envs.anm6_env.network")

LIMITS = (
    "p_max",
    "p_min",
    "q_max",
    "q_min",
    "p_plus",
    "p_minus",
    "q_plus",
    "q_minus",
    "soc_max",
    "soc_min",
    "eff",
)


def build_in_gym_anm(d):
    with np.errstate(all="ignore"):  # it computes inf - inf and 0 * inf for unlimited devices
        return simulator.Simulator(as_arrays(copy.deepcopy(d)), 0.25, 100)


def refused_by_gym_anm(d) -> bool:
    try:
        build_in_gym_anm(d)
    except Exception:  # its own errors, and whatever else Python raises on a bad value
        return True
    return False


@pytest.mark.parametrize("d", [FULL, SPARSE], ids=["full", "sparse"])
def test_defaults_and_limits_equal_those_of_gym_anms_devices(d):
    net, reference = Network.from_dict(d), build_in_gym_anm(d)
    assert net.device_ids == tuple(reference.devices)
    for i, device in enumerate(reference.devices.values()):
        assert net.device_kind[i] == device.type
        assert net.bus_ids[net.device_bus[i]] == device.bus_id
        for name in LIMITS:
            expected = getattr(device, name)
            if name in ("q_max", "q_min") and device.type == LOAD:
                ends = sorted((device.q_min, device.q_max))  # gym-anm swaps them where Q/P < 0
                expected = ends[name == "q_max"]
            if expected is not None:  # None where it does not apply
                assert getattr(net, name)[i] == expected, (device.dev_id, name)
        if device.type == LOAD:
            assert net.qp_ratio[i] == device.qp_ratio
        if device.type in (CLASSICAL, RENEWABLE, SLACK):
            assert net.p_minus[i] == net.p_min[i]


@pytest.mark.parametrize("d", [FULL, SPARSE], ids=["full", "sparse"])
def test_buses_and_branches_equal_those_of_gym_anm(d):
    net, reference = Network.from_dict(d), build_in_gym_anm(d)
    for i, bus in enumerate(reference.buses.values()):
        assert net.bus_ids[i] == bus.id
        assert (net.slack == i) == bus.is_slack
        assert (net.base_kv[i], net.v_max[i]) == (bus.baseKV, bus.v_max)
        assert net.v_min[i] == (0.0 if bus.v_min is None else bus.v_min)
    for i, branch in enumerate(reference.branches.values()):
        assert (net.bus_ids[net.from_bus[i]], net.bus_ids[net.to_bus[i]]) == (branch.f_bus, branch.t_bus)
        ours = (net.r[i], net.x[i], net.b[i], net.rating[i], net.tap[i], net.shift[i])
        assert ours == (branch.r, branch.x, branch.b, branch.rate, branch.tap_magn, branch.shift)


VALUES = (None, -100.0, -1.0, -0.05, 0.0, 0.5, 1.0, 2.5, 6.5, 100.0, 400.0)
DEVICE_ROW = {SLACK: 0, LOAD: 1, CLASSICAL: 2, RENEWABLE: 3, STORAGE: 4}


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
@pytest.mark.parametrize("source", [FULL, SPARSE], ids=["full", "sparse"])
def test_each_dict_that_gym_anm_refuses_is_refused(table, source):
    missed, refused = [], 0
    for row in range(len(source[table.name])):
        for column in table.names:
            for value in VALUES:
                d = changed((table.name, row, column, value), base=source)
                if refused_by_gym_anm(d) and not wrong_refusal(d):
                    refused += 1
                    if not validate(d):
                        missed.append((row, column, value))
    assert not missed
    assert refused > 40


def wrong_refusal(d) -> bool:
    """gym-anm compares a load's PMAX in MW with its PMIN in p.u."""
    place = PLACE["device"]
    for row in d["device"]:
        if row[place["DEV_TYPE"]] == LOAD:
            p_max, p_min = row[place["PMAX"]] or 0.0, row[place["PMIN"]]
            if p_min is not None and p_min <= p_max < p_min / d["baseMVA"]:
                return True
    return False


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
def test_each_dict_that_gym_anm_accepts_is_accepted_but_for_the_stated_ones(table):
    # Refused here though gym-anm builds them, since it then computes NaN or cannot solve the power flow:
    # a bus that no branch reaches, a branch from a bus to itself, an efficiency of 0, a sloped limit that
    # starts at infinity. It also cuts an id or a kind such as 0.5 down to an integer.
    stated = ("a path of branches", "differ from F_BUS", "in (0, 1]", "must be finite where")
    surprises = []
    for row in range(len(FULL[table.name])):
        for column in table.names:
            for value in VALUES:
                if (column.endswith("_ID") or column == table.kind_column) and value in (
                    -0.05,
                    0.5,
                    2.5,
                    6.5,
                ):
                    continue
                d = changed((table.name, row, column, value))
                unstated = [f for f in validate(d) if not any(text in f.allowed for text in stated)]
                if unstated and not refused_by_gym_anm(d):
                    surprises.append((row, column, value, [str(f) for f in unstated]))
    assert not surprises


def test_the_packaged_anm6_case_is_gym_anms_network():
    case, reference = load_case("anm6"), anm6.network
    assert case["baseMVA"] == reference["baseMVA"]
    for table in TABLES:
        np.testing.assert_array_equal(
            np.array(case[table.name], object), reference[table.name].astype(object)
        )
    assert Network.from_json("anm6").device_kind == tuple(reference["device"][:, PLACE["device"]["DEV_TYPE"]])


def test_gym_anm_reads_what_a_network_writes():
    written = Network.from_json("anm6").to_dict()
    built = simulator.Simulator(written, 0.25, 100)
    reference = simulator.Simulator(anm6.network, 0.25, 100)
    for device, expected in zip(built.devices.values(), reference.devices.values(), strict=True):
        assert all(getattr(device, name) == getattr(expected, name) for name in LIMITS)
    assert abs(built.Y_bus - reference.Y_bus).max() == 0
    assert len(DEVICE.columns) == written["device"].shape[1]
