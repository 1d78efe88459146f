"""Settings of a network: the position nearest to the one asked for, and the network with it in force.

    s = low <= asked <= high, then rounded to the nearest position where there are positions, which are
    counted from the one of the case:

    tap    <- s                 turns ratio of a transformer
    b_shunt <- b_shunt + s      susceptance of a capacitor or reactor, p.u.
    in_service <- s             a branch open (0) or closed (1)

Rounding has the derivative of the identity ("straight-through"), so that gradients say which way a position
wants to move. Arrays are ``[component, *batch]``, see ``anmjax.lanes.trailing``.

Reference: Bengio, Leonard & Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for
Conditional Computation", arXiv:1308.3432 (2013), sec. 4, for the derivative.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.grid.network import Network
from anmjax.grid.settings import SHUNT, SWITCH, TAP
from anmjax.lanes.gather import GatherSum, gather_sum, take, with_rows


def nominal_settings(net: Network) -> jax.Array | None:
    """What the network has without a controller, (n_setting, *batch) p.u.; None: there is nothing to set."""
    settings = net.settings
    if settings is None:
        return None
    of = {TAP: jnp.asarray(net.tap), SWITCH: jnp.asarray(net.in_service)}
    none = jnp.zeros_like(of[TAP][:1])
    rows = [
        none if quantity == SHUNT else of[quantity][place : place + 1]
        for quantity, place in zip(settings.quantity, settings.element, strict=True)
    ]
    return jnp.concatenate(rows)


def settings_in_units(net: Network, settings: jax.Array) -> jax.Array:
    """Settings as in an action, of those in p.u.: shunts in MVAr at 1 p.u. of voltage."""
    return settings * _units(net)


def reachable_settings(net: Network, asked: jax.Array) -> jax.Array:
    """The positions nearest to those asked for, (n_setting, *batch) p.u.; nominal ones where that is NaN."""
    known: Any = net.settings
    nominal: Any = nominal_settings(net)
    low, high, step = (jnp.asarray(x) for x in (known.low, known.high, known.step))
    within = jnp.clip(asked, low, high)
    pace = jnp.where(step > 0, step, 1)
    position = jnp.clip(nominal + pace * jnp.round((within - nominal) / pace), low, high)
    found = within + jax.lax.stop_gradient(jnp.where(step > 0, position - within, 0))
    return jnp.where(jnp.isnan(asked), nominal, found)


def asked_settings(net: Network) -> tuple[jax.Array, jax.Array]:
    """Least and largest setting to ask for, each (n_setting, *batch) p.u.

    Those there are, but for a switch: the case's position and one on each side of it, of which one is beyond
    the end and the same as it. In the middle of the box, where learners begin, the grid is then as in the
    case; between open and closed every one of them would leave islands at once.
    """
    known: Any = net.settings
    nominal: Any = nominal_settings(net)
    is_switch = np.array([one == SWITCH for one in known.quantity])
    is_switch = is_switch.reshape(-1, *[1] * (nominal.ndim - 1))
    return (
        jnp.where(is_switch, nominal - 1, jnp.asarray(known.low)),
        jnp.where(is_switch, nominal + 1, jnp.asarray(known.high)),
    )


def settings_of(net: Network, action: jax.Array, first: int) -> jax.Array | None:
    """What an action asks to be set, (n_setting,) p.u.; None: there is nothing to set.

    Args:
      net: network.
      action: (n_action,) in its units.
      first: where its settings begin.
    """
    if net.settings is None:
        return None
    return jnp.asarray(action, net.dtype)[first:] / _units(net)


def settled(net: Network, settings: jax.Array | None) -> Network:
    """The network with its settings in force.

    Args:
      net: network with leaves (n, *batch).
      settings: (n_setting, *batch) p.u., within reach; None: there is nothing to set.
    """
    known = net.settings
    if known is None or settings is None:
        return net
    changes: dict[str, Any] = {}
    for name in (TAP, SWITCH):
        if len(own := known.of(name)):
            rows = np.array([known.element[k] for k in own])
            changes[name] = with_rows(jnp.asarray(getattr(net, name)), rows, take(settings, own))
    if len(own := known.of(SHUNT)):
        at_bus: list[list[int]] = [[] for _ in range(net.n_bus)]
        for k in own:
            at_bus[known.element[k]].append(int(k))
        changes[SHUNT] = net.b_shunt + gather_sum(GatherSum.build(at_bus), settings)
    return replace(net, **changes)  # unchecked: in here the batch comes last


def _units(net: Network) -> jax.Array:
    """What a p.u. of every setting is in an action, (n_setting,)."""
    known: Any = net.settings
    is_shunt = np.array([one == SHUNT for one in known.quantity])
    return jnp.where(is_shunt, jnp.asarray(net.base_mva, net.dtype), 1)
