"""What follows from the voltages of a power flow: losses, loading and currents of the branches."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.grid.network import Network
from anmjax.powerflow import phasor
from anmjax.powerflow.power_flow import branch_currents, branch_powers


@struct.dataclass
class BranchQuantities:
    """Branches in engineering units; "from" and "to" are the power and the current entering at that end."""

    p_from_mw: jax.Array  # (n_branch,) MW
    q_from_mvar: jax.Array  # (n_branch,) MVAr
    s_from_mva: jax.Array  # (n_branch,) MVA
    i_from_ka: jax.Array  # (n_branch,) kA; inf where the bus has no base voltage
    p_to_mw: jax.Array  # (n_branch,) MW
    q_to_mvar: jax.Array  # (n_branch,) MVAr
    s_to_mva: jax.Array  # (n_branch,) MVA
    i_to_ka: jax.Array  # (n_branch,) kA; inf where the bus has no base voltage
    loss_mw: jax.Array  # (n_branch,) MW, active power that stays in the branch
    loss_mvar: jax.Array  # (n_branch,) MVAr, negative where charging gives more than the reactance takes
    loading: jax.Array  # (n_branch,) larger apparent power of the two ends over the rating


@jax.jit
def branch_losses(net: Network, v: jax.Array) -> jax.Array:
    """Power that stays in each branch, (n_branch,) complex p.u.

    Args:
      net: network.
      v: (n_bus,) complex p.u., bus voltages.
    """
    s_from, s_to = branch_powers(net, _deviation(v))
    return phasor.to_complex(s_from + s_to)


@jax.jit
def branch_loading(net: Network, v: jax.Array) -> jax.Array:
    """Larger apparent power of the two ends over the rating, (n_branch,); 0 where there is no rating.

    Args:
      net: network.
      v: (n_bus,) complex p.u., bus voltages.
    """
    ends = branch_powers(net, _deviation(v))
    return jnp.maximum(*(phasor.magnitude(s) for s in ends)) / net.rating


@jax.jit
def branch_quantities(net: Network, v: jax.Array) -> BranchQuantities:
    """Flows, currents, losses and loading of the branches in MW, MVAr, MVA and kA.

    Args:
      net: network.
      v: (n_bus,) complex p.u., bus voltages.
    """
    d = _deviation(v)
    (s_from, s_to), (i_from, i_to) = branch_powers(net, d), branch_currents(net, d)
    base = net.base_mva
    loss = (s_from + s_to) * base

    def in_ka(i: jax.Array, ends: tuple[int, ...]) -> jax.Array:
        base_kv = jnp.asarray(net.base_kv)[np.array(ends)]
        known = base_kv > 0
        base_ka = base / (np.sqrt(3).astype(base_kv.dtype) * jnp.where(known, base_kv, 1))
        return jnp.where(known, phasor.magnitude(i) * base_ka, jnp.inf)

    return BranchQuantities(
        p_from_mw=s_from[0] * base,
        q_from_mvar=s_from[1] * base,
        s_from_mva=phasor.magnitude(s_from) * base,
        i_from_ka=in_ka(i_from, net.from_bus),
        p_to_mw=s_to[0] * base,
        q_to_mvar=s_to[1] * base,
        s_to_mva=phasor.magnitude(s_to) * base,
        i_to_ka=in_ka(i_to, net.to_bus),
        loss_mw=loss[0],
        loss_mvar=loss[1],
        loading=branch_loading(net, v),
    )


def _deviation(v: jax.Array) -> jax.Array:
    v = jnp.asarray(v)
    return jnp.stack([v.real - 1, v.imag])
