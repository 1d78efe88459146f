"""The order of an action is stated once: names, bounds, parts and their inverse, by hand for a small grid."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax import ANMEnv, Network
from anmjax.projection.control_layout import GROUPS, KINDS, ControlLayout
from tests.envs.samples import NETWORK

# Devices: 0 slack, 1 load, 2 renewable, 3 classical, 4 storage. Ids of tens, the rows in another order.
TENS = {**NETWORK, "device": [[10 * row[0], *row[1:]] for row in NETWORK["device"][::-1]]}
NET = Network.from_dict(TENS)
LAYOUT = ControlLayout.of(NET)


def test_components_are_named_by_quantity_unit_and_device_id() -> None:
    assert LAYOUT.names == ("p_mw_20", "p_mw_30", "q_mvar_20", "q_mvar_30", "p_mw_40", "q_mvar_40")
    assert LAYOUT.description == "P of 2 generators, Q of them, P of 1 storage units, Q of them"
    assert (LAYOUT.n_controlled, LAYOUT.n_action) == (3, 6)
    assert LAYOUT.device_ids == (20, 30, 40)
    np.testing.assert_array_equal(LAYOUT.devices, [2, 3, 4])


def test_bounds_are_those_of_the_devices_in_mw_and_mvar() -> None:
    low, high = LAYOUT.bounds(NET)
    # PMIN and PMAX, QMIN and QMAX of the table, through p.u. on 10 MVA and back: a rounding or two.
    np.testing.assert_allclose(low, [0, 0.5, -4, -3, -4, -3], rtol=1e-15)
    np.testing.assert_allclose(high, [8, 5, 4, 3, 4, 3], rtol=1e-15)
    box = ANMEnv(NET, "state", 0, 1.0, 0.9, 1).action_space
    np.testing.assert_array_equal([box.low, box.high], [low, high])


@pytest.mark.parametrize("batch", [(), (3,)])
def test_an_action_is_split_by_quantity_and_joined_again(batch: tuple[int, ...]) -> None:
    action = np.arange(6.0).reshape(6, *[1] * len(batch)) + np.zeros(batch)
    p, q = LAYOUT.split(jnp.asarray(action))
    np.testing.assert_array_equal(p, action[[0, 1, 4]])
    np.testing.assert_array_equal(q, action[[2, 3, 5]])
    np.testing.assert_array_equal(LAYOUT.join(p, q), action)


def test_stretches_are_where_the_names_are() -> None:
    for group, (key, stretch) in zip(GROUPS, LAYOUT.groups.items(), strict=True):
        assert key == (group.quantity, group.kind)
        assert all(name.startswith(f"{group.quantity}_{group.unit}_") for name in LAYOUT.names[stretch])
        assert LAYOUT.names[stretch] == tuple(
            f"{group.quantity}_{group.unit}_{i}" for i in LAYOUT.device_ids[LAYOUT.kinds[group.kind]]
        )
    assert {group.kind for group in GROUPS} == set(KINDS)


def test_a_layout_is_static_by_topology_alone_and_needs_no_device() -> None:
    other = ControlLayout.of(NET.replace(p_max=2 * NET.p_max))
    assert other == LAYOUT
    assert hash(other) == hash(LAYOUT)
    assert ControlLayout.of(Network.from_dict(NETWORK)) != LAYOUT
    nothing = Network.from_dict({**TENS, "device": [row for row in TENS["device"] if row[0] < 20]})
    empty = ControlLayout.of(nothing)
    assert (empty.names, empty.n_action) == ((), 0)
    assert [x.shape for x in empty.split(jnp.zeros(0))] == [(0,), (0,)]
    assert jax.eval_shape(empty.join, jnp.zeros(0), jnp.zeros(0)).shape == (0,)
