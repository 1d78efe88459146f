"""A network holds what its dict says, in per unit, and writes it back."""

from __future__ import annotations

import dataclasses
import math
import random

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anmjax.grid import Network
from anmjax.grid.tables import TABLES, describe
from tests.grid.samples import FULL, PLACE, SPARSE, changed

STATIC = ("bus_ids", "slacks", "pv", "current_load_bus", "from_bus", "to_bus")
STATIC += ("device_ids", "device_bus", "device_kind")
# What a network of a dict is without.
OPTIONAL = ("asymmetry", "p_device", "q_device", "p_fixed", "q_fixed", "flexibility", "settings")
NAMES = ("device_names", "bus_names", "branch_names")
LEAVES = [f.name for f in dataclasses.fields(Network) if f.name not in (*STATIC, *OPTIONAL, *NAMES)]


def assert_equal(a: Network, b: Network) -> None:
    """Equal to the bit."""
    for name in STATIC:
        assert getattr(a, name) == getattr(b, name), name
    for name in LEAVES:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name, strict=True)


def test_values_are_in_per_unit_and_radians():
    net = Network.from_dict(FULL)
    assert net.base_mva == 10.0
    np.testing.assert_array_equal(net.rating, [3.0, 2.0, 1.0])
    np.testing.assert_array_equal(net.p_max, [9.0, 0.0, 0.9, 0.8, 0.5])
    np.testing.assert_array_equal(net.p_minus, [-8.0, -0.7, 0.1, 0.0, -0.3])
    np.testing.assert_array_equal(net.soc_max, [0, 0, 0, 0, 2.0])
    np.testing.assert_array_equal(net.soc_min, [0, 0, 0, 0, 0.1])
    np.testing.assert_array_equal(net.eff, [1, 1, 1, 1, 0.9])
    np.testing.assert_array_equal(net.qp_ratio, [0, 0.3, 0, 0, 0])
    assert net.shift[0] == 30.0 * np.pi / 180
    assert (net.n_bus, net.n_branch, net.n_device) == (4, 3, 5)
    assert (net.slack_device, net.loads, net.generators, net.renewables, net.storage) == (
        0,
        (1,),
        (2, 3),
        (3,),
        (4,),
    )


def test_a_load_has_the_ordered_ends_of_its_line_as_reactive_bounds():
    net = Network.from_dict(changed(("device", 1, "Q/P", -0.5), ("device", 1, "PMAX", -2.0)))
    assert (net.p_min[1], net.p_max[1]) == (-0.7, -0.2)
    assert (net.q_min[1], net.q_max[1]) == (0.1, 0.35)
    for plus, bound in (("p_plus", "p_max"), ("p_minus", "p_min"), ("q_plus", "q_max"), ("q_minus", "q_min")):
        assert getattr(net, plus)[1] == getattr(net, bound)[1]


def test_an_unlimited_load_without_reactive_power_has_no_nan():
    net = Network.from_dict(changed(("device", 1, "Q/P", 0.0), ("device", 1, "PMIN", None)))
    assert net.p_min[1] == -math.inf
    assert (net.q_min[1], net.q_max[1]) == (0.0, 0.0)


@pytest.mark.parametrize("d", [FULL, SPARSE], ids=["full", "sparse"])
def test_leaves_are_float64_of_the_stated_shape_without_nan(d):
    net = Network.from_dict(d)
    for name in LEAVES:
        leaf = getattr(net, name)
        assert isinstance(leaf, np.ndarray)
        assert leaf.dtype == np.float64
        assert not np.isnan(leaf).any()
        sizes = {(), (net.n_bus,), (net.n_branch,), (net.n_device,)}
        sizes |= {(net.n_slack,), (len(net.current_load_bus),)}
        assert leaf.shape in sizes
    assert all(getattr(net, name) is None for name in OPTIONAL)
    assert net.dtype == np.float64


def test_static_fields_are_hashable_and_leaves_are_all_arrays():
    net = Network.from_dict(FULL)
    leaves, structure = jax.tree.flatten(net)
    assert len(leaves) == len(LEAVES)
    assert hash(structure) == hash(jax.tree.structure(Network.from_dict(FULL)))
    assert all(type(i) is int for name in STATIC for i in getattr(net, name))
    assert type(net.slack) is int


def test_astype_casts_every_number_and_nothing_else():
    net = Network.from_dict(SPARSE)
    single = net.astype(np.float32)
    assert single.dtype == np.float32
    for name in LEAVES:
        expected = getattr(net, name).astype(np.float32)
        np.testing.assert_array_equal(getattr(single, name), expected, strict=True)
    assert all(getattr(single, name) == getattr(net, name) for name in STATIC)


