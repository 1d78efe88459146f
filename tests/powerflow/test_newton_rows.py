"""Newton's method as loops over rows of one kernel ends where it ends in blocks of a CPU."""

from __future__ import annotations

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from anmjax import power_flow
from anmjax.lanes.row_kernel import LANES
from anmjax.lanes.schedule import AllAtOnce, CPUBlocks
from anmjax.powerflow.admittance import admittance
from anmjax.powerflow.elimination.plan import plan_of_least_fill
from anmjax.powerflow.inputs import inputs_of, network_plan
from anmjax.powerflow.newton import Stopping
from anmjax.powerflow.solve import solve_jacobian_lanes, solve_lanes
from tests.powerflow.networks import loaded_feeder, random_network
from tests.powerflow.pandapower_reference import imported

IN_ROWS, IN_BLOCKS = AllAtOnce(lanes_for_each_row=0, interpreted="cuda"), CPUBlocks()
NUM_ITERS = 8
# As many digits as the precision has: of the voltages, at a mismatch that leaves them.
TOL, SAME_V = {"float32": 2e-6, "float64": 1e-12}, {"float32": 1e-6, "float64": 1e-10}


def solved(net, p, q, dtype="float64", **given):
    """Solutions of lanes, (n_bus, lanes) each of ``p`` and ``q``, in rows and in blocks."""

    def cast(x):
        x = jnp.asarray(x)
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    net = jax.tree.map(lambda x: cast(x if np.ndim(x) > 1 else np.asarray(x)[..., None]), net)
    inputs = inputs_of(net, cast(p), cast(q), **jax.tree.map(cast, given))
    plan, stopping = network_plan(net, net.pv), Stopping(NUM_ITERS, TOL[dtype])
    runs = [
        jax.jit(lambda x, s=schedule: solve_lanes(plan, stopping, s, x)) for schedule in (IN_ROWS, IN_BLOCKS)
    ]
    return [jax.tree.map(np.asarray, run(inputs)) for run in runs]


def assert_same(rows, blocks, same_v):
    np.testing.assert_array_equal(rows.converged, blocks.converged)
    np.testing.assert_allclose(rows.d, blocks.d, rtol=0, atol=same_v)
    assert np.isfinite(rows.mismatch).all()


@pytest.mark.parametrize("dtype", TOL)
def test_lanes_of_a_feeder_beyond_collapse_as_well(dtype):
    net, p, q = loaded_feeder()
    lanes = LANES + 8  # a block, and a part of one
    scale = np.linspace(-0.5, 3.0, lanes)
    scale[3], scale[lanes - 1] = 8.0, 20.0
    rows, blocks = solved(net, p[:, None] * scale, q[:, None] * scale, dtype)
    assert_same(rows, blocks, SAME_V[dtype])
    np.testing.assert_array_equal(np.flatnonzero(~rows.converged), [3, lanes - 1])
    assert rows.iterations[3] == NUM_ITERS
    if dtype == "float64":
        np.testing.assert_array_equal(rows.iterations, blocks.iterations)
    assert rows.iterations.min() < rows.iterations[rows.converged].max()  # lanes hold where they ended


@pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.long)])
def test_buses_that_hold_their_voltage(dtype):
    net = imported("case118")[1]
    factor = np.random.default_rng(0).uniform(0.8, 1.1, (net.n_bus, 3))
    rows, blocks = solved(net, net.p[:, None] * factor, net.q[:, None] * factor, dtype)
    assert rows.converged.all()
    assert_same(rows, blocks, SAME_V[dtype])


@pytest.fixture(scope="module")
def meshed():
    """A network of nine buses with loops, and injections of seven lanes."""
    rng = np.random.default_rng(5)
    net = random_network(rng, 9, 4, parallel=1)
    return net, rng.uniform(-0.2, 0.1, (9, 7)), rng.uniform(-0.1, 0.1, (9, 7)), rng


def test_networks_and_starts_of_lanes_own(meshed):
    net, p, q, rng = meshed
    own = {
        name: getattr(net, name)[:, None] * rng.uniform(0.98, 1.02, (net.n_branch, 7))
        for name in ("r", "tap")
    }
    in_service = np.ones((net.n_branch, 7))
    for lane in range(1, 7):
        in_service[lane - 1, lane] = 0
    start = rng.uniform(-0.05, 0.05, (2, 9, 7))
    rows, blocks = solved(replace(net, **own, in_service=in_service), p, q, start=start)
    assert_same(rows, blocks, SAME_V["float64"])
    assert rows.converged.any()


