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
from anmjax.lanes.lane_kernel import PLATFORMS, TILE, TILES, WARP, lane_kernel
from anmjax.lanes.schedule import AllAtOnce
from anmjax.lanes.trailing import batch_trailing, differentiable_batch_trailing
from anmjax.lanes.written import in_kernel

WHOLE = AllAtOnce(most_operations=0)
KERNEL, ON_TPU = (AllAtOnce(10**9, interpreted=platform) for platform in ("cuda", "tpu"))
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


SOME = [1, 3, WARP, WARP + 1, 2 * WARP + 5]
MANY = TILES * TILE[0] * TILE[1]


@pytest.mark.parametrize(
    ("schedule", "lanes"), [*((KERNEL, n) for n in SOME), *((ON_TPU, n) for n in (1, 1030, MANY, MANY + 1))]
)
def test_a_function_is_the_same_in_a_kernel_whatever_the_number_of_lanes(schedule, lanes):
    dtype = np.float64 if schedule is KERNEL else np.float32
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(lanes, 3)) * 10.0 ** random.integers(-2, 4, (lanes, 1)), dtype)
    flag, shared = jnp.asarray(random.random((lanes, 3)) < 0.5), jnp.asarray(random.normal(size=3), dtype)
    got, expected = (
        jax.jit(jax.vmap(batch_trailing(mixed, schedule), (0, None, 0)))(x, shared, flag)
        for schedule in (schedule, WHOLE)
    )
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=4 * np.finfo(dtype).eps, err_msg=name)


def held(fn, shape, platform):
    """Whether a kernel can hold a function of one array, and whether one does."""
    one = jax.make_jaxpr(fn)(jax.ShapeDtypeStruct(shape.shape[:-1], shape.dtype))
    kernel = lane_kernel(one, [jax.core.ShapedArray(shape.shape, shape.dtype)], platform, interpreted=True)
    schedule = AllAtOnce(interpreted=platform)
    lowered = jax.jit(by_element(fn, schedule)).lower(shape).as_text(debug_info=True)
    return kernel is not None, "pallas_call" in lowered


ROW = jax.ShapeDtypeStruct((3, 64), np.float32)


@pytest.mark.parametrize(
    ("fn", "can"),
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
def test_whether_a_kernel_holds_a_program_follows_from_its_operations(fn, can):
    x = jnp.asarray(np.random.default_rng(1).uniform(1, 2, ROW.shape), ROW.dtype)
    for platform in PLATFORMS:
        assert held(fn, ROW, platform) == (can, can)
        got = jax.jit(by_element(fn, AllAtOnce(interpreted=platform)))(x)
        np.testing.assert_allclose(got, fn(x), rtol=1e-6)


def test_a_tpu_holds_no_numbers_of_twice_the_size():
    double = jax.ShapeDtypeStruct(ROW.shape, np.float64)
    assert held(lambda x: 2 * x, double, "cuda") == (True, True)
    assert held(lambda x: 2 * x, double, "tpu") == (False, False)


def every_operation(x):
    """What a kernel is said to hold, on numbers and on flags."""
    numbers = [-x, abs(x), x + x, x - 1, x / 3, x * x, x**3, jnp.square(x), jnp.sqrt(x), jax.lax.rsqrt(x)]
    numbers += [fn(x) for fn in (jnp.sin, jnp.cos, jnp.exp, jnp.log, jnp.tanh, jnp.floor)]
    numbers += [x**1.5, jnp.maximum(x, 1), jnp.minimum(x, 1), jax.lax.clamp(x - 1, x, x + 1)]
    flags = [x > 1, x >= 1, x < 1, x <= 1, x == 1, x != 1, jnp.isfinite(x)]
    flags += [flags[0] & flags[1], flags[0] | flags[1], ~flags[0]]
    numbers += [jax.lax.select(flag, x, -x) for flag in flags] + [flags[0].astype(x.dtype)]
    turned = jax.lax.fori_loop(np.int32(0), np.int32(3), lambda i, y: y + i.astype(y.dtype), sum(numbers))
    return turned, flags[0]


def kernel_calls(fn, shapes, platform):
    """Kernels in the program for a platform, none of which has to be here."""
    lowered = jax.jit(fn).trace(*shapes).lower(lowering_platforms=(platform,)).as_text()
    return lowered.count("@tpu_custom_call") + lowered.count("xla.gpu.triton")


# From jax 0.11 on Triton wants to know the GPU while a program is lowered.
NO_GPU = pytest.mark.skipif(jax.__version_info__ >= (0, 11), reason="no GPU to lower for")
BOTH = pytest.mark.parametrize("platform", [pytest.param("cuda", marks=NO_GPU), "tpu"])


@BOTH
def test_a_kernel_is_made_of_every_operation_that_it_is_said_to_hold(platform):
    shapes = [jax.ShapeDtypeStruct((4096, 3), np.float32)]
    # Or constants would be of twice the size, which a TPU's kernels do not know.
    with jax.enable_x64(False):
        fn = jax.vmap(batch_trailing(every_operation, AllAtOnce()))
        assert [kernel_calls(fn, shapes, name) for name in (platform, "rocm")] == [1, 0]
        x = jnp.asarray(np.random.default_rng(3).uniform(0.5, 2, (70, 3)), np.float32)
        interpreted = jax.vmap(batch_trailing(every_operation, AllAtOnce(interpreted=platform)))
        for got, value in zip(jax.jit(interpreted)(x), every_operation(x), strict=True):
            np.testing.assert_allclose(got, value, rtol=1e-5)


@pytest.mark.long
@BOTH
def test_one_kernel_holds_a_step_of_a_small_grid(platform):
    with jax.enable_x64(False):
        assert kernels_of_a_step(platform) == 1
        assert kernels_of_a_step("rocm") == 0


def kernels_of_a_step(platform):
    env = anmjax.AutoReset(anmjax.make("ANM6Easy-v0", dtype="float32"), 64)
    shapes = jax.eval_shape(
        lambda: (
            jax.vmap(env.start)(jax.random.split(jax.random.key(0), 4096)),
            jnp.zeros((4096, *env.action_space.shape), env.action_space.dtype),
        )
    )
    return kernel_calls(jax.vmap(env.step), shapes, platform)


def test_no_kernel_holds_what_a_schedule_wants_outside():
    fn = batch_trailing(lambda x: jnp.sin(x[::-1]) + 1, AllAtOnce(in_kernel=False, interpreted="cuda"))
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
@pytest.mark.parametrize(
    ("schedule", "dtype", "tolerance", "stress"),
    [(KERNEL, "float32", 1e-6, 1.0), (KERNEL, "float64", 1e-12, 6.0), (ON_TPU, "float32", 1e-6, 1.0)],
    ids=["GPU, single", "GPU, double", "TPU"],
)
def test_a_step_in_a_kernel_is_that_on_a_cpu(schedule, dtype, tolerance, stress):
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
    one_kernel = jax.vmap(differentiable_batch_trailing(step, schedule), (None, 0, 0))
    outcome, updates = jax.jit(one_kernel)(net, soc, wanted)
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
