"""Programs written out element by element compute what the arrays do."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import anmjax
from anmjax.lanes.elements import by_element, operations
from anmjax.lanes.schedule import AllAtOnce
from anmjax.lanes.trailing import batch_trailing

LANES = 5
WHOLE, WRITTEN_OUT = AllAtOnce(most_operations=0), AllAtOnce(most_operations=10**9)
IN_KERNEL = AllAtOnce(most_operations=10**9, interpreted="cuda")


def mixed(x, shared, index):
    """Moves, arithmetic, a loop, a choice, and operations that stay whole."""
    stacked = jnp.stack([x, x[::-1] * shared])
    first = jnp.concatenate([stacked[:, 1:], stacked[:, :1]], 1)[:, np.array([2, 0, 0])]
    placed = jax.lax.dynamic_update_slice(jnp.pad(first, ((0, 0), (1, 0))), x[None, :2], (1, 1))
    turned = jax.lax.fori_loop(0, 3, lambda i, y: y * 0.5 + i, placed)
    chosen = jnp.where(x[0] > 0, turned.sum(0), turned.max(0))
    branch = jax.lax.cond(shared[0] > 0, lambda: chosen + 1, lambda: chosen - 1)
    return {"sorted": jnp.sort(branch), "taken": x[index], "shared": shared + 1, "none": x[:0]}


@pytest.mark.parametrize("most", [0, 10**9])
def test_a_function_is_the_same_element_by_element(most):
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(3, LANES)))
    index = jnp.asarray(random.integers(0, 3, (1, LANES)))
    shared = jnp.asarray(random.normal(size=(3, 1)))
    one = jax.vmap(mixed, in_axes=(1, None, 1), out_axes=-1)(x, shared[:, 0], index)

    def trailing(x, shared, index):
        if x.ndim == 1:
            return mixed(x, shared, index)
        out = jax.vmap(mixed, in_axes=(1, None, 1), out_axes=-1)(x, shared[:, 0], index)
        return out

    got = jax.jit(by_element(trailing, AllAtOnce(most)))(x, shared, index)
    for name, value in one.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-14, err_msg=name)


def test_operations_are_those_on_elements_and_of_a_loop_one_turn():
    def fn(x):
        return jax.lax.fori_loop(0, 9, lambda i, y: y * 2, jnp.sin(x)[::-1])

    # sin of 4; in the loop 4 products and the counter; moves are none
    assert operations(jax.make_jaxpr(fn)(jnp.ones(4)).jaxpr) == 4 + 4 + 1


# Rounding, on voltages of about 1 p.u.: of 4,096 lanes the worst is off by 5e-7 and by 2e-15.
@pytest.mark.long
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
def test_a_power_flow_is_the_same_element_by_element(dtype, tolerance):
    net = anmjax.make("ANM6Easy-v0", dtype=dtype).network
    random = np.random.default_rng(1)
    # As much as the devices can do, and at some lanes more than the grid can bear.
    p, q = (jnp.asarray(random.uniform(-0.5, 0.5, (256, net.n_bus)), dtype) for _ in "pq")
    r = jnp.asarray(net.r)[None] * jnp.asarray(random.uniform(0.9, 1.1, (256, net.n_branch)), dtype)

    def flows(schedule):
        def one(p, q, r):
            return anmjax.power_flow(net.replace(r=r), p, q, schedule=schedule)

        return jax.jit(jax.vmap(one))(p, q, r), jax.jit(jax.vmap(one, (0, 0, None)))(p, q, r[0])

    for written, whole in zip(flows(WRITTEN_OUT), flows(WHOLE), strict=True):
        np.testing.assert_array_equal(written.converged, whole.converged)
        # A lane whose mismatch rounding puts on the other side of the tolerance makes one update more.
        alike = np.asarray(written.iterations == whole.iterations)
        assert alike.mean() > 0.98
        np.testing.assert_allclose(written.v[alike], whole.v[alike], rtol=0, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [WRITTEN_OUT, IN_KERNEL], ids=["written out", "in a kernel"])
def test_gradients_of_a_power_flow_are_the_same_element_by_element(schedule):
    net = anmjax.make("ANM6Easy-v0", dtype="float64").network
    p = jnp.asarray(np.random.default_rng(2).uniform(-0.2, 0.2, (16, net.n_bus)))

    def gradient(schedule):
        def losses(p):
            v = jax.vmap(lambda p: anmjax.power_flow(net, p, 0.3 * p, schedule=schedule).v)(p)
            return jnp.sum(v.real**2 + v.imag**2)

        return jax.jit(jax.grad(losses))(p)

    np.testing.assert_allclose(gradient(schedule), gradient(WHOLE), rtol=0, atol=1e-12)


def test_lanes_on_several_devices_are_written_out_too():
    mesh = Mesh(np.array(jax.devices()[:1]), ("lanes",))
    spec = PartitionSpec("lanes")

    def run(schedule):
        fn = batch_trailing(lambda x: jnp.sin(x[::-1]) + 1, schedule)
        return jax.jit(jax.shard_map(jax.vmap(fn), mesh=mesh, in_specs=spec, out_specs=spec))

    x = jnp.arange(12.0).reshape(4, 3)
    np.testing.assert_allclose(run(WRITTEN_OUT)(x), run(WHOLE)(x), rtol=1e-15)