@pytest.mark.parametrize("pv", [(), (0, 1, 2, 3)])
def test_several_slacks_and_loads_of_constant_current(meshed, pv):
    net, p, q, rng = meshed
    slacks = tuple(sorted({net.slack, (net.slack + 4) % 9}))
    free = [i for i in range(9) if i not in slacks]
    net = net.replace(
        slacks=slacks,
        slack_angle=np.array([0.1, 0.15]),
        current_load_bus=(free[0], free[3]),
        p_current=np.array([0.05, 0.1]),
        q_current=np.array([0.02, 0.05]),
        pv=tuple(free[i] for i in pv),
    )
    hold = rng.random((9, 7)) < 0.5 if pv else None
    rows, blocks = solved(net, p, q, **({} if hold is None else {"hold": hold}))
    assert_same(rows, blocks, SAME_V["float64"])
    assert rows.converged.all()


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("pv", [(), (0, 1, 2, 3)])
def test_systems_with_the_jacobian_and_its_transpose(meshed, pv, transposed):
    net, p, q, rng = meshed
    net = net.replace(pv=tuple(np.delete(np.arange(9), net.slack)[list(pv)]))
    net = jax.tree.map(lambda x: jnp.asarray(x)[..., None], net)
    plan, inputs = network_plan(net, net.pv), inputs_of(net, jnp.asarray(p), jnp.asarray(q))
    adm = admittance(plan, inputs.branch, inputs.shunts)
    d, rhs = jnp.asarray(rng.uniform(-0.05, 0.05, (2, 9, 7))), jnp.asarray(rng.normal(size=(2, 9, 7)))
    converged, drawn = jnp.arange(7) != 3, (jnp.full((9, 1), 0.1), jnp.full((9, 1), 0.05))
    hold = jnp.asarray(rng.random((9, 7)) < 0.5) if pv else None
    ours, theirs = (
        jax.jit(functools.partial(solve_jacobian_lanes, plan, transposed, schedule))(
            adm, d, converged, rhs, drawn, hold
        )
        for schedule in (IN_ROWS, IN_BLOCKS)
    )
    np.testing.assert_array_equal(ours[..., 3], 0)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())


@pytest.mark.long
def test_gradients_are_those_of_the_other_form(meshed):
    net, p, q, _ = meshed

    def total(p, schedule):
        solve = jax.vmap(lambda p, q: power_flow(net, p, q, tol=1e-12, schedule=schedule).v)
        return jnp.abs(solve(p, q.T)).sum()

    ours, theirs = (jax.jit(jax.grad(total), static_argnums=1)(p.T, s) for s in (IN_ROWS, IN_BLOCKS))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10)


def test_one_kernel_on_a_gpu_for_as_many_lanes_as_the_schedule_asks_for():
    net, p, q = loaded_feeder()
    net = net.astype(np.float32)

    def kernels(lanes, platform, schedule=None):
        def solve(p, q):
            return power_flow(net, p, q, schedule=schedule).v

        p_lanes, q_lanes = (np.zeros((lanes, net.n_bus), np.float32) + x.astype(np.float32) for x in (p, q))
        traced = jax.jit(jax.vmap(solve)).trace(p_lanes, q_lanes)
        return traced.lower(lowering_platforms=(platform,)).as_text().count("xla.gpu.triton")

    enough = 16 * (net.n_bus - 1)
    assert kernels(enough, "cuda") == 1
    assert kernels(enough - 1, "cuda") == 0
    assert kernels(enough, "cuda", AllAtOnce(lanes_for_each_row=None)) == 0
    assert kernels(enough, "cpu", AllAtOnce()) == kernels(enough, "tpu") == 0


def test_a_radial_network_fills_in_nothing_by_degree_alone():
    net, _, _ = loaded_feeder()
    plan = plan_of_least_fill(network_plan(net))
    assert sum(len(level.target_of_slot) for level in plan.levels) == net.n_bus - 2
    assert plan_of_least_fill(plan) is plan


def test_kernels_go_over_the_lanes_that_a_device_has():
    net, _, _ = loaded_feeder()
    net = net.astype(np.float32)

    def gradient(p, q):
        return jax.grad(lambda p: jnp.abs(jax.vmap(lambda p, q: power_flow(net, p, q).v)(p, q)).sum())(p)

    mesh, along = Mesh(np.array(jax.devices()[:1]), ("lanes",)), PartitionSpec("lanes")
    run = jax.jit(jax.shard_map(gradient, mesh=mesh, in_specs=along, out_specs=along))
    powers = jax.ShapeDtypeStruct((1024, net.n_bus), np.float32)
    text = run.trace(powers, powers).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("xla.gpu.triton") == 2
