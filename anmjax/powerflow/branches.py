"""What flows in the branches of a network and out of its buses, at given voltages."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.grid.network import Network
from anmjax.lanes import phasor
from anmjax.lanes.gather import take
from anmjax.powerflow.admittance import admittance, two_port
from anmjax.powerflow.equations import bus_power, voltage
from anmjax.powerflow.inputs import branch_parameters, bus_shunts, network_plan


@struct.dataclass
class BranchFlows:
    """Complex power entering each branch at its two ends."""

    s_from: jax.Array  # (n_branch,) complex p.u.
    s_to: jax.Array  # (n_branch,) complex p.u.


def sent_powers(net: Network, d: jax.Array) -> jax.Array:
    """Power that each bus sends into the network, (2, n_bus, *batch) p.u., by bus index.

    Args:
      net: network with leaves (n, *batch).
      d: (2, n_bus, *batch) voltage deviations V - 1, by bus index.
    """
    plan = network_plan(net)
    adm = admittance(plan, branch_parameters(net), bus_shunts(net))
    return take(bus_power(plan, adm, take(d, plan.order, 1)), plan.position, 1)


def branch_currents(net: Network, d: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Current entering each branch at its ends, batch trailing.

    Args:
      net: network with leaves (n, *batch).
      d: (2, n_bus, *batch) voltage deviations V - 1, by bus index.

    Returns:
      i_from, i_to, both (2, n_branch, *batch) p.u.
    """
    return _currents(net, *at_ends(net, d))


def at_ends(net: Network, d: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Deviations at the two ends of each branch, both (2, n_branch, *batch), of (2, n_bus, *batch)."""
    return take(d, np.array(net.from_bus), 1), take(d, np.array(net.to_bus), 1)


def _currents(net: Network, d_from: jax.Array, d_to: jax.Array) -> tuple[jax.Array, jax.Array]:
    port = two_port(branch_parameters(net))
    return (
        phasor.multiply(port.transfer_from, d_to - d_from)
        + phasor.multiply(port.shunt_from, voltage(d_from)),
        phasor.multiply(port.transfer_to, d_from - d_to) + phasor.multiply(port.shunt_to, voltage(d_to)),
    )


def branch_powers(net: Network, d: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Power entering each branch at its ends, both (2, n_branch, *batch) p.u.; see ``branch_currents``."""
    return end_powers(net, *at_ends(net, d))


def end_powers(net: Network, d_from: jax.Array, d_to: jax.Array) -> tuple[jax.Array, jax.Array]:
    """As ``branch_powers``, of the deviations at the ends of each branch, see ``at_ends``."""
    i_from, i_to = _currents(net, d_from, d_to)
    return (
        phasor.multiply(voltage(d_from), phasor.conj(i_from)),
        phasor.multiply(voltage(d_to), phasor.conj(i_to)),
    )


@jax.jit
def branch_flows(net: Network, v: jax.Array) -> BranchFlows:
    """Complex power entering each branch at its from and to end.

    Args:
      net: network.
      v: (n_bus,) complex p.u., bus voltages.

    Returns:
      The flows; their sum is the branch's loss.
    """
    v = jnp.asarray(v)
    s_from, s_to = branch_powers(net, jnp.stack([v.real - 1, v.imag]))
    return BranchFlows(phasor.to_complex(s_from), phasor.to_complex(s_to))
