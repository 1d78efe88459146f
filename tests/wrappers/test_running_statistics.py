"""RunningStatistics against NumPy over all samples at once."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from anmjax.wrappers import RunningStatistics


def test_merging_batches_gives_mean_and_variance_of_all_samples():
    rng = np.random.default_rng(0)
    batches = [rng.normal(3.0, 2.0, (n, 4, 5)) for n in (1, 7, 2, 30)]
    statistics = RunningStatistics.create((5,))
    for batch in batches:
        statistics = statistics.update(jnp.asarray(batch))
    samples = np.concatenate(batches).reshape(-1, 5)
    np.testing.assert_allclose(statistics.mean, samples.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics.var, samples.var(0), rtol=1e-12)
    assert statistics.count == len(samples)


def test_old_samples_fade_when_the_count_is_capped():
    statistics = RunningStatistics.create().update(jnp.full(1000, 100.0), max_count=1000)
    for _ in range(10):
        statistics = statistics.update(jnp.zeros(1000), max_count=1000)
    # Each update halves the weight of what came before: 100 / 2**10.
    np.testing.assert_allclose(statistics.mean, 100 / 2**10, rtol=1e-12)


def test_an_entry_that_never_changes_is_normalised_to_zero_in_float32():
    value = jnp.full((64, 1), 1e3 / 7, jnp.float32)
    statistics = RunningStatistics.create((1,), jnp.float32)
    for _ in range(5):
        statistics = statistics.update(value)
    # One rounding of the mean, 1.5e-5, over the floor 1e-4 is 0.15: far from the clip at 10.
    assert abs(float(statistics.normalize(value)[0, 0])) < 0.5


def test_normalised_values_are_clipped():
    statistics = RunningStatistics.create((2,))
    np.testing.assert_array_equal(statistics.normalize(jnp.array([50.0, -0.5]), clip=10.0), [10.0, -0.5])
