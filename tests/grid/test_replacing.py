"""``Network.replace``: what does not fit is refused by name, and transformations do not notice."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax import Network, NetworkError
from anmjax.grid.replacing import SIZES
from tests.grid.samples import FULL

NET = Network.from_dict(FULL)  # 4 buses, 3 branches, 5 devices, the last a storage unit


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r": np.ones(4)}, "network: shape of r is (4,), must be (n_branch,) = (3,), batch axes before it"),
        (
            {"in_service": np.ones((3, 2))},
            "network: shape of in_service is (3, 2), must be (n_branch,) = (3,)",
        ),
        ({"rating": np.inf}, "network: shape of rating is (), must be (n_branch,) = (3,)"),
        ({"v_max": jnp.ones(3)}, "network: shape of v_max is (3,), must be (n_bus,) = (4,)"),
        (
            {"p_max": jax.ShapeDtypeStruct((4,), float)},
            "network: shape of p_max is (4,), must be (n_device,)",
        ),
        ({"r": [0.1, 0.1, 0.1]}, "network: r is [0.1, 0.1, 0.1], must be an array of shape (3,)"),
        ({"base_mva": "100"}, "network: base_mva is '100', must be a number"),
        ({"x": np.ones(3, np.float16)}, "network: dtype of x is 'float16', must be float32 or float64"),
        ({"x": np.ones(3) * 1j}, "network: dtype of x is 'complex128', must be float32 or float64"),
        ({"r": np.array([0.1, np.nan, 0.1])}, "branch 1-2 (row 1): r is nan, must be a finite number"),
        ({"r": jnp.array([0.1, np.nan, 0.1])}, "branch 1-2 (row 1): r is nan, must be a finite number"),
        ({"x": np.full((2, 3), np.inf)}, "branch 0-1 (row 0), lane 0: x is inf, must be a finite number (6"),
        ({"rating": np.array([1, -2, 3])}, "branch 1-2 (row 1): rating is -2, must be >= 0"),
        ({"tap": np.zeros(3)}, "branch 0-1 (row 0): tap is 0, must be > 0 (3 entries are not)"),
        (
            {"r": np.zeros(3), "x": np.array([1.0, 0, 1])},
            "branch 1-2 (row 1): x is 0, must not be 0 where r is",
        ),
        ({"p": np.array([0, 0, np.nan, 0])}, "bus 2: p is nan, must be a finite number"),
        ({"v_max": np.array([1, 0.8, 2, 2])}, "bus 1: v_max is 0.8, must be >= v_min"),
        ({"v_min": np.array([1, 0.8, 2, 0])}, "bus 2: v_min is 2, must be <= v_max"),
        ({"p_min": NET.p_max + 1}, "device 0: p_min is 10, must be <= p_max (5 entries are not)"),
        ({"q_max": NET.q_max - 1e3}, "must be >= q_min"),
        ({"q_plus": NET.q_minus - 1}, "must be >= q_minus"),
        ({"soc_max": np.zeros(5)}, "device 4: soc_max is 0, must be >= soc_min"),
        ({"eff": np.full(5, 1.5)}, "device 4: eff is 1.5, must be in (0, 1]"),
        ({"base_mva": 0.0}, "network: base_mva is 0, must be > 0"),
        ({"pv": (4,)}, "network: pv[0] is 4, must be in 0 .. 3, a position of a bus"),
        ({"slacks": ()}, "network: slacks is (), must name one bus or more"),
        ({"slacks": (2, 0)}, "network: slacks[1] is 0, must be greater than the one before it"),
        ({"slacks": (0, 4)}, "network: slacks[1] is 4, must be in 0 .. 3, a position of a bus"),
        ({"slack_angle": np.zeros(2)}, "network: shape of slack_angle is (2,), must be (n_slack,) = (1,)"),
        ({"slack_angle": np.array([np.nan])}, "slack at bus 0: slack_angle is nan, must be a finite number"),
        (
            {"current_load_bus": (2,), "p_current": np.array([np.inf]), "q_current": np.zeros(1)},
            "current load at bus 2: p_current is inf, must be a finite number",
        ),
        ({"pv": [1]}, "network: pv is [1], must be a tuple of whole numbers"),
        ({"from_bus": (0, 1)}, "network: length of from_bus is 2, must be as long as to_bus, 3"),
        ({"to_bus": (1, 2, 2)}, "network: to_bus[2] is 2, must differ from from_bus"),
        ({"to_bus": (1, 2, -1)}, "network: to_bus[2] is -1, must be in 0 .. 3"),
        ({"bus_ids": (0, 1, 2, 2)}, "network: bus_ids[3] is 2, must be greater than the one before it"),
        ({"device_kind": (0, -1, 1, 2, 7)}, "network: device_kind[4] is 7, must be one of -1, 0, 1, 2, 3"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_what_does_not_fit_is_refused_by_name(changes, message):
    with pytest.raises(NetworkError, match=re.escape(message)):
        NET.replace(**changes)


def test_every_fault_is_listed():
    with pytest.raises(NetworkError) as caught:
        NET.replace(r=np.full(3, np.nan), tap=np.zeros(3), b_shunt=np.ones(5))
    assert [fault.field for fault in caught.value.faults] == ["r", "tap", "shape of b_shunt"]


def test_every_number_of_a_network_has_a_known_size():
    # A new leaf has to be entered in the table, or nothing would check it.
    leaves = {path[0].name for path, _ in jax.tree_util.tree_leaves_with_path(NET)}
    assert leaves - set(SIZES) <= {"asymmetry"}
    assert set(SIZES) <= leaves


def test_what_fits_is_taken():
    whole = NET.replace(in_service=np.array([1, 0, 1]), rating=np.full(3, np.inf), pv=(1, 3))
    assert whole.pv == (1, 3)
    batch = NET.replace(in_service=np.ones((2, 5, 3)), base_mva=100.0)
    assert batch.in_service.shape == (2, 5, 3)
    # A branch more: ends first, its numbers next.
    longer = NET.replace(from_bus=(*NET.from_bus, 0), to_bus=(*NET.to_bus, 3))
    assert longer.replace(r=np.ones(4)).r.shape == (4,)


def test_it_works_inside_transformations():
    outages = 1 - np.eye(3)
    open_lines = jax.jit(jax.vmap(lambda up: NET.replace(in_service=up).in_service.sum()))(outages)
    np.testing.assert_array_equal(open_lines, [2, 2, 2])
    slope = jax.grad(lambda r: (NET.replace(r=r).r ** 2).sum())(jnp.asarray(NET.r))
    np.testing.assert_allclose(slope, 2 * NET.r, rtol=1e-15)
    with pytest.raises(NetworkError, match=r"shape of r is \(4,\)"):
        jax.jit(lambda r: NET.replace(r=r).r)(np.ones(4))
    # Numbers of a tracer are not known.
    assert np.isnan(jax.jit(lambda r: NET.replace(r=r).r)(np.full(3, np.nan))).all()


def test_trees_made_of_a_network_hold_anything():
    axes = jax.tree.map(lambda _: None, NET).replace(in_service=0)
    summed = jax.vmap(lambda net: net.in_service.sum(), in_axes=(axes,))(
        NET.replace(in_service=np.ones((2, 3)))
    )
    np.testing.assert_array_equal(summed, [3, 3])
    sentinel = object()
    assert NET.replace(r=sentinel).r is sentinel
    assert jax.tree.map(str, NET).replace(r="any").r == "any"
    # Unflattening does not ask: a transformation may put there what it likes.
    leaves, tree = jax.tree.flatten(NET)
    assert jax.tree.unflatten(tree, [np.full(9, np.nan)] * len(leaves)).r.shape == (9,)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64", "int32", "no_such_type"])
def test_a_network_of_another_type_of_number_is_refused(dtype):
    with pytest.raises(ValueError, match=f"dtype is {dtype}, expected float32 or float64"):
        NET.astype(dtype)


def test_half_precision_behind_its_back_is_refused_where_it_computes():
    half = jax.tree.map(lambda x: jnp.asarray(x).astype(jnp.bfloat16), NET)
    with pytest.raises(ValueError, match="dtype is bfloat16, expected float32 or float64"):
        _ = half.dtype
