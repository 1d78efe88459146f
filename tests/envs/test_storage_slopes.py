"""Derivatives of a storage unit's charge at its limits: full or empty, at rest or told more than it can."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax.envs.transition import Setpoints, dispatch

NET = anmjax.make("ANM6Easy-v0").network
STORAGE = int(NET.storage[0])
EFF, DELTA_T = float(np.asarray(NET.eff)[STORAGE]), 0.25
EMPTY, FULL = (float(np.asarray(x)[STORAGE]) for x in (NET.soc_min, NET.soc_max))


def charge_after(p: jax.Array, soc: jax.Array, soc_min: jax.Array, soc_max: jax.Array) -> jax.Array:
    """p.u.h, of ANM6's battery, told to give ``p`` p.u."""
    net = dataclasses.replace(
        NET,
        soc_min=jnp.asarray(NET.soc_min).at[STORAGE].set(soc_min),
        soc_max=jnp.asarray(NET.soc_max).at[STORAGE].set(soc_max),
    )
    zero = jnp.zeros(len(net.generators))
    told = jnp.concatenate([zero, p[None]])
    wanted = Setpoints(jnp.zeros(len(net.loads)), zero, told, jnp.zeros_like(told))
    return dispatch(net, soc[None], wanted, delta_t=DELTA_T).soc[0]


def slopes(p: float, soc: float) -> list[float]:
    """By the set-point, the charge before, and the least and the largest charge."""
    found = jax.grad(charge_after, (0, 1, 2, 3))(*map(jnp.asarray, (p, soc, EMPTY, FULL)))
    return [float(x) for x in found]


@pytest.mark.parametrize(
    ("p", "soc", "expected"),
    [
        # Charging and giving within the limits.
        (-0.1, 0.5 * FULL, (-DELTA_T * EFF, 1, 0, 0)),
        (0.1, 0.5 * FULL, (-DELTA_T / EFF, 1, 0, 0)),
        # Told more than it has or holds: it ends at the limit, wherever it was.
        (0.4, 0.1 * DELTA_T, (0, 0, 1, 0)),
        (0.4, EMPTY, (0, 0, 1, 0)),
        (-0.4, FULL - 0.1 * DELTA_T, (0, 0, 0, 1)),
        (-0.4, FULL, (0, 0, 0, 1)),
        # Empty it can be charged, full it can give.
        (-0.1, EMPTY, (-DELTA_T * EFF, 1, 0, 0)),
        (0.1, FULL, (-DELTA_T / EFF, 1, 0, 0)),
    ],
)
def test_the_slopes_are_those_of_the_side_that_it_is_on(p, soc, expected):
    np.testing.assert_allclose(slopes(p, soc), expected, atol=1e-12)


@pytest.mark.parametrize("soc", [EMPTY, FULL])
def test_at_rest_at_a_limit_the_slope_lies_between_those_of_its_sides(soc):
    # Of one side the slope is none: it cannot give (take) any more. Zero would tell a planner that
    # charging (giving) does nothing either.
    by_p = slopes(0.0, soc)[0]
    assert -DELTA_T / EFF < by_p <= -0.4 * DELTA_T * EFF
