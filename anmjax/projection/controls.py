"""What a controller sets: P and Q of the controlled devices, in the order of ``ControlLayout``.

Arrays are ``[component, *batch]``, see ``anmjax.lanes.trailing``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.grid.network import Network
from anmjax.lanes.gather import GatherSum, gather_sum, take
from anmjax.projection.control_layout import KINDS, ControlLayout
from anmjax.projection.device_region import DeviceLimits, storage_power_limits

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


def set_points(net: Network, action: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The set-points of an action.

    A component that is NaN asks for nothing, 0 MW or MVAr; an infinite one for more than any device can do.

    Args:
      net: network.
      action: (n_action,) MW and MVAr.

    Returns:
      P and Q, each (n_controlled,) p.u.

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
    action = jnp.asarray(action, net.dtype) / net.base_mva
    return layout.split(jnp.nan_to_num(action, nan=0.0, posinf=FARTHEST, neginf=-FARTHEST))


def as_action(net: Network, p: jax.Array, q: jax.Array) -> jax.Array:
    """The action of set-points: what ``set_points`` turns into P and Q, each (n_controlled,) p.u."""
    return ControlLayout.of(net).join(p, q) * net.base_mva


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
