"""RunningStatistics: mean and variance of a stream of batches."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class RunningStatistics:
    """Mean and variance of everything seen so far, merged batch by batch.

    With n and m samples seen before and now, means a and b, and d = b - a,

      mean = a + d m / (n + m),    var = (n var_a + m var_b + d^2 n m / (n + m)) / (n + m).

    Reference: Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979.
    """

    count: jax.Array  # () samples seen, at most the `max_count` of the last update
    mean: jax.Array  # (*shape,) mean
    var: jax.Array  # (*shape,) variance (of the population: divided by the count)

    @classmethod
    def create(cls, shape: tuple[int, ...] = (), dtype: jnp.dtype | type | None = None) -> RunningStatistics:
        """Statistics of nothing yet: mean 0 and variance 1, under which normalising changes nothing."""
        return cls(count=jnp.zeros((), dtype), mean=jnp.zeros(shape, dtype), var=jnp.ones(shape, dtype))

    def update(
        self, batch: jax.Array, *, max_count: float = math.inf, axis_name: str | None = None
    ) -> RunningStatistics:
        """Merges a batch.

        Args:
          batch: (..., *shape) samples; all leading axes are the batch.
          max_count: the count is cut to this, so that older samples fade: the weight of a sample seen long
            ago halves about every ``0.7 max_count`` new ones. Infinite: all samples weigh the same.
          axis_name: name of a mapped axis whose members' batches, equally large, are merged together.

        Returns:
          The statistics of the samples so far.
        """
        batch = jax.lax.stop_gradient(batch).reshape(-1, *self.mean.shape)
        batch_mean, num_batches = batch.mean(0), 1
        if axis_name is not None:
            batch_mean, num_batches = jax.lax.pmean(batch_mean, axis_name), jax.lax.axis_size(axis_name)
        batch_var = jnp.square(batch - batch_mean[None]).mean(0)
        if axis_name is not None:
            batch_var = jax.lax.pmean(batch_var, axis_name)
        size = jnp.asarray(batch.shape[0] * num_batches, self.count.dtype)
        total = self.count + size
        share = size / total
        delta = batch_mean - self.mean
        return RunningStatistics(
            count=jnp.minimum(total, max_count),
            mean=self.mean + delta * share,
            var=self.var * (1 - share) + batch_var * share + delta**2 * share * (1 - share),
        )

    def std(self, *, floor: float = 1e-4) -> jax.Array:
        """Standard deviation, at least ``floor``: entries that never change divide by it without harm."""
        return jnp.maximum(jnp.sqrt(self.var), floor)

    def normalize(self, x: jax.Array, *, clip: float = 10.0, floor: float = 1e-4) -> jax.Array:
        """``(x - mean) / std`` clipped to ``[-clip, clip]``.

        Args:
          x: (..., *shape) values.
          clip: bound on the result.
          floor: least standard deviation to divide by.

        Returns:
          (..., *shape) normalised values.
        """
        expand = (None,) * (x.ndim - self.mean.ndim)
        return jnp.clip((x - self.mean[expand]) / self.std(floor=floor)[expand], -clip, clip)
