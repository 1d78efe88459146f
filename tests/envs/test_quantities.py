"""The table of quantities is what the documentation says, and its entries fit the elements they name."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np

from anmjax import EVCharger, FlexibleLoad, GridState
from anmjax.envs import observation
from anmjax.envs.quantities import QUANTITIES, SCALES, Point
from tests.envs.samples import Feeder


def test_the_documented_quantities_and_units_are_those_of_the_table() -> None:
    assert observation.__doc__ is not None
    lines = re.findall(r"^    (\w+) +(\(none\)|\w+(?:, \w+)*)  ", observation.__doc__, re.MULTILINE)
    documented = {name: (None,) if units == "(none)" else tuple(units.split(", ")) for name, units in lines}
    assert documented == {name: quantity.units for name, quantity in QUANTITIES.items()}
    assert list(documented) == list(QUANTITIES)


def test_values_and_limits_have_an_entry_for_every_element() -> None:
    net, num_aux = Feeder().network.with_devices(FlexibleLoad(1, p_mw=1.0), EVCharger(2)), 3
    zero, none = jnp.zeros(net.n_device), jnp.zeros(())
    one = jnp.ones(net.n_bus, complex)
    grid = GridState(zero, zero, jnp.zeros(1), jnp.zeros(2), one, none, none, owed=jnp.zeros(2))
    at = Point(net, grid, jnp.zeros((2, net.n_bus)), jnp.zeros(num_aux))
    for quantity in QUANTITIES.values():
        n = len(quantity.elements(net, num_aux))
        assert n > 0
        assert jax.eval_shape(quantity.value, at).shape == (n,)
        limits = jax.eval_shape(quantity.limits, net, jnp.zeros((num_aux, 2)))
        assert [limit.shape for limit in limits] == [(n,), (n,)]
        for unit in quantity.units:
            assert jax.eval_shape(SCALES[unit], net).shape in ((1,), (net.n_bus,))


def test_auxiliary_variables_without_bounds_are_free() -> None:
    box = Feeder([("aux", [2, 0])]).observation_space
    np.testing.assert_array_equal([box.low, box.high], [[-np.inf] * 2, [np.inf] * 2])
