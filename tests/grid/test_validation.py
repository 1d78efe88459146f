"""Every fault is found, named by element, field and value, and reported together with all others."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

from anmjax.grid import Fault, Network, NetworkError, validate
from tests.grid.samples import FULL, SPARSE, as_arrays, changed

SLACK, LOAD, CLASSICAL, RENEWABLE, STORAGE = range(5)  # rows of the device table

# (table, row, column, value) -> element and field of the fault, a piece of what is allowed
SINGLE_FAULTS = [
    (("bus", 1, "BUS_ID", None), "bus row 1", "BUS_ID", "an integer"),
    (("bus", 1, "BUS_ID", 1.5), "bus row 1", "BUS_ID", "an integer"),
    (("bus", 1, "BUS_ID", "1"), "bus row 1", "BUS_ID", "an integer"),
    (("bus", 1, "BUS_ID", True), "bus row 1", "BUS_ID", "an integer"),
    (("bus", 1, "BUS_ID", 1e300), "bus row 1", "BUS_ID", "an integer"),
    (("bus", 3, "BUS_ID", 2), "bus 2", "BUS_ID", "unique"),
    (("bus", 1, "BUS_TYPE", 2), "bus 1", "BUS_TYPE", "0 (slack) or 1 (PQ)"),
    (("bus", 1, "BUS_TYPE", None), "bus 1", "BUS_TYPE", "0 (slack) or 1 (PQ)"),
    (("bus", 1, "BUS_TYPE", False), "bus 1", "BUS_TYPE", "0 (slack) or 1 (PQ)"),
    (("bus", 1, "BUS_TYPE", 0), "network", "BUS_TYPE", "exactly one bus"),
    (("bus", 0, "BUS_TYPE", 1), "network", "BUS_TYPE", "exactly one bus"),
    (("bus", 1, "BASE_KV", 0), "bus 1", "BASE_KV", "> 0"),
    (("bus", 1, "BASE_KV", -33), "bus 1", "BASE_KV", "> 0"),
    (("bus", 0, "BASE_KV", None), "bus 0", "BASE_KV", "> 0"),
    (("bus", 1, "BASE_KV", math.inf), "bus 1", "BASE_KV", "> 0"),
    (("bus", 1, "VMAX", None), "bus 1", "VMAX", ">= 0"),
    (("bus", 0, "VMAX", None), "bus 0", "VMAX", ">= 0"),
    (("bus", 0, "VMAX", -1), "bus 0", "VMAX", ">= 0"),
    (("bus", 1, "VMAX", 0.8), "bus 1", "VMAX", ">= VMIN = 0.9"),
    (("bus", 1, "VMIN", None), "bus 1", "VMIN", ">= 0"),
    (("bus", 1, "VMIN", -0.1), "bus 1", "VMIN", ">= 0"),
    (("bus", 0, "VMIN", math.nan), "bus 0", "VMIN", "a finite number"),
    (("device", LOAD, "DEV_ID", None), "device row 1", "DEV_ID", "an integer"),
    (("device", LOAD, "DEV_ID", 1.25), "device row 1", "DEV_ID", "an integer"),
    (("device", LOAD, "DEV_ID", 4), "device 4", "DEV_ID", "unique"),
    (("device", LOAD, "BUS_ID", 9), "device 1", "BUS_ID", "0, 1, 2, 3"),
    (("device", LOAD, "BUS_ID", None), "device 1", "BUS_ID", "an integer"),
    (("device", SLACK, "BUS_ID", 1), "device 0", "BUS_ID", "must be 0, the slack bus"),
    (("device", SLACK, "BUS_ID", 9), "device 0", "BUS_ID", "0, 1, 2, 3"),
    (("device", CLASSICAL, "DEV_TYPE", 4), "device 2", "DEV_TYPE", "-1 (load) or 0 (slack)"),
    (("device", CLASSICAL, "DEV_TYPE", None), "device 2", "DEV_TYPE", "-1 (load) or 0 (slack)"),
    (("device", CLASSICAL, "DEV_TYPE", 1.5), "device 2", "DEV_TYPE", "-1 (load) or 0 (slack)"),
    (("device", SLACK, "DEV_TYPE", 1), "network", "DEV_TYPE", "exactly one device"),
    (("device", LOAD, "Q/P", None), "device 1", "Q/P", "a finite number"),
    (("device", LOAD, "Q/P", math.inf), "device 1", "Q/P", "a finite number"),
    (("device", LOAD, "PMAX", 1), "device 1", "PMAX", "<= 0"),
    (("device", LOAD, "PMAX", -8), "device 1", "PMAX", ">= PMIN = -7"),
    (("device", LOAD, "PMIN", math.inf), "device 1", "PMIN", "a number or -inf"),
    (("device", SLACK, "PMAX", -90), "device 0", "PMAX", ">= PMIN = -80"),
    (("device", SLACK, "QMAX", -70), "device 0", "QMAX", ">= QMIN = -60"),
    (("device", SLACK, "P+", 91), "device 0", "P+", "<= PMAX = 90"),
    (("device", SLACK, "P+", -81), "device 0", "P+", ">= PMIN = -80"),
    (("device", SLACK, "Q+", 71), "device 0", "Q+", "<= QMAX = 70"),
    (("device", SLACK, "Q-", -61), "device 0", "Q-", ">= QMIN = -60"),
    (("device", STORAGE, "PMAX", -1), "device 4", "PMAX", ">= 0"),
    (("device", STORAGE, "PMIN", 1), "device 4", "PMIN", "<= 0"),
    (("device", STORAGE, "P-", -7), "device 4", "P-", ">= PMIN = -6"),
    (("device", STORAGE, "P-", 6), "device 4", "P-", "<= PMAX = 5"),
    (("device", STORAGE, "P-", 4), "device 4", "P+", ">= P- = 4"),
    (("device", STORAGE, "SOC_MAX", None), "device 4", "SOC_MAX", ">= 0"),
    (("device", STORAGE, "SOC_MAX", -1), "device 4", "SOC_MAX", ">= 0"),
    (("device", STORAGE, "SOC_MAX", math.inf), "device 4", "SOC_MAX", ">= 0"),
    (("device", STORAGE, "SOC_MAX", 0.5), "device 4", "SOC_MAX", ">= SOC_MIN = 1"),
    (("device", STORAGE, "SOC_MIN", -1), "device 4", "SOC_MIN", ">= 0"),
    (("device", STORAGE, "EFF", -0.1), "device 4", "EFF", "in (0, 1]"),
    (("device", STORAGE, "EFF", 1.1), "device 4", "EFF", "in (0, 1]"),
    (("device", STORAGE, "EFF", 0), "device 4", "EFF", "in (0, 1]"),
    (("device", LOAD, "EFF", "high"), "device 1", "EFF", "a number or None"),
    (("branch", 1, "F_BUS", 9), "branch 9-2 (row 1)", "F_BUS", "0, 1, 2, 3"),
    (("branch", 1, "T_BUS", 9), "branch 1-9 (row 1)", "T_BUS", "0, 1, 2, 3"),
    (("branch", 1, "F_BUS", None), "branch row 1", "F_BUS", "an integer"),
    (("branch", 1, "T_BUS", 0.5), "branch row 1", "T_BUS", "an integer"),
    (("branch", 1, "T_BUS", 1), "branch 1-1 (row 1)", "T_BUS", "differ from F_BUS"),
    (("branch", 1, "BR_R", -0.1), "branch 1-2 (row 1)", "BR_R", ">= 0"),
    (("branch", 1, "BR_X", -0.1), "branch 1-2 (row 1)", "BR_X", ">= 0"),
    (("branch", 1, "BR_X", math.inf), "branch 1-2 (row 1)", "BR_X", ">= 0"),
    (("branch", 1, "BR_B", -0.1), "branch 1-2 (row 1)", "BR_B", ">= 0"),
    (("branch", 1, "RATE", -1), "branch 1-2 (row 1)", "RATE", ">= 0"),
    (("branch", 1, "TAP", 0), "branch 1-2 (row 1)", "TAP", "> 0"),
    (("branch", 1, "TAP", -1), "branch 1-2 (row 1)", "TAP", "> 0"),
    (("branch", 1, "SHIFT", -1), "branch 1-2 (row 1)", "SHIFT", "in [0, 360]"),
    (("branch", 1, "SHIFT", 361), "branch 1-2 (row 1)", "SHIFT", "in [0, 360]"),
    (("branch", 1, "T_BUS", 0), "bus 2", "BUS_ID", "a path of branches to the slack bus 0"),
]
for row, name in ((CLASSICAL, "device 2"), (RENEWABLE, "device 3")):
    SINGLE_FAULTS += [
        (("device", row, "PMAX", -1), name, "PMAX", ">= 0"),
        (("device", row, "PMIN", -1), name, "PMIN", ">= 0"),
        (("device", row, "PMIN", 10), name, "PMAX", ">= PMIN = 10"),
    ]
for row, name in ((CLASSICAL, "device 2"), (RENEWABLE, "device 3"), (STORAGE, "device 4")):
    SINGLE_FAULTS += [
        (("device", row, "QMAX", -9), name, "QMAX", ">= QMIN"),
        (("device", row, "P+", 10), name, "P+", "<= PMAX"),
        (("device", row, "P+", -10), name, "P+", ">= PMIN"),
        (("device", row, "Q+", 7), name, "Q+", "<= QMAX"),
        (("device", row, "Q-", -6), name, "Q-", ">= QMIN"),
        (("device", row, "Q+", -3), name, "Q+", ">= Q- = -2"),
        (("device", row, "QMAX", None), name, "QMAX", "must be finite where Q+"),
        (("device", row, "QMIN", None), name, "QMIN", "must be finite where Q-"),
    ]


def faults_of(d) -> set[tuple[str, str]]:
    return {(fault.element, fault.field) for fault in validate(d)}


@pytest.mark.parametrize("d", [FULL, SPARSE], ids=["full", "sparse"])
def test_a_good_network_has_no_faults_as_lists_or_as_arrays(d):
    assert validate(d) == []
    assert validate(as_arrays(d)) == []


@pytest.mark.parametrize(
    ("change", "element", "field", "allowed"),
    SINGLE_FAULTS,
    ids=lambda x: str(x) if isinstance(x, tuple) else "",
)
def test_each_fault_is_named_by_element_field_value_and_what_is_allowed(change, element, field, allowed):
    d = changed(change)
    found = [f for f in validate(d) if (f.element, f.field) == (element, field) and allowed in f.allowed]
    assert len(found) == 1
    if element != "network" and field == change[2] and element != "bus 2":
        assert found[0].value == change[3] or math.isnan(found[0].value)
    message = str(found[0])
    assert element in message
    assert field in message
    assert allowed in message
    with pytest.raises(NetworkError) as error:
        Network.from_dict(d)
    assert str(found[0]) in str(error.value)


@pytest.mark.parametrize(
    "value", [math.nan, "1.0", True, np.True_, 1j, [1.0], b"1", np.nan, 10**400, object()]
)
@pytest.mark.parametrize("place", [("bus", 2), ("device", CLASSICAL), ("device", STORAGE), ("branch", 1)])
def test_what_is_not_a_number_is_a_fault_in_every_column(value, place):
    table, row = place
    for column in {"bus": ("BASE_KV", "VMAX"), "device": ("PMAX", "P-", "EFF"), "branch": ("BR_R", "RATE")}[
        table
    ]:
        fields = {f.field for f in validate(changed((table, row, column, value)))}
        assert fields == {column}


@pytest.mark.parametrize("value", [0, -1.0, None, math.nan, math.inf, "100", True, [100.0]])
def test_a_base_power_that_is_not_a_positive_number_is_a_fault(value):
    assert faults_of({**FULL, "baseMVA": value}) == {("network", "baseMVA")}


@pytest.mark.parametrize("key", ["baseMVA", "bus", "device", "branch"])
def test_a_missing_key_is_a_fault_and_a_misspelt_one_is_pointed_at(key):
    d = copy.deepcopy(FULL)
    d[f"{key}s"] = d.pop(key)
    (fault,) = [fault for fault in validate(d) if fault.element == "network" and fault.field == key]
    assert f"{key}s" in fault.allowed


@pytest.mark.parametrize("key", ["bus", "device", "branch"])
@pytest.mark.parametrize(
    "table",
    [[], np.zeros((0, 5)), None, 3, "table", {}, [1, 2], np.zeros(3), np.zeros((2, 2, 2)), np.float64(1)],
)
def test_a_table_that_is_empty_or_no_table_is_a_fault(key, table):
    assert ("network", key) in faults_of({**FULL, key: table})


@pytest.mark.parametrize("key", ["bus", "device", "branch"])
def test_a_row_of_the_wrong_width_is_a_fault_of_that_row(key):
    d = copy.deepcopy(FULL)
    d[key][1] = d[key][1][:-1]
    d[key][2] = 7
    assert {(f"{key} row 1", "row"), (f"{key} row 2", "row")} <= faults_of(d)


@pytest.mark.parametrize("d", [None, 3, "network", [], [("baseMVA", 1)]])
def test_what_is_not_a_dict_is_a_fault(d):
    assert faults_of(d) == {("network", "network")}


def test_all_faults_are_reported_at_once_in_one_error():
    d = changed(
        ("bus", 1, "BASE_KV", -1),
        ("bus", 2, "VMAX", 0.5),
        ("device", LOAD, "PMAX", 3),
        ("device", STORAGE, "EFF", 2),
        ("device", STORAGE, "SOC_MAX", None),
        ("branch", 0, "TAP", 0),
        ("branch", 2, "T_BUS", 12),
    )
    d["baseMVA"] = 0
    expected = {
        ("network", "baseMVA"),
        ("bus 1", "BASE_KV"),
        ("bus 2", "VMAX"),
        ("bus 3", "BUS_ID"),  # without the branch that leads to bus 12, nothing leads to bus 3
        ("device 1", "PMAX"),
        ("device 4", "EFF"),
        ("device 4", "SOC_MAX"),
        ("branch 0-1 (row 0)", "TAP"),
        ("branch 2-12 (row 2)", "T_BUS"),
    }
    assert faults_of(d) == expected
    with pytest.raises(NetworkError, match="9 faults") as error:
        Network.from_dict(d)
    assert {(f.element, f.field) for f in error.value.faults} == expected
    assert len(str(error.value).splitlines()) == 10


def test_a_fault_is_reported_once_though_other_columns_take_the_value_over():
    d = changed(("device", 6, "PMIN", 9.0), base=SPARSE)
    assert [str(f) for f in validate(d)] == ["device 6: PMAX is 8, must be >= PMIN = 9"]
    d = changed(("device", 6, "Q-", 6.0), base=SPARSE)
    assert [str(f) for f in validate(d)] == ["device 6: QMAX is 5, must be >= Q- = 6"]


def test_a_branch_without_resistance_and_reactance_is_a_fault():
    for r, x in ((0, 0), (None, None), (0, None), (None, 0.0)):
        d = changed(("branch", 1, "BR_R", r), ("branch", 1, "BR_X", x))
        assert faults_of(d) == {("branch 1-2 (row 1)", "BR_X")}


def test_every_bus_that_has_no_path_to_the_slack_is_named():
    d = copy.deepcopy(FULL)
    d["bus"] += [[7, 1, 33.0, 1.1, 0.9], [8, 1, 33.0, 1.1, 0.9]]
    d["branch"] += [[7, 8, 0.1, 0.1, 0, None, 1, 0]]
    assert faults_of(d) == {("bus 7", "BUS_ID"), ("bus 8", "BUS_ID")}


def test_a_number_too_long_to_write_is_still_reported():
    for huge in (10**5000, [10**5000]):
        with pytest.raises(NetworkError, match="too long to write"):
            Network.from_dict(changed(("device", CLASSICAL, "PMAX", huge)))


def test_two_slack_devices_are_a_fault_that_names_them():
    (fault,) = validate(changed(("device", CLASSICAL, "DEV_TYPE", 0)))
    assert "device 0" in str(fault.value)
    assert "device 2" in str(fault.value)


@pytest.mark.parametrize(
    "change",
    [
        ("bus", 0, "VMIN", None),
        ("bus", 0, "VMIN", -1.0),
        ("bus", 0, "VMAX", 0.5),
        ("device", SLACK, "PMIN", None),
        ("device", SLACK, "QMAX", None),
        ("device", CLASSICAL, "P-", 1000.0),
        ("device", RENEWABLE, "P-", -1000.0),
        ("device", LOAD, "QMAX", -1000.0),
        ("device", LOAD, "PMIN", -math.inf),
        ("device", STORAGE, "EFF", 1.0),
        ("branch", 1, "RATE", 0.0),
        ("branch", 1, "RATE", math.inf),
        ("branch", 1, "SHIFT", 360.0),
        ("branch", 1, "BR_R", 0.0),
    ],
    ids=str,
)
def test_what_gym_anm_allows_is_allowed(change):
    assert validate(changed(change)) == []


def test_parallel_branches_and_any_bus_ids_are_allowed():
    d = copy.deepcopy(FULL)
    d["branch"].append([2, 1, 0.3, 0.4, 0.0, 5.0, 1.0, 0.0])
    new_ids = {0: 40, 1: -3, 2: 7, 3: 1000}
    for row in d["bus"]:
        row[0] = new_ids[row[0]]
    for row in d["device"]:
        row[1] = new_ids[row[1]]
    for row in d["branch"]:
        row[0], row[1] = new_ids[row[0]], new_ids[row[1]]
    assert validate(d) == []


def test_the_error_is_a_value_error_and_survives_pickling():
    error = NetworkError([Fault("bus 1", "BASE_KV", -1, "must be > 0")], origin="the case x")
    copied = pickle.loads(pickle.dumps(error))
    assert isinstance(copied, ValueError)
    assert copied.faults == error.faults
    assert str(copied) == str(error) == "the case x has 1 fault:\n  bus 1: BASE_KV is -1, must be > 0"
