"""Places of buses from GeoJSON, as pandapower keeps them in ``net.bus.geo``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from anmjax.grid.network import Network


def places_of(net: Network, points: Any) -> np.ndarray:
    """The places of all buses; one without a place of its own is put between its neighbours.

    Args:
      net: network.
      points: by bus id a GeoJSON point, as text or as a dictionary, a pair of numbers, or None for none: a
        dictionary or a ``pandas.Series``.

    Returns:
      (n_bus, 2), x to the right and y up.

    Raises:
      ValueError: what a bus has is no point, or no bus of an island has a place.

    Reference: RFC 7946, "The GeoJSON Format", sec. 3.1.2.
    """
    places = np.full((net.n_bus, 2), np.nan)
    for k, bus in enumerate(net.bus_ids):
        if bus in points:
            places[k] = _point(points[bus], bus)
    ends = np.array([net.from_bus, net.to_bus])
    ends = np.concatenate([ends, ends[::-1]], 1)
    while (lost := np.isnan(places[:, 0])).any():
        # From those that have a place to those that have none.
        near = ends[:, ~lost[ends[0]] & lost[ends[1]]]
        if near.size == 0:
            bus = net.bus_ids[int(np.flatnonzero(lost)[0])]
            raise ValueError(f"coordinates: neither bus {bus} nor any bus it is connected to has a place")
        sums, counts = np.zeros_like(places), np.zeros(net.n_bus)
        np.add.at(sums, near[1], places[near[0]])
        np.add.at(counts, near[1], 1)
        found = counts > 0
        places[found] = sums[found] / counts[found, None]
    return places


def _point(value: Any, bus: Any) -> tuple[float, float]:
    """A pair of numbers, NaN where there is none."""
    if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
        return np.nan, np.nan
    try:
        point = json.loads(value) if isinstance(value, str) else value
        if isinstance(point, Mapping):
            if point["type"] != "Point":
                raise ValueError
            point = point["coordinates"]
        x, y = map(float, point[:2])  # a third number is a height
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"coordinates of bus {bus} are {str(value)[:60]!r}, which is no point") from error
    return x, y
