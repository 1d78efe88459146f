"""The table of quantities is what the documentation says, and every entry of it fits the elements it names."""

from __future__ import annotations

import re

import jax
import numpy as np

from anmjax.envs import observation
from anmjax.envs.quantities import QUANTITIES, SCALES
from tests.envs.samples import Feeder


def test_the_documented_quantities_and_units_are_those_of_the_table() -> None:
    assert observation.__doc__ is not None
    lines = re.findall(r"^    (\w+) +(\(none\)|\w+(?:, \w+)*)  ", observation.__doc__, re.MULTILINE)
    documented = {name: (None,) if units == "(none)" else tuple(units.split(", ")) for name, units in lines}
    assert documented == {name: quantity.units for name, quantity in QUANTITIES.items()}
    assert list(documented) == list(QUANTITIES)


def test_values_and_limits_have_an_entry_for_every_element() -> None:
    for name, quantity in QUANTITIES.items():
        for unit in quantity.units:
            env = Feeder([(name, "all", unit)])
            elements = quantity.elements(env.network, env.K)
            assert elements
            box = env.observation_space
            assert box.low.shape == box.high.shape == (len(elements),)
            assert (box.low <= box.high).all()
            key = jax.eval_shape(jax.random.key, 0)
            assert jax.eval_shape(env.reset, key).obs.shape == (len(elements),)
            assert SCALES[unit](env.network).shape in ((1,), (env.network.n_bus,))


def test_auxiliary_variables_without_bounds_are_free() -> None:
    box = Feeder([("aux", [2, 0])]).observation_space
    np.testing.assert_array_equal([box.low, box.high], [[-np.inf] * 2, [np.inf] * 2])
