"""How far an operating point is from its limits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.grid.network import Network
from anmjax.powerflow.quantities import branch_loading


def voltage_margin(net: Network, v: jax.Array) -> jax.Array:
    """Least distance of a bus voltage from its limits, () p.u.; negative where one is beyond.

    The slack bus is left out: its voltage is given.

    Args:
      net: network.
      v: (n_bus,) complex p.u., bus voltages.
    """
    others = np.delete(np.arange(net.n_bus), net.slack)
    vm = jnp.abs(v)[others]
    return jnp.minimum(net.v_max[others] - vm, vm - net.v_min[others]).min(initial=jnp.inf)


def branch_margin(net: Network, v: jax.Array) -> jax.Array:
    """Least share of its rating that a branch keeps free, (); negative where one is overloaded.

    Args:
      net: network.
      v: (n_bus,) complex p.u., bus voltages.
    """
    return 1 - branch_loading(net, v).max(initial=0)
