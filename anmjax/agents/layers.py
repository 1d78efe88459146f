"""The layers that the networks of all learners are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn


def orthogonal(gain: float) -> nn.initializers.Initializer:
    """Orthogonal initial weights, one seed's after another's under ``jax.vmap``.

    LAPACK's batched QR hands its matrices to XLA's pool of threads and waits on one of them; where all wait
    so, as with a device a core, they wait for ever (jaxlib 0.10.2, ``ParallelBatchMap``).
    """
    draw = nn.initializers.orthogonal(gain)

    def one_by_one(
        key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32, **kwargs: Any
    ) -> jax.Array:
        return jax.custom_batching.sequential_vmap(lambda key: draw(key, shape, dtype, **kwargs))(key)

    return one_by_one


class MLP(nn.Module):
    """Dense layers with an activation between them, orthogonally initialised.

    Parameters are held, and results returned, in ``dtype``; ``compute_dtype`` is that of the products.
    """

    sizes: Sequence[int]  # widths of the layers, the last one linear
    final_gain: float  # gain of the last layer: small starts the output near 0
    dtype: jnp.dtype | type | None = None
    compute_dtype: str | None = None  # None: as dtype
    activation: Callable[[jax.Array], jax.Array] = nn.tanh
    layer_norm: bool = False  # before every activation

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``(..., n_in)`` to ``(..., sizes[-1])``."""
        for size in self.sizes[:-1]:
            x = self._dense(size, np.sqrt(2.0))(x)
            if self.layer_norm:
                x = self._norm(x)
            x = self.activation(x)
        return self._dense(self.sizes[-1], self.final_gain)(x).astype(self.dtype)

    def _dense(self, size: int, gain: float) -> nn.Dense:
        return nn.Dense(
            size,
            kernel_init=orthogonal(gain),
            dtype=self.compute_dtype or self.dtype,
            param_dtype=self.dtype,
        )

    def _norm(self, x: jax.Array) -> jax.Array:
        dtype = jnp.dtype(self.compute_dtype or self.dtype or x.dtype)
        # Sums of half precision are taken in float32; others as they are, as strict promotion asks.
        return nn.LayerNorm(dtype=dtype, param_dtype=self.dtype, force_float32_reductions=dtype.itemsize < 4)(
            x
        )
