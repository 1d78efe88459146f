"""Where a diagram draws buses, branches, devices and names."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from anmjax.grid.network import Network
from anmjax.grid.topology import islands
from anmjax.render.fold import best_fold
from anmjax.render.geography import places_of
from anmjax.render.mesh_layout import mesh_layout
from anmjax.render.tree_layout import tree_layout

NAME_DISTANCE = 0.26  # of a name from its bus
DEVICE_DISTANCE = 0.4  # of a device from its bus
ENOUGH = 0.38  # room around a device or a name
ANGLES = np.arange(16) * np.pi / 8
DIRECTIONS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


class Layout(NamedTuple):
    """Places in lengths of a branch, x to the right and y down."""

    bus: np.ndarray  # (n_bus, 2)
    device: np.ndarray  # (n_device, 2)
    name: np.ndarray  # (n_bus, 2) unit vectors, on which side of a bus its name is
    size: np.ndarray  # (n_device,) of a device's symbol; 1 but where many share a bus
    branch: tuple[np.ndarray, ...]  # for each branch (n_point, 2), from its from bus to its to bus


def layout(net: Network, coordinates: Any = None) -> Layout:
    """Lays a network out.

    Radial islands are drawn as trees, others by ``mesh_layout``; branches out of service do not count.
    Islands stand below each other.

    Args:
      net: network.
      coordinates: (n_bus, 2) places of the buses, x to the right and y up, such as geographical ones, or by
        bus id, see ``places_of``; None: computed.

    Returns:
      Finite places.

    Raises:
      ValueError: the coordinates have the wrong shape, or one is not finite.
    """
    ends = np.stack([net.from_bus, net.to_bus], 1).reshape(-1, 2).astype(int)
    closed = np.asarray(net.in_service) > 0
    wires: dict[int, np.ndarray] = {}
    if coordinates is None:
        bus = _computed(net, ends, closed, wires)
    else:
        bus = _given(net, coordinates, ends[closed])
    branch = tuple(
        wires[k] if k in wires else _line(bus, ends, k, bent=bool(wires)) for k in range(len(ends))
    )
    return Layout(bus, *_around(net, bus, branch), branch)


def _computed(net: Network, ends: np.ndarray, closed: np.ndarray, wires: dict[int, np.ndarray]) -> np.ndarray:
    """Places of all buses; fills in the points of the branches that are drawn as wires of a tree."""
    island = islands(net.n_bus, *ends[closed].T)
    place, lowest = np.zeros((net.n_bus, 2)), 0.0
    # The islands of slacks first; a bus without a branch is an island.
    roots: dict[int, int] = {}
    for bus in (*net.slacks, *range(net.n_bus)):
        roots.setdefault(int(island[bus]), bus)
    for number, root in roots.items():
        members = np.flatnonzero(island == number)
        inside = np.flatnonzero(closed & (island[ends[:, 0]] == number))
        if len(inside) == len(members) - 1:
            there = _tree(root, members, ends, inside, wires)
        else:
            there = mesh_layout(len(members), np.searchsorted(members, ends[inside]))
        corner = there.min(0) - [0, lowest]
        place[members] = there - corner
        drawn = {k: wires[k] - corner for k in inside.tolist() if k in wires}
        wires.update(drawn)
        lowest += float(np.ptp(np.concatenate([there - corner, *drawn.values()])[:, 1])) + 1.5
    return place


def _tree(
    root: int, members: np.ndarray, ends: np.ndarray, inside: np.ndarray, wires: dict[int, np.ndarray]
) -> np.ndarray:
    """Places of the buses of a radial island, and the points of its branches."""
    position = {int(bus): k for k, bus in enumerate(members)}
    neighbours: list[list[tuple[int, int]]] = [[] for _ in members]
    for k in inside.tolist():
        a, b = (position[int(bus)] for bus in ends[k])
        neighbours[a].append((b, k))
        neighbours[b].append((a, k))
    order, parent, by = [position[root]], [-1] * len(members), [-1] * len(members)
    for bus in order:
        for other, k in neighbours[bus]:
            if other != parent[bus]:
                parent[other], by[other] = bus, k
                order.append(other)
    cells = tree_layout(order, parent)
    children = np.array(order[1:], int)
    folded = best_fold(cells, np.array(parent)[children], children)
    for bus in order[1:]:
        points = folded.wire(cells[parent[bus]], cells[bus])
        wires[by[bus]] = points if position[int(ends[by[bus], 0])] == parent[bus] else points[::-1]
    return folded.place(cells)


def _given(net: Network, coordinates: Any, ends: np.ndarray) -> np.ndarray:
    place = np.asarray(places_of(net, coordinates) if hasattr(coordinates, "items") else coordinates, float)
    if place.shape != (net.n_bus, 2):
        raise ValueError(f"coordinates have shape {place.shape}, expected ({net.n_bus}, 2)")
    if not np.isfinite(place).all():
        bus = net.bus_ids[int(np.flatnonzero(~np.isfinite(place).all(1))[0])]
        raise ValueError(f"coordinates of bus {bus} are not finite")
    place = place * [1, -1]
    lengths = np.linalg.norm(place[ends[:, 0]] - place[ends[:, 1]], axis=1)
    lengths = lengths[lengths > 0]
    scale = float(np.median(lengths)) if lengths.size else 1.0
    return (place - place.min(0)) / scale


def _line(bus: np.ndarray, ends: np.ndarray, k: int, *, bent: bool) -> np.ndarray:
    """The points of a branch that is no wire of a tree: bent where it would hide another.

    Args:
      bus: (n_bus, 2) places.
      ends: (n_branch, 2) bus indices.
      k: the branch.
      bent: bend it in any case, since a straight line between two buses of a tree runs through others.
    """
    a, b = ends[k]
    start, end = bus[a], bus[b]
    twins = sum(set(ends[other]) == {a, b} for other in range(k))
    if not twins and not bent:
        return np.array([start, end])
    # Seen from the lower index, so that parallel branches bend to the same side whichever way they run.
    across = (bus[max(a, b)] - bus[min(a, b)])[::-1] * [1, -1]
    length = max(float(np.linalg.norm(across)), 1e-9)
    bend = (0.25 + 0.1 * length if bent else 0.0) + 0.3 * twins
    middle = (start + end) / 2 + 2 * bend * across / length
    t = np.linspace(0, 1, 12)[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end


def _around(
    net: Network, bus: np.ndarray, branch: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of devices, sides of names, sizes of devices: where buses and branches leave the most room."""
    from scipy.spatial import cKDTree

    inked = cKDTree(np.concatenate([bus, *(sampled(points) for points in branch)]))
    buses = cKDTree(bus)
    at_bus: list[list[int]] = [[] for _ in range(net.n_bus)]
    for k, place in enumerate(net.device_bus):
        at_bus[place].append(k)
    device, size, name = np.zeros((net.n_device, 2)), np.ones(net.n_device), np.zeros((net.n_bus, 2))
    put: list[list[np.ndarray]] = [[] for _ in range(net.n_bus)]
    for here, devices in enumerate(at_bus):
        near = [other for other in buses.query_ball_point(bus[here], 2.2) if other <= here]
        for number, k in enumerate([-1, *devices]):
            # The name of the bus first; a circle has room for some devices, the next ones stand farther out.
            away = NAME_DISTANCE if k < 0 else DEVICE_DISTANCE * (1 + 0.6 * (max(number - 1, 0) // 5))
            places = bus[here] + away * DIRECTIONS
            room = inked.query(places)[0]
            for other in (point for bus_near in near for point in put[bus_near]):
                room = np.minimum(room, np.linalg.norm(places - other, axis=1))
            wish = DIRECTIONS[:, 1] * (-1 if k < 0 else 1)  # names above, devices below
            best = int(np.argmax(np.minimum(room, ENOUGH) + 0.02 * wish))
            put[here].append(places[best])
            if k < 0:
                name[here] = DIRECTIONS[best]
            else:
                device[k], size[k] = places[best], min(1, 4 / len(devices))
    return device, name, size


def sampled(points: np.ndarray) -> np.ndarray:
    """Points along a branch, near enough to each other that nothing goes between them."""
    pieces = []
    for a, b in itertools.pairwise(points):
        count = max(1, int(np.linalg.norm(b - a) / 0.15))
        pieces.append(a + (b - a) * np.linspace(0, 1, count, endpoint=False)[:, None])
    return np.concatenate(pieces)
