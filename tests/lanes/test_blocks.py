"""Blocks of lanes, cut, chosen and put together."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.lanes.blocks import map_blocks


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("size", [7, 8, 20])
def test_blocks_cover_every_lane_along_either_axis(axis: int, size: int) -> None:
    x, shared = np.random.default_rng(0).normal(size=(20, 20)), np.ones((1, 1))
    out = map_blocks(lambda args: args[0] * 2 + args[1], (jnp.asarray(x), jnp.asarray(shared)), size, axis)
    np.testing.assert_allclose(out, x * 2 + 1)
