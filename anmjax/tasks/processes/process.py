"""Process: a quantity of several sites that is drawn, as a function of the calendar and of noise."""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.tasks.processes.moment import Moment
from anmjax.tasks.processes.noise import BOUND, Noise

FORECASTS = ("persistence", "mean", "noisy")
# Gauss and Hermite's nodes and weights for a mean over a Gaussian of variance 1. What is averaged has kinks,
# at which many nodes are the remedy.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@struct.dataclass
class ProcessState:
    """Where a process is."""

    terms: jax.Array  # (n_term, sites) of its noise
    at: Moment  # of scalars


@struct.dataclass
class Process(abc.ABC):
    """Base of processes: each says what its noise is, and what its quantity is given noise and calendar.

    In p.u. of the size of a site. ``init`` and ``step`` draw in pure JAX, any number of sites at once;
    ``table`` draws whole years on the host.
    """

    @property
    @abc.abstractmethod
    def noise(self) -> Noise:
        """What its noise is."""

    @abc.abstractmethod
    def output(self, z: Any, at: Moment) -> Any:
        """The quantity.

        Args:
          z: (.., sites) noise of mean 0 and variance 1, NumPy's or JAX's.
          at: (..) moments.

        Returns:
          (.., sites) p.u.
        """

    def init(self, key: jax.Array, sites: int, at: Moment, dtype: Any = None) -> ProcessState:
        """Draws a stationary start at a moment.

        Args:
          key: PRNG key.
          sites: how many.
          at: when.
          dtype: floating point type; None: JAX's default.
        """
        terms = self.noise.init(key, sites, dtype)
        return ProcessState(terms, Moment(*(jnp.asarray(x, terms.dtype) for x in at)))

    def step(self, key: jax.Array, state: ProcessState, delta_t: float) -> ProcessState:
        """Draws the state ``delta_t`` hours later."""
        return ProcessState(self.noise.step(key, state.terms, delta_t), state.at.after(delta_t))

    def value(self, state: ProcessState) -> jax.Array:
        """The quantity now, (sites,) p.u."""
        return self.output(self._bounded(self.noise.sum(state.terms)), state.at)

    def mean(self, at: Moment) -> Any:
        """The mean over all weathers, (..) p.u., the same for every site; ``at``: (..) moments."""
        xp = namespace(at.hour)
        dtype = np.dtype(np.float64) if xp is np else jnp.result_type(at.hour)
        z = xp.broadcast_to(_NODES.clip(-BOUND, BOUND).astype(dtype), (*np.shape(at.hour), len(_NODES)))
        return self.output(z, at) @ _WEIGHTS.astype(dtype)

    def forecast(
        self, key: jax.Array, state: ProcessState, num_steps: int, *, delta_t: float, kind: str = "mean"
    ) -> jax.Array:
        """What the coming steps may bring; of what is random nobody knows more.

        Args:
          key: PRNG key, for "noisy" alone.
          state: now.
          num_steps: how many steps.
          delta_t: h, length of a step.
          kind: "persistence": the noise stays what it is now, while the calendar goes on; "mean": the mean of
            all that may come, given the state; "noisy": one of these, drawn.

        Returns:
          (num_steps, sites) p.u.

        Raises:
          ValueError: there is no such kind.
        """
        if kind not in FORECASTS:
            raise ValueError(f"kind is {kind!r}, but must be one of {', '.join(map(repr, FORECASTS))}")
        dtype = state.terms.dtype
        hours = delta_t * np.arange(1, num_steps + 1)
        coming = state.at.after(jnp.asarray(hours, dtype))
        if kind == "persistence":
            now = self._bounded(self.noise.sum(state.terms))
            return self.output(jnp.broadcast_to(now, (num_steps, *now.shape)), coming)
        if kind == "mean":
            mean, deviation = self.noise.outlook(state.terms, hours)
            each = jax.vmap(lambda x: self.output(self._bounded(mean + deviation * x), coming))
            return jnp.tensordot(jnp.asarray(_WEIGHTS, dtype), each(jnp.asarray(_NODES, dtype)), 1)

        def draw(state: ProcessState, key: jax.Array) -> tuple[ProcessState, jax.Array]:
            state = self.step(key, state, delta_t)
            return state, self.value(state)

        return jax.lax.scan(draw, state, jax.random.split(key, num_steps))[1]

    def table(
        self, seed: tuple[int, ...], sites: int, at: Moment, num_steps: int, delta_t: float
    ) -> np.ndarray:
        """A stationary start and the steps after it, (num_steps, sites) p.u., on the host in float64.

        Args:
          seed: whole numbers >= 0, on which alone, with the other arguments, the draw depends.
          sites: how many.
          at: moment of the first step.
          num_steps: how many.
          delta_t: h, length of a step.
        """
        z = self.noise.table(seed, sites, num_steps, delta_t)
        return self.output(self._bounded(z), at.after(delta_t * np.arange(num_steps)))

    @staticmethod
    def _bounded(z: Any) -> Any:
        return z.clip(-BOUND, BOUND)


def namespace(x: Any) -> Any:
    """NumPy for its arrays, else JAX's."""
    return np if isinstance(x, np.ndarray) else jnp


def rank(z: Any) -> Any:
    """The probability that noise is less, in (0, 1)."""
    if not isinstance(z, np.ndarray):
        return jax.scipy.special.ndtr(z)
    from scipy import special  # not before it is needed: it takes a while to import

    return special.ndtr(z)


def by_site(x: Any) -> Any:
    """(.., 1) of (..): what the sites share."""
    return namespace(x).asarray(x)[..., None]
