"""What a controller sets, in the order of ``ControlLayout``: P and Q of devices, settings of the network.

Arrays are ``[component, *batch]``, see ``anmjax.lanes.trailing``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.grid.network import Network
from anmjax.lanes.gather import GatherSum, gather_sum, take, with_rows
from anmjax.projection.control_layout import KINDS, ControlLayout
from anmjax.projection.device_region import DeviceLimits, storage_power_limits
from anmjax.projection.flexible import Waiting, serve
from anmjax.projection.settings import asked_settings, nominal_settings, settings_in_units, settings_of

# p.u., what an infinite set-point asks for: far beyond every device, and its square is a number.
FARTHEST = 1e6


class Reach(NamedTuple):
    """What the controlled devices can do over the next step."""

    limits: DeviceLimits
    p_low: jax.Array  # (n_controlled, *batch) p.u.
    p_high: jax.Array  # (n_controlled, *batch) p.u.


def check_real(name: str, x: Any) -> None:
    """Raises ``TypeError`` where ``x`` is not made of real numbers."""
    dtype = getattr(x, "dtype", None)
    dtype = np.asarray(x).dtype if dtype is None else dtype
    if not any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
        raise TypeError(f"{name} is of type {dtype}, expected real numbers")


class Asked(NamedTuple):
    """What an action asks for."""

    p: jax.Array  # (n_controlled,) p.u.
    q: jax.Array  # (n_controlled,) p.u.
    p_flexible: jax.Array | None = None  # (n_flexible,) p.u., <= 0: what is drawn; None: there is none
    settings: jax.Array | None = None  # (n_setting,) p.u.; None: there is nothing to set of the network


def set_points(net: Network, action: jax.Array) -> Asked:
    """The set-points of an action.

    A component that is NaN asks for nothing: 0 MW or MVAr, or that a setting is as in the case; an infinite
    one for more than any device can do.

    Args:
      net: network.
      action: (n_action,) MW and MVAr.

    Returns:
      P, Q, P of flexible demand and settings, p.u.

    Raises:
      TypeError: the action is not made of real numbers.
      ValueError: the action has another shape.
    """
    layout = ControlLayout.of(net)
    expected = (layout.n_action,)
    check_real("the action", action)
    if np.shape(action) != expected:
        raise ValueError(
            f"the action has shape {np.shape(action)}, expected {expected}: {layout.description}; "
            "for many lanes, jax.vmap the function"
        )
    power = jnp.asarray(action, net.dtype) / net.base_mva
    power = jnp.nan_to_num(power, nan=0.0, posinf=FARTHEST, neginf=-FARTHEST)
    first = layout.n_power + len(layout.flexible)
    flexible = power[layout.n_power : first] if layout.flexible else None
    return Asked(*layout.split(power), flexible, settings_of(net, action, first))


def as_action(
    net: Network,
    p: jax.Array,
    q: jax.Array,
    p_flexible: jax.Array | None = None,
    settings: jax.Array | None = None,
) -> jax.Array:
    """The action of set-points: what ``set_points`` turns into these.

    Args:
      net: network.
      p: (n_controlled,) p.u.
      q: (n_controlled,) p.u.
      p_flexible: (n_flexible,) p.u.; None: all that they can draw, so that nothing waits.
      settings: (n_setting,) p.u.; None: as the network has them without a controller.
    """
    parts = [ControlLayout.of(net).join(p, q) * net.base_mva, *end_of_action(net, p_flexible, settings)]
    return jnp.concatenate(parts) if len(parts) > 1 else parts[0]


def end_of_action(
    net: Network, p_flexible: jax.Array | None = None, settings: jax.Array | None = None
) -> list[jax.Array]:
    """What of an action is no P and Q of a controlled device, in its units and parts; see ``as_action``."""
    parts = []
    if net.flexible:
        drawn = net.p_min[np.array(net.flexible)] if p_flexible is None else p_flexible
        parts.append(drawn * net.base_mva)
    if net.settings is not None:
        held: Any = nominal_settings(net) if settings is None else settings
        parts.append(settings_in_units(net, held))
    return parts


def action_bounds(net: Network) -> tuple[jax.Array, jax.Array]:
    """Least and largest action, each (n_action,) in its units; infinite where a device has no limit."""
    sides = [[bound] for bound in ControlLayout.of(net).bounds(net)]
    if net.flexible:
        most = net.p_min[np.array(net.flexible)] * net.base_mva
        for side, bound in zip(sides, (most, jnp.zeros_like(most)), strict=True):
            side.append(bound)
    if net.settings is not None:
        for side, bound in zip(sides, asked_settings(net), strict=True):
            side.append(settings_in_units(net, bound))
    low, high = (jnp.concatenate(side) if len(side) > 1 else side[0] for side in sides)
    return low, high


def reach(net: Network, soc: jax.Array, p_potential: jax.Array, *, delta_t: float) -> Reach:
    """What the controlled devices can do with this charge and this potential.

    Args:
      net: network.
      soc: (n_storage, *batch) p.u.h, state of charge.
      p_potential: (n_generator, *batch) p.u., P that the generators could give, within their bounds.
      delta_t: h, length of the step.
    """
    layout, storage = ControlLayout.of(net), np.array(net.storage, int)
    soc_max, soc_min, eff = (take(x, storage) for x in (net.soc_max, net.soc_min, net.eff))
    charge_limit, discharge_limit = storage_power_limits(soc, soc_max, soc_min, eff, delta_t)
    limits = DeviceLimits(*(take(getattr(net, name), layout.devices) for name in DeviceLimits._fields))
    batch = jnp.broadcast_shapes(p_potential.shape[1:], charge_limit.shape[1:])

    # The weather bounds generators from above, the charge storage units from both sides.
    def by_kind(**parts: jax.Array) -> jax.Array:
        return jnp.concatenate([jnp.broadcast_to(parts[kind], (len(parts[kind]), *batch)) for kind in KINDS])

    p_min = limits.p_min[layout.kinds["generators"]]
    return Reach(
        limits,
        p_low=by_kind(generators=p_min, storage=charge_limit),
        p_high=by_kind(generators=p_potential, storage=discharge_limit),
    )


def drawn_loads(
    net: Network,
    owed: jax.Array | None,
    p_load: jax.Array,
    aux: jax.Array,
    action: jax.Array,
    delta_t: float,
) -> jax.Array:
    """P of the loads over the next step, (n_load,) p.u., where some may wait as an action has it.

    Args:
      net: network.
      owed: (n_flexible,) p.u.h, owed to those that may wait; None: there is none.
      p_load: (n_load,) p.u., demand that the step brings, <= 0.
      aux: (K,) auxiliary variables of the step, first the hours that cars stay at the chargers.
      action: (n_action,) in its units.
      delta_t: h, length of the step.
    """
    asked = set_points(net, action).p_flexible
    if owed is None or asked is None:
        return p_load
    which = net.flexible_loads
    waiting = Waiting(owed, aux[: len(net.chargers)], asked)
    return with_rows(p_load, which, serve(net, waiting, -take(p_load, which), delta_t=delta_t).p)


def by_device(net: Network, of_loads: jax.Array, of_controlled: jax.Array) -> jax.Array:
    """Joins loads and controlled devices to one array by device id; 0 for the slack device.

    Args:
      net: network.
      of_loads: (n_load, *batch).
      of_controlled: (n_controlled, *batch).
    """
    batch = jnp.broadcast_shapes(of_loads.shape[1:], of_controlled.shape[1:])
    parts = of_loads, of_controlled, jnp.zeros((1, *batch), of_controlled.dtype)
    ids = np.argsort(np.concatenate([net.loads, ControlLayout.of(net).devices, [net.slack_device]]))
    return take(jnp.concatenate([jnp.broadcast_to(x, (len(x), *batch)) for x in parts]), ids)


def injected(net: Network, p: jax.Array, q: jax.Array) -> jax.Array:
    """What is injected at every bus, (2, n_bus, *batch) p.u.: by the devices, and what is fixed.

    Args:
      net: network.
      p: (n_device, *batch) p.u., active power of the devices.
      q: (n_device, *batch) p.u., reactive power of them.
    """
    of_devices = by_bus(net, jnp.stack([p, q]), 1)
    if net.p_fixed is None or net.q_fixed is None:
        return of_devices
    return of_devices + jnp.stack([net.p_fixed, net.q_fixed])


def by_bus(net: Network, of_devices: jax.Array, axis: int = 0) -> jax.Array:
    """Sums over the devices at every bus, along ``axis``."""
    devices: list[list[int]] = [[] for _ in range(net.n_bus)]
    for device, bus in enumerate(net.device_bus):
        devices[bus].append(device)
    return gather_sum(GatherSum.build(devices), of_devices, axis)
