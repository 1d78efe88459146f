"""Angles of voltage levels: phase shifts that turn a whole level, taken out of a network.

A power flow does not depend on what the angles of a bus are counted from. Counted from offset_i at bus i,

    shift' = shift - (offset_from - offset_to),

and along a tree of branches offsets can be chosen that leave no shift at all: what remains are phase
shifters in loops. Newton's method then starts near its solution, which it does not where a transformer turns
a level by 150 degrees.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

# Of a network, whose file is above this one.
Network: TypeAlias = Any

_ROUNDING = 1e-12  # rad


def without_level_shifts(net: Network) -> Network:
    """The network with angles of each voltage level counted from that of the level, and the same power flows.

    Voltage magnitudes, powers and currents are those of the network; angles are turned level by level. A
    network without shifts is returned as it is.
    """
    shift = np.asarray(net.shift, float)
    if not shift.any():
        return net
    neighbours: list[list[tuple[int, float]]] = [[] for _ in range(net.n_bus)]
    closed = np.asarray(net.in_service) > 0
    for k in np.flatnonzero(closed).tolist():
        start, end = net.from_bus[k], net.to_bus[k]
        neighbours[start].append((end, -float(shift[k])))
        neighbours[end].append((start, float(shift[k])))
    offset = np.full(net.n_bus, np.nan)
    offset[list(net.slacks)] = 0.0
    waiting = list(net.slacks)
    while waiting:
        here = waiting.pop()
        for there, turn in neighbours[here]:
            if np.isnan(offset[there]):
                offset[there] = offset[here] + turn
                waiting.append(there)
    offset = np.nan_to_num(offset)
    left = shift - (offset[list(net.from_bus)] - offset[list(net.to_bus)])
    left = np.angle(np.exp(1j * left))
    left[np.abs(left) < _ROUNDING] = 0.0
    return net.replace(shift=left)
