"""The records that flow through an environment: GridState, InitialState and State."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct


@struct.dataclass
class GridState:
    """Operating point of the grid after one simulator transition.

    Derived quantities (branch flows, currents) are computed from ``v`` where asked for.
    """

    p: jax.Array  # (n_device,) p.u., active injection of every device, by id
    q: jax.Array  # (n_device,) p.u., reactive injection of every device, by id
    soc: jax.Array  # (n_storage,) p.u.h, state of charge
    p_potential: jax.Array  # (n_generator,) p.u., P the non-slack generators could give
    v: jax.Array  # (n_bus,) complex p.u., bus voltages
    mismatch: jax.Array  # () p.u., largest power-balance error left by the power flow
    converged: jax.Array  # () bool, False when the power flow has no solution: collapse
    # Of loads that may wait and chargers, by id; None: there is none.
    owed: jax.Array | None = None  # (n_flexible,) p.u.h, still to be served
    unserved: jax.Array | None = None  # (n_flexible,) p.u.h, lost in the step
    # (n_setting,) p.u., in force; None: nothing can be set of the network
    settings: jax.Array | None = None

    def solved(self, aux: jax.Array) -> jax.Array:
        """() bool: converged, and no NaN where the power flow does not look, ``aux`` included."""
        known = jnp.isfinite(self.soc).all() & ~jnp.isnan(self.p_potential).any()
        if self.owed is not None:
            known = known & jnp.isfinite(self.owed).all()
        return self.converged & known & jnp.isfinite(aux).all()

    def unless(self, terminated: jax.Array) -> GridState:
        """The operating point; of a terminated lane all zeros but for its flat voltages and its settings.

        Args:
          terminated: () bool.
        """

        def kept(x: jax.Array) -> jax.Array:
            return jnp.where(terminated, jnp.zeros_like(x), x)

        waiting = {name: x for name in ("owed", "unserved") if (x := getattr(self, name)) is not None}

        return replace(
            self,
            p=kept(self.p),
            q=kept(self.q),
            soc=kept(self.soc),
            p_potential=kept(self.p_potential),
            v=jnp.where(terminated, jnp.ones_like(self.v), self.v),
            converged=~terminated,
            **jax.tree.map(kept, waiting),
        )


@struct.dataclass
class InitialState:
    """A start state to hand to ``env.reset_to``, in the units of the state vector."""

    p_dev: jax.Array  # (n_device,) MW, active injections
    q_dev: jax.Array  # (n_device,) MVAr, reactive injections
    soc: jax.Array  # (n_storage,) MWh, state of charge
    p_max: jax.Array  # (n_generator,) MW, potential of the non-slack generators
    aux: jax.Array  # (K,) auxiliary variables
    # (n_flexible,) MWh, owed to loads that may wait and chargers; None: what the start's step leaves
    owed: jax.Array | None = None


@struct.dataclass
class State:
    """Everything an environment carries from one step to the next."""

    obs: jax.Array  # (n_obs,) observation
    reward: jax.Array  # () reward of the step that led here, 0 after a reset
    terminated: jax.Array  # () bool, the network has collapsed
    truncated: jax.Array  # () bool, a time limit ended the episode
    metrics: dict[str, jax.Array]  # per-step quantities by name, see ANMEnv
    grid: GridState
    aux: jax.Array  # (K,) auxiliary variables of the task
    t: jax.Array  # () int32, steps since the last reset
    key: jax.Array  # PRNG key of this lane
    # (n_cost,) of the step that led here, each at least 0, named in the environment's ``cost_names``; (0,) of
    # an environment that has none. NumPy's zeros: a default must touch no device.
    costs: jax.Array = struct.field(default_factory=lambda: np.zeros(0, np.float32))
