"""Noise: what weather and people do that no calendar tells, as correlated Gaussian noise with a memory."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

BOUND = 4.0  # standard deviations that noise is cut at, so that what is made of it is bounded


@struct.dataclass
class Noise:
    """Gaussian noise of several sites: a sum of autoregressions of the first order.

        z = sum_i sqrt(share_i) z_i
        z_i' = phi_i z_i + sqrt(1 - phi_i^2) e_i,   phi_i = exp(-delta_t / hours_i)
        e_i of site k = sqrt(shared) e_i0 + sqrt(1 - shared) e_ik,   e Gaussian of mean 0 and variance 1

    At every step of any length z has mean 0 and variance 1, the autocorrelation at a lag of h hours is
    sum_i share_i exp(-h / hours_i), and the correlation between two sites is ``shared``.
    """

    hours: tuple[float, ...] = struct.field(pytree_node=False)  # (n_term,) h, time constants, > 0
    shares: tuple[float, ...] = struct.field(pytree_node=False, default=(1.0,))  # (n_term,) of the variance
    shared: float = struct.field(pytree_node=False, default=0.0)  # correlation between sites, in [0, 1]

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
          ValueError: naming the field, its value and what is allowed.
        """
        if not self.hours or not all(x > 0 for x in self.hours):
            raise ValueError(f"hours are {self.hours}, but must be numbers > 0, one or more")
        fits = len(self.shares) == len(self.hours) and all(x >= 0 for x in self.shares)
        if not fits or abs(sum(self.shares) - 1) > 1e-9:
            allowed = f"{len(self.hours)} numbers >= 0 with a sum of 1"
            raise ValueError(f"shares are {self.shares}, but must be {allowed}")
        if not 0 <= self.shared <= 1:
            raise ValueError(f"shared is {self.shared}, but must be in [0, 1]")

    def memory(self, hours: Any) -> np.ndarray:
        """phi_i over some hours, (n_term,); of an array of hours, (.., n_term)."""
        return np.exp(-np.asarray(hours, float)[..., None] / np.array(self.hours))

    def init(self, key: jax.Array, sites: int, dtype: Any = None) -> jax.Array:
        """Draws the terms z_i of a stationary start, (n_term, sites)."""
        return self._draw(key, (len(self.hours), sites), jnp.result_type(float) if dtype is None else dtype)

    def step(self, key: jax.Array, terms: jax.Array, delta_t: float) -> jax.Array:
        """Draws the terms a step of ``delta_t`` hours later, (n_term, sites)."""
        phi = self.memory(delta_t)[:, None].astype(terms.dtype)
        return phi * terms + np.sqrt(1 - phi**2) * self._draw(key, terms.shape, terms.dtype)

    def sum(self, terms: Any) -> Any:
        """Z of terms (.., n_term, sites): (.., sites)."""
        weights = np.sqrt(np.array(self.shares)).astype(terms.dtype)
        return (weights.reshape(*[1] * (terms.ndim - 2), -1, 1) * terms).sum(-2)

    def outlook(self, terms: jax.Array, hours: np.ndarray) -> tuple[jax.Array, np.ndarray]:
        """Mean and standard deviation of z in some hours, given the terms now.

        Args:
          terms: (n_term, sites).
          hours: (n,) h ahead.

        Returns:
          (n, sites); (n, 1).
        """
        phi = self.memory(hours).astype(terms.dtype)
        deviation = np.sqrt((np.array(self.shares) * (1 - phi**2)).sum(-1, keepdims=True))
        return self.sum(phi[..., None] * terms[None]), deviation.astype(terms.dtype)

    def table(self, seed: tuple[int, ...], sites: int, num_steps: int, delta_t: float) -> np.ndarray:
        """Z of a stationary start and the steps after it, (num_steps, sites), drawn on the host in float64.

        The numbers depend on the arguments alone, not on the precision or the version of a library: raw bits
        of PCG64, turned into Gaussian numbers by the inverse of their distribution.
        """
        from scipy import special  # not before it is needed: it takes a while to import

        size = (num_steps, len(self.hours), 1 + sites)
        bits = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(math.prod(size))
        e = special.ndtri(((bits >> np.uint64(11)) + 0.5) * 2.0**-53).reshape(size)
        e = math.sqrt(self.shared) * e[..., :1] + math.sqrt(1 - self.shared) * e[..., 1:]
        phi = self.memory(delta_t)[:, None]
        terms = np.sqrt(1 - phi**2) * e
        terms[0] = e[0]
        for step in range(1, num_steps):
            terms[step] += phi * terms[step - 1]
        return self.sum(terms)

    def _draw(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        e = jax.random.normal(key, (*shape[:-1], 1 + shape[-1]), dtype)
        return math.sqrt(self.shared) * e[..., :1] + math.sqrt(1 - self.shared) * e[..., 1:]
