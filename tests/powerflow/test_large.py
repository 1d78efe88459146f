"""Networks of 5,000 buses, radial and meshed like a transmission grid."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial import Delaunay

from anmjax import Network, power_flow
from anmjax.grid.power_tables.fields import PowerTables, network_fields
from anmjax.powerflow.inputs import network_plan
from tests.grid.power_balance import assert_solves

N = 5000


def build(ends, r, x, demand, generators=()):
    """A network of the given branches; generators share the demand, and bus 0 gives the rest."""
    bus, branch = np.zeros((N, 13)), np.zeros((len(ends), 11))
    bus[:, 0], bus[:, 1], bus[:, 7], bus[:, 9], bus[:, 11], bus[:, 12] = np.arange(N), 1, 1, 20, 1.1, 0.9
    bus[0, 1] = 3
    bus[list(generators), 1] = 2
    bus[1:, 2], bus[1:, 3] = demand, 0.3 * demand
    branch[:, :2], branch[:, 2], branch[:, 3], branch[:, 10] = ends, r, x, 1
    at = [0, *generators]
    gen = np.zeros((len(at), 8))
    gen[:, 0], gen[:, 5], gen[:, 7] = at, 1.02, 1
    gen[1:, 1] = demand.sum() / len(at)
    return Network(**network_fields(PowerTables(100.0, bus, gen, branch, np.zeros(len(ends))), "the grid"))


def radial():
    """Twenty feeders whose lines branch: every bus hangs on one of the last six rows of its feeder."""
    rng = np.random.default_rng(0)
    ends = [(0, i) if i <= 20 else (_upstream(i, int(rng.integers(0, 6))), i) for i in range(1, N)]
    r = rng.uniform(0.0008, 0.0024, N - 1)
    return build(ends, r, r * rng.uniform(0.5, 1.5, N - 1), rng.uniform(0, 0.05, N - 1))


def _upstream(i, rows):
    return 1 + (i - 1) % 20 + 20 * max(0, (i - 1) // 20 - 1 - rows)


def meshed():
    """Points in a square joined by their shortest tree and half as many more short lines; 500 PV buses."""
    rng = np.random.default_rng(0)
    points = rng.random((N, 2))
    corners = Delaunay(points).simplices
    sides = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])
    pairs = np.unique(np.sort(sides), axis=0)
    length = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    dense = np.zeros((N, N), np.float32)
    dense[tuple(pairs.T)] = length
    tree = np.stack(minimum_spanning_tree(dense).nonzero(), 1)
    in_tree = {tuple(sorted(end)) for end in tree.tolist()}
    others = [k for k in np.argsort(length) if tuple(pairs[k].tolist()) not in in_tree][: N // 2]
    ends = np.concatenate([tree, pairs[others]])
    x = 0.4 * np.linalg.norm(points[ends[:, 0]] - points[ends[:, 1]], axis=1) + 1e-4
    generators = np.sort(rng.choice(np.arange(1, N), N // 10, replace=False)).tolist()
    return build(ends, 0.15 * x, x, rng.uniform(0, 2, N - 1), generators)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [radial, meshed])
def test_5000_buses_are_solved_in_both_precisions_and_have_gradients(kind):
    net = kind()
    plan = network_plan(net, net.pv)
    # The depth grows like a logarithm, the fill stays a small multiple of the network.
    assert len(plan.levels) <= 30
    assert sum(len(level.pivot_of_slot) for level in plan.levels) <= 3 * N

    @jax.jit
    def value(p):
        flow = power_flow(net, p, net.q, tol=1e-9)
        return jnp.abs(flow.v).sum(), flow

    _, flow = value(net.p)
    assert flow.converged
    assert flow.iterations <= 7
    assert_solves(net, np.asarray(flow.v), 1e-8)
    gradient = jax.jit(jax.grad(lambda p: value(p)[0]))(net.p)
    step = np.where(np.arange(N) == N // 2, 1e-3, 0)
    difference = (value(net.p + step)[0] - value(net.p - step)[0]) / 2e-3
    # Sums of 5,000 voltages that are solved to 1e-9 p.u. of power, over the step.
    np.testing.assert_allclose(gradient[N // 2], difference, rtol=1e-4, atol=1e-5)

    single = net.astype(np.float32)
    flow32 = power_flow(single, single.p, single.q)
    assert flow32.converged
    np.testing.assert_allclose(flow32.v, np.asarray(flow.v, np.complex64), rtol=0, atol=1e-5)
