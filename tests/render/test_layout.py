"""Where a diagram puts things: finite places, nothing upon another, wires that do not cross."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from anmjax.grid.network import Network
from anmjax.render.fold import fold
from anmjax.render.geography import places_of
from anmjax.render.layout import layout
from anmjax.render.mesh_layout import LEAST_DISTANCE, mesh_layout
from anmjax.render.tree_layout import tree_layout
from tests.render.samples import grid

GRIDS = {
    "anm6": lambda: Network.from_json("anm6"),
    "ieee33": lambda: Network.from_json("ieee33_easy"),
    "long feeder": lambda: grid(100, reach=2),
    "bush": lambda: grid(100, reach=100),
    "star": lambda: grid(30, reach=1000),
    "chain": lambda: grid(60, reach=1),
    "meshed": lambda: grid(100, meshes=20),
    "ties": lambda: grid(40, ties=6),
    "two buses": lambda: grid(2),
}


@pytest.mark.parametrize("name", GRIDS)
def test_all_places_are_finite_and_no_two_buses_are_near_each_other(name):
    net = GRIDS[name]()
    places = layout(net)
    assert np.isfinite(places.bus).all()
    assert np.isfinite(places.device).all()
    assert all(np.isfinite(points).all() for points in places.branch)
    # A bus has a radius of 0.1 and a violation's ring one of 0.18: less than a third of this.
    assert pdist(places.bus).min() >= LEAST_DISTANCE - 1e-9
    for k, points in enumerate(places.branch):
        np.testing.assert_allclose(points[0], places.bus[net.from_bus[k]], atol=1e-9)
        np.testing.assert_allclose(points[-1], places.bus[net.to_bus[k]], atol=1e-9)


@pytest.mark.parametrize("name", [name for name in GRIDS if name not in ("meshed", "ties", "star", "bush")])
def test_devices_lie_neither_on_buses_nor_on_each_other(name):
    places = layout(GRIDS[name]())
    gaps = np.linalg.norm(places.device[:, None] - places.bus[None], axis=-1)
    assert gaps.min() > 0.25  # radius of a bus 0.1, of a symbol 0.14
    if len(places.device) > 1:
        assert pdist(places.device).min() > 0.2


def crossings(pieces: list[tuple[np.ndarray, np.ndarray]]) -> int:
    """How often two pieces of wire, each along a row or a column, cross within both of them."""
    count = 0
    for (a, b), (c, d) in itertools.combinations(pieces, 2):
        if (a[0] == b[0]) == (c[0] == d[0]):
            continue  # parallel
        (a, b), (c, d) = ((a, b), (c, d)) if a[0] == b[0] else ((c, d), (a, b))
        across = min(c[0], d[0]) < a[0] < max(c[0], d[0])
        count += across and min(a[1], b[1]) < c[1] < max(a[1], b[1])
    return count


def random_tree(seed: int, n_bus: int) -> tuple[list[int], np.ndarray]:
    rng = np.random.default_rng(seed)
    return list(range(n_bus)), np.array([0, *(rng.integers(max(0, k - 6), k) for k in range(1, n_bus))])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [1000, 7, 3])
def test_no_two_wires_of_a_tree_cross_however_it_is_folded(seed, width):
    order, parent = random_tree(seed, 60)
    cells = tree_layout(order, parent)
    assert len({tuple(cell) for cell in cells.tolist()}) == 60
    children = np.arange(1, 60)
    folded = fold(cells, parent[1:], children, width)
    assert pdist(folded.place(cells)).min() >= 1 - 1e-9
    wires = [folded.wire(cells[parent[k]], cells[k]) for k in children]
    pieces = [pair for points in wires for pair in itertools.pairwise(np.round(points, 9))]
    assert crossings(pieces) == 0
    places = folded.place(cells)
    for k, points in zip(children, wires, strict=True):
        others = np.delete(places, [k, parent[k]], axis=0)
        for a, b in itertools.pairwise(points):
            # On a piece are the points whose distances to its ends make up its length.
            ways = np.linalg.norm(others - a, axis=1) + np.linalg.norm(others - b, axis=1)
            assert ways.min() > np.linalg.norm(a - b) + 1e-6, "a wire runs through a bus"


def test_the_longest_way_through_a_tree_is_straight():
    # 0 - 1 - 2 - 3, and 4 at bus 1: the lateral, a row below as both sides are free.
    cells = tree_layout([0, 1, 4, 2, 3], [0, 0, 1, 2, 1])
    assert cells.tolist() == [[0, 0], [1, 0], [2, 0], [3, 0], [2, 1]]


def test_a_chain_is_a_straight_line_and_a_ring_a_circle():
    chain = mesh_layout(5, np.array([[k, k + 1] for k in range(4)]))
    # Distances along a chain can all be had on a line.
    np.testing.assert_allclose(np.diff(np.sort(chain[:, 0])), 1, atol=0.02)
    np.testing.assert_allclose(chain[:, 1], 0, atol=0.1)
    ring = mesh_layout(8, np.array([[k, (k + 1) % 8] for k in range(8)]))
    radius = np.linalg.norm(ring - ring.mean(0), axis=1)
    np.testing.assert_allclose(radius, radius[0], rtol=0.02)  # what 120 sweeps leave of the start


def test_given_coordinates_are_kept_but_for_their_scale_and_their_up():
    net = grid(4, reach=1)  # a chain
    places = layout(net, [[0, 0], [100, 0], [100, 100], [0, 100]])
    np.testing.assert_allclose(places.bus, [[0, 1], [1, 1], [1, 0], [0, 0]])


def test_points_of_geojson_are_places_and_who_has_none_stands_between_its_neighbours():
    net = grid(5, reach=1)  # a chain
    points = {
        0: '{"type": "Point", "coordinates": [7.0, 48.0, 300.0]}',
        1: {"type": "Point", "coordinates": (8.0, 48.0)},
        2: None,
        3: (10.0, 50.0),
        99: "of another grid",
    }
    expected = [[7, 48], [8, 48], [9, 49], [10, 50], [10, 50]]
    np.testing.assert_allclose(places_of(net, points), expected)
    np.testing.assert_allclose(layout(net, points).bus, layout(net, expected).bus)


@pytest.mark.parametrize(
    ("coordinates", "sentence"),
    [
        ({0: '{"type": "LineString"}'}, "coordinates of bus 0 are .*LineString.*, which is no point"),
        ({3: "{"}, "coordinates of bus 3 are '{', which is no point"),
        ({}, "neither bus 0 nor any bus it is connected to has a place"),
        ([[0, 0]], r"coordinates have shape \(1, 2\), expected \(4, 2\)"),
        ([[0, 0], [1, 0], [np.nan, 0], [3, 0]], "coordinates of bus 2 are not finite"),
    ],
)
def test_coordinates_that_cannot_be_drawn_are_refused(coordinates, sentence):
    with pytest.raises(ValueError, match=sentence):
        layout(grid(4, reach=1), coordinates)


def test_islands_stand_below_each_other():
    net = grid(12, reach=2)
    closed = np.ones(net.n_branch)
    closed[5] = 0  # the tree falls into two
    places = layout(replace(net, in_service=closed))
    fed = {0}
    for a, b, on in zip(net.from_bus, net.to_bus, closed, strict=True):
        if on and a in fed:
            fed.add(b)
    dark = sorted(set(range(12)) - fed)
    assert dark
    assert places.bus[dark, 1].min() > places.bus[sorted(fed), 1].max() + 1
