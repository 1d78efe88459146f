"""How many lanes a block takes: what the solver says a lane weighs, for the caches of a CPU to hold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import networkx as nx
import pytest

from anmjax import Network
from anmjax.lanes.schedule import Fit
from anmjax.powerflow.inputs import network_plan
from anmjax.powerflow.solve import CHORD_SHARE, MIN_ROW_BYTES, NEWTON_SHARE, chord_block, newton_block
from tests.powerflow.networks import loaded_feeder


class Told(NamedTuple):
    lanes: int
    lane_bytes: int
    fit: Fit


class Listener:
    """A schedule that repeats what it is told."""

    def block(self, lanes: int, lane_bytes: int, fit: Fit) -> Any:
        return Told(lanes, lane_bytes, fit)


def pairs_eliminated(net: Network, order: Sequence[int]) -> int:
    """Pairs of buses that share an entry of the factors, by elimination on the graph of the network."""
    graph = nx.Graph(zip(net.from_bus, net.to_bus, strict=True))
    graph.remove_nodes_from(net.slacks)
    count = 0
    for bus in order:
        around = list(graph[bus])
        count += len(around)
        graph.remove_node(bus)
        graph.add_edges_from(itertools.combinations(around, 2))
    return count


@pytest.mark.parametrize(("dtype", "itemsize"), [(jnp.float32, 4), (jnp.float64, 8)])
def test_a_lane_is_counted_with_what_its_method_goes_over(dtype: Any, itemsize: int) -> None:
    net, _, _ = loaded_feeder()
    plan = network_plan(net)
    args = {"injections": jnp.zeros((2, net.n_bus, 70), dtype), "converged": jnp.zeros(70, bool)}
    # Entries of two by two numbers: one a bus but the slack, two a pair that the elimination brings together.
    newton = newton_block(plan, Listener(), args)  # type: ignore[arg-type]
    entries = 32 + 2 * pairs_eliminated(net, plan.order[:32])
    assert newton == (70, itemsize * 4 * entries, Fit(NEWTON_SHARE, MIN_ROW_BYTES // itemsize))
    # Twelve numbers a bus, four for each direction of the 32 branches.
    chord = chord_block(plan, Listener(), args)  # type: ignore[arg-type]
    assert chord == (70, itemsize * (12 * 33 + 4 * 2 * 32), Fit(CHORD_SHARE, MIN_ROW_BYTES // itemsize))
