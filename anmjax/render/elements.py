"""What a diagram calls the elements of a network, and which branches are transformers."""

from __future__ import annotations

import numpy as np

from anmjax.grid import tables
from anmjax.grid.network import Network

KINDS = {
    tables.LOAD: "load",
    tables.SLACK: "slack",
    tables.CLASSICAL: "generator",
    tables.RENEWABLE: "renewable",
    tables.STORAGE: "storage",
    **dict.fromkeys((tables.FLEXIBLE, tables.CHARGER), "load"),
}


def kinds_of(net: Network) -> tuple[str, ...]:
    """The kind of each device, (n_device,) values of ``KINDS``."""
    return tuple(KINDS[kind] for kind in net.device_kind)


def transformers(net: Network) -> np.ndarray:
    """Which branches change the voltage, by a tap, a shift or another base: (n_branch,) bool."""
    a, b = np.array(net.from_bus, int), np.array(net.to_bus, int)
    kv = np.asarray(net.base_kv, float)
    changes = np.asarray(net.tap) != 1
    return changes | (np.asarray(net.shift) != 0) | ~np.isclose(kv[a], kv[b])


def limits_shown(net: Network) -> tuple[np.ndarray, np.ndarray]:
    """The voltages that have the colours of the limits, (n_bus,) p.u. each.

    Limits far apart, as those of a slack often are, would make all voltages look alike: 0.85 and 1.15 then.
    """
    return np.maximum(np.asarray(net.v_min), 0.85), np.minimum(np.asarray(net.v_max), 1.15)