@pytest.mark.parametrize("d", [FULL, SPARSE], ids=["full", "sparse"])
def test_a_network_written_and_read_back_is_equal_to_the_bit(d):
    net = Network.from_dict(d)
    assert_equal(Network.from_dict(net.to_dict()), net)


def test_a_written_network_holds_what_the_user_wrote():
    d = Network.from_dict(FULL).to_dict()
    assert d["baseMVA"] == FULL["baseMVA"]
    for table in TABLES:
        for row, expected in zip(d[table.name], FULL[table.name], strict=True):
            for cell, value in zip(row, expected, strict=True):
                assert cell == value or value is None


@settings(max_examples=50, deadline=None)
@given(
    base=st.floats(1e-3, 1e4),
    p=st.floats(0, 1e6),
    soc=st.floats(1, 1e6),
    rate=st.floats(0, 1e6),
    shift=st.floats(0, 360),
)
def test_any_numbers_survive_writing_and_reading(base, p, soc, rate, shift):
    d = changed(
        ("device", 2, "PMAX", 9 + p),
        ("device", 1, "PMIN", -p),
        ("device", 4, "SOC_MAX", soc),
        ("branch", 1, "RATE", rate),
        ("branch", 1, "SHIFT", shift),
    )
    net = Network.from_dict({**d, "baseMVA": base})
    assert_equal(Network.from_dict(net.to_dict()), net)


def test_open_branches_are_left_out_of_the_dict_and_half_open_ones_refused():
    d = {**FULL, "branch": [*FULL["branch"], [2, 1, 0.3, 0.4, 0.0, 5.0, 1.0, 0.0]]}
    net = Network.from_dict(d)
    without_last = dataclasses.replace(net, in_service=np.array([1.0, 1.0, 1.0, 0.0]))
    assert_equal(Network.from_dict(without_last.to_dict()), Network.from_dict(FULL))
    with pytest.raises(ValueError, match="branch row 3: in_service"):
        dataclasses.replace(net, in_service=np.array([1.0, 1.0, 1.0, 0.5])).to_dict()


def test_rows_in_any_order_give_the_same_network_with_branches_in_file_order():
    rng = random.Random(0)
    net = Network.from_dict(SPARSE)
    for _ in range(5):
        d = {**SPARSE, **{key: rng.sample(SPARSE[key], len(SPARSE[key])) for key in ("bus", "device")}}
        assert_equal(Network.from_dict(d), net)
    flipped = Network.from_dict({**SPARSE, "branch": SPARSE["branch"][::-1]})
    assert flipped.from_bus == net.from_bus[::-1]
    np.testing.assert_array_equal(flipped.r, net.r[::-1])


def test_any_bus_and_device_ids_give_the_same_grid_sorted_by_id():
    new_ids = {0: 12, 1: -5, 2: 900, 3: 30}
    d = {
        "baseMVA": FULL["baseMVA"],
        "bus": [[new_ids[row[0]], *row[1:]] for row in FULL["bus"]],
        "device": [[100 - row[0], new_ids[row[1]], *row[2:]] for row in FULL["device"]],
        "branch": [[new_ids[row[0]], new_ids[row[1]], *row[2:]] for row in FULL["branch"]],
    }
    net, original = Network.from_dict(d), Network.from_dict(FULL)
    assert net.bus_ids == (-5, 12, 30, 900)
    assert net.slack == 1
    assert net.device_ids == (96, 97, 98, 99, 100)
    assert net.slack_device == 4
    ends = [(net.bus_ids[f], net.bus_ids[t]) for f, t in zip(net.from_bus, net.to_bus, strict=True)]
    assert ends == [(12, -5), (-5, 900), (900, 30)]
    assert [net.bus_ids[i] for i in net.device_bus] == [30, 900, 900, -5, 12]
    np.testing.assert_array_equal(net.p_max, original.p_max[::-1])
    np.testing.assert_array_equal(net.base_kv, [33.0, 132.0, 11.0, 33.0])


def test_parallel_branches_stay_apart():
    d = {**FULL, "branch": [*FULL["branch"], [2, 1, 0.3, 0.4, 0.0, 5.0, 1.0, 0.0]]}
    net = Network.from_dict(d)
    assert net.from_bus == (0, 1, 2, 2)
    assert net.to_bus == (1, 2, 3, 1)


def test_the_docstring_shows_the_tables_that_parsing_reads():
    lines = [line.strip() for line in Network.from_dict.__doc__.splitlines()]
    for table in TABLES:
        start = lines.index(f"{table.name}::") + 2
        text = [line.strip() for line in describe(table).splitlines()]
        assert lines[start : start + len(text)] == text
        assert all(any(line.startswith(f"{name} ") for line in text) for name in PLACE[table.name])
