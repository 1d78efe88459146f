"""A program of a lane in one kernel, which Pallas interprets, computes what the arrays do."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import anmjax
from anmjax.envs.reward import costs
from anmjax.envs.transition import Setpoints, advance, simulation
from anmjax.lanes.elements import by_element
from anmjax.lanes.lane_kernel import WARP, can_hold, on_elements
from anmjax.lanes.schedule import AllAtOnce
from anmjax.lanes.trailing import batch_trailing, differentiable_batch_trailing
from anmjax.lanes.written import in_kernel

KERNEL, WHOLE = AllAtOnce(10**9, interpreted=True), AllAtOnce(most_operations=0)
OPTIONS = {"delta_t": 0.25, "num_iters": 8, "tol": 1e-5}


def mixed(x, shared, flag):
    """Elements that move, what lanes share, a complex result and a loop that each lane leaves by itself."""
    turned = jnp.concatenate([x[1:], x[:1]]) * jnp.sin(shared)

    def large(y):
        return jnp.abs(y).max(0) > 0.1

    def until_small(x):
        return jax.lax.while_loop(large, lambda y: y / 2, x)

    def as_often(x):
        return jax.lax.fori_loop(0, 60, lambda _, y: jnp.where(large(y), y / 2, y), x)

    return {
        "chosen": jnp.where(flag, turned, -turned),
        "halved": in_kernel(until_small, as_often)(x) if x.ndim == 1 else as_often(x),
        "complex": jax.lax.complex(x, turned),
        "shared": shared * 2,
        "constant": jnp.arange(3.0).reshape(3, *[1] * (x.ndim - 1)),
        "flag": ~flag,
        "none": x[:0],
    }


@pytest.mark.parametrize("lanes", [1, 3, WARP, WARP + 1, 2 * WARP + 5])
def test_a_function_is_the_same_in_a_kernel_whatever_the_number_of_lanes(lanes):
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(lanes, 3)) * 10.0 ** random.integers(-2, 4, (lanes, 1)))
    flag, shared = jnp.asarray(random.random((lanes, 3)) < 0.5), jnp.asarray(random.normal(size=3))
    got, expected = (
        jax.jit(jax.vmap(batch_trailing(mixed, schedule), (0, None, 0)))(x, shared, flag)
        for schedule in (KERNEL, WHOLE)
    )
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-14, err_msg=name)


def whole_and_held(fn, *shapes):
    """What becomes of a function: whether a kernel can hold it, and whether one does."""
    one = jax.make_jaxpr(fn)(*(jax.ShapeDtypeStruct(x.shape[:-1], x.dtype) for x in shapes))
    flat = on_elements(one, [jax.core.ShapedArray(x.shape, x.dtype) for x in shapes], WARP)
    lowered = jax.jit(by_element(fn, KERNEL)).lower(*shapes).as_text(debug_info=True)
    return can_hold(flat), "pallas_call" in lowered


ROW = jax.ShapeDtypeStruct((3, 64), np.float64)


@pytest.mark.parametrize(
    ("fn", "held"),
    [
        (lambda x: jnp.sqrt(x[::-1]) + 1, True),
        (lambda x: jax.lax.complex(x, x), True),
        (lambda x: jnp.sort(x, 0), False),
        (lambda x: jnp.abs(jax.lax.complex(x, x)), False),
        (lambda x: jnp.where(x.sum(0) > 0, jax.lax.cumsum(x, 0), x), False),
        (lambda x: jax.lax.fori_loop(0, 3, lambda _, y: jnp.sort(y, 0), x), False),
    ],
    ids=["arithmetic", "a complex result", "sorting", "complex arithmetic", "sums", "sorting in a loop"],
)
def test_whether_a_kernel_holds_a_program_follows_from_its_operations(fn, held):
    assert whole_and_held(fn, ROW) == (held, held)
    x = jnp.asarray(np.random.default_rng(1).uniform(1, 2, ROW.shape))
    np.testing.assert_allclose(jax.jit(by_element(fn, KERNEL))(x), fn(x), rtol=1e-14)


def test_no_kernel_holds_what_a_schedule_wants_outside():
    fn = batch_trailing(lambda x: jnp.sin(x[::-1]) + 1, AllAtOnce(in_kernel=False, interpreted=True))
    assert "pallas_call" not in jax.jit(jax.vmap(fn)).lower(jnp.ones((64, 3))).as_text(debug_info=True)


def test_kernels_stand_in_loops_under_nested_vmap_and_on_several_devices():
    fn = jax.vmap(jax.vmap(batch_trailing(lambda x: jnp.sin(x[::-1]) + 1, KERNEL)))
    spec = PartitionSpec("lanes")
    mesh = Mesh(np.array(jax.devices()[:1]), ("lanes",))

    def twice(x):
        return jax.lax.scan(lambda x, _: (fn(x), None), x, length=2)[0]

    x = jnp.arange(48.0).reshape(4, 4, 3)
    expected = jnp.sin((jnp.sin(x[..., ::-1]) + 1)[..., ::-1]) + 1
    for run in (twice, jax.shard_map(twice, mesh=mesh, in_specs=spec, out_specs=spec)):
        np.testing.assert_allclose(jax.jit(run)(x), expected, rtol=1e-15)


def step(net, soc, wanted):
    grid, solution, as_set = advance(net, soc, wanted, **OPTIONS)
    return (grid, solution.d, costs(as_set, grid, solution, delta_t=OPTIONS["delta_t"])), solution.iterations


# Rounding, on voltages of about 1 p.u. and costs of about 10.
@pytest.mark.long
@pytest.mark.parametrize(("dtype", "tolerance", "stress"), [("float32", 1e-6, 1.0), ("float64", 1e-12, 6.0)])
def test_a_step_in_a_kernel_is_that_on_a_cpu(dtype, tolerance, stress):
    net = jax.tree.map(jnp.asarray, anmjax.make("ANM6Easy-v0", dtype=dtype).network)
    net = net.replace(r=stress * net.r, x=stress * net.x)
    random, lanes = np.random.default_rng(5), 2 * WARP + 13

    light = np.arange(lanes)[:, None] == 0  # a lane that needs few updates, among some that need all

    def drawn(n, low, high):
        return jnp.asarray(np.where(light, 0.05, 1) * random.uniform(low, high, (lanes, n)), dtype)

    soc = drawn(1, 0, 1)
    wanted = Setpoints(drawn(3, -0.5, 0), drawn(2, 0, 0.6), drawn(3, -0.6, 0.6), drawn(3, -0.5, 0.5))
    on_cpu = jax.vmap(simulation(**OPTIONS), (None, 0, 0))
    expected = jax.jit(on_cpu)(net, soc, wanted)
    held = jax.vmap(differentiable_batch_trailing(step, KERNEL), (None, 0, 0))
    outcome, updates = jax.jit(held)(net, soc, wanted)
    grid = outcome[0]

    updates, solved = np.asarray(updates), np.asarray(grid.converged)
    assert (updates[:WARP].min(), updates[:WARP].max()) == (2, OPTIONS["num_iters"])
    assert 0 < solved.mean() < 1
    np.testing.assert_array_equal(solved, expected[0].converged)
    np.testing.assert_array_equal(grid.v[~solved], expected[0].v[~solved])  # flat start
    # The mismatch is what rounding leaves of two sums, and no two ways to sum leave the same.
    told = [(x[0].replace(mismatch=None), *x[1:]) for x in (outcome, expected)]
    for got, value in zip(*(map(np.asarray, jax.tree.leaves(x)) for x in told), strict=True):
        assert np.isfinite(got).all()
        scale = np.maximum(1, np.abs(value[solved]))
        np.testing.assert_allclose(got[solved] / scale, value[solved] / scale, rtol=0, atol=tolerance)
