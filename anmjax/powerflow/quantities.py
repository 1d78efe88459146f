"""What follows from the voltages of a power flow: loss, loading and current of branches, power of slacks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.gather import take
from anmjax.powerflow.branches import branch_currents, branch_powers, sent_powers
from anmjax.powerflow.connectivity import buses_of_slacks
from anmjax.powerflow.inputs import current_by_bus, network_plan


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
def slack_powers(net: Network, v: jax.Array) -> jax.Array:
    """Power injected at each slack bus, (n_slack,) complex p.u., in the order of ``net.slacks``.

    It stands for the entries of ``p`` and ``q`` there, which a power flow leaves open: what the bus sends
    into its branches, its shunt and its loads of constant current. Together with the injections ``p + j q``
    of the other buses it covers what branches (``branch_losses``), shunts and loads of constant current take.

    Args:
      net: network.
      v: (n_bus,) complex p.u., bus voltages.
    """
    v = jnp.asarray(v)
    power = sent_powers(net, _deviation(v))
    if (current := current_by_bus(net)) is not None:
        power = power + phasor.stack(*current) * jnp.abs(v)[None]
    return phasor.to_complex(take(power, np.array(net.slacks), 1))


@jax.jit
def island_losses(net: Network, v: jax.Array) -> jax.Array:
    """Power that stays in the branches of each slack's island, (n_slack,) complex p.u.

    Islands are those of the branches in service. Where several slacks share one, its loss stands at the
    first of them and zero at the others, so that the sum is that of ``branch_losses`` in any case.

    Args:
      net: network.
      v: (n_bus,) complex p.u., bus voltages.
    """
    supplied = buses_of_slacks(network_plan(net), jnp.asarray(net.in_service))
    first = supplied & (jnp.cumsum(supplied, axis=1) == 1)
    at_branch = first[np.array(net.from_bus, int)]
    return jnp.where(at_branch, branch_losses(net, v)[:, None], 0).sum(0)


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
