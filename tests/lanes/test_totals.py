"""Sums over rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.lanes import totals as module
from anmjax.lanes.totals import totals


@pytest.mark.parametrize("form", ["on this platform", "whole", "loop"])
def test_totals_are_sums_over_all_rows_of_each_lane(form):
    x, y = np.random.default_rng(0).normal(size=(2, 2, 7, 5))

    def terms(x, y):
        return x * y, x - y

    forms = {"on this platform": totals, "whole": module._whole, "loop": module._loop}
    found = jax.jit(lambda x, y: forms[form](terms, x, y))(jnp.asarray(x), jnp.asarray(y))
    assert [part.shape for part in found] == [(1, 1, 5)] * 2
    for part, expected in zip(found, (x * y, x - y), strict=True):
        np.testing.assert_allclose(part[0, 0], expected.sum((0, 1)), rtol=0, atol=1e-14)
