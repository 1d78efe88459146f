"""Box: every sample is a member, whatever bounds are missing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax import Box

INF = np.inf


@pytest.fixture(scope="module")
def box() -> Box:
    return Box(jnp.array([-1.0, 2.0, -INF, -INF, 3.0]), jnp.array([1.0, INF, -2.0, INF, 3.0]))


def test_samples_lie_within_the_bounds_and_spread(box: Box) -> None:
    samples = jax.vmap(box.sample)(jax.random.split(jax.random.key(0), 1000))
    assert samples.shape == (1000, *box.shape)
    assert jax.vmap(box.contains)(samples).all()
    # Uniform on [-1, 1], exponential above 2 and below -2, normal, a point: deviations 1/sqrt(3), 1, 1, 1, 0,
    # known to 10 % from 1,000 samples (4 standard errors of an exponential's deviation).
    np.testing.assert_allclose(samples.std(axis=0), [3**-0.5, 1, 1, 1, 0], rtol=0.13)
    np.testing.assert_allclose(samples.mean(axis=0), [0, 3, -3, 0, 3], atol=0.15)


def test_contains_judges_bounds_shape_and_nan(box: Box) -> None:
    member = jnp.array([0.0, 2.0, -5.0, 100.0, 3.0])
    assert box.contains(member)
    assert box.contains(np.asarray(member))
    for i, outside in enumerate([1.1, 1.9, -1.9, jnp.nan, 3.1]):
        assert not box.contains(member.at[i].set(outside))
    assert not box.contains(member[:4])
    assert not box.contains(member[None])
    assert not box.contains(jnp.float64(0.0))
    assert not jax.jit(box.contains)(member + 1)


def test_a_box_without_coordinates_has_one_member() -> None:
    box = Box(jnp.zeros(0), jnp.zeros(0))
    assert box.contains(box.sample(jax.random.key(0)))


def test_a_float32_box_samples_float32() -> None:
    box = anmjax.make("ANM6Easy-v0", dtype=jnp.float32).action_space
    assert box.dtype == jnp.float32
    assert box.sample(jax.random.key(0)).dtype == jnp.float32
    # gym-anm's action space, MW and MVAr: PV, wind (P then Q), storage P, Q. Through p.u. and back in
    # float32, which rounds to 6e-8.
    np.testing.assert_allclose(box.high, [30, 50, 30, 50, 50, 50], rtol=1e-6)
    np.testing.assert_allclose(box.low, [0, 0, -30, -50, -50, -50], rtol=1e-6)
