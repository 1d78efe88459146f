"""gym-anm's two sample tasks, ported: a key added, np swapped for jnp.

Reference: gym-anm 2.0.1, the sample environments of its documentation.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from anmjax import ANMEnv, Network

TWO_BUSES = {
    "baseMVA": 100,
    "bus": np.array([[0, 0, 132, 1.0, 1.0], [1, 1, 33, 1.1, 0.9]]),
    "device": np.array(
        [
            [0, 0, 0, None, 200, -200, 200, -200, None, None, None, None, None, None, None],
            [1, 1, -1, 0.2, 0, -10, None, None, None, None, None, None, None, None, None],
        ]
    ),
    "branch": np.array([[0, 1, 0.01, 0.1, 0.0, 3, 1, 0]]),
}


class SimpleEnvironment(ANMEnv):
    """A load behind a line, and nothing to act on."""

    def __init__(self, **options):
        aux_bounds = np.array([[0, 10]])
        super().__init__(TWO_BUSES, "state", 1, 0.25, 0.9, 100, aux_bounds, (1, 100), **options)

    def init_state(self, key):
        """Any state at all."""
        n_dev, n_gen = self.simulator.N_device, self.simulator.N_non_slack_gen
        n_des = self.simulator.N_des
        return jax.random.uniform(key, (2 * n_dev + n_des + n_gen + self.K,), self.network.dtype)

    def next_vars(self, key, s_t):
        """A random load, a random integer."""
        key_load, key_aux = jax.random.split(key)
        P_load = jax.random.uniform(key_load, (1,), s_t.dtype, -10, 0)
        aux = jax.random.randint(key_aux, (1,), 0, 10).astype(s_t.dtype)
        return jnp.hstack([P_load, aux])


class RandomProfiles(ANMEnv):
    """The 6-bus network with loads and weather that forget the past; the auxiliary variable is the time."""

    def __init__(self, **options):
        network, aux_bounds = Network.from_json("anm6"), np.array([[0, 24 / 0.25 - 1]])
        super().__init__(network, "state", 1, 0.25, 0.995, 100, aux_bounds, (1, 100), **options)

    def init_state(self, key):
        """Any state, at midnight."""
        n_dev, n_gen, n_des = 7, 2, 1
        state = jax.random.uniform(key, (2 * n_dev + n_des + n_gen,), self.network.dtype)
        return jnp.hstack([state, jnp.zeros(1, state.dtype)])

    def next_vars(self, key, s_t):
        """Loads 1, 3, 5 and potentials of 2, 4."""
        key_load, key_gen = jax.random.split(key)
        low, high = jnp.asarray([-10, -30, -30], s_t.dtype), jnp.asarray([30, 50], s_t.dtype)
        P_loads = jax.random.uniform(key_load, (3,), s_t.dtype, low, 0)
        P_maxs = jax.random.uniform(key_gen, (2,), s_t.dtype, 0, high)
        aux = (s_t[-1:] + 1) % (24 / self.delta_t)
        return jnp.hstack([P_loads, P_maxs, aux])
