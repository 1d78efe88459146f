"""No array without elements gets into ``jax.shard_map``: jaxlib 0.11 dies of it on several devices."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import anmjax
from anmjax.lanes.empty import made_here, shard_map
from tests.envs.samples import NETWORK, Feeder
from tests.programs import operations

LANES, SHARED = PartitionSpec("lanes"), PartitionSpec()
ENV = Feeder()
SAFE = anmjax.SafeAction(ENV)
NET = anmjax.Network.from_dict(NETWORK)  # no loads of constant current
KEYS = jax.random.split(jax.random.key(0), 2)
ACTIONS, POWERS = jnp.zeros((2, 6)), jnp.zeros((2, 4))


def mesh() -> Mesh:
    return Mesh(np.array(jax.devices()[:1]), ("lanes",))


def arguments(program: Any) -> list[Any]:
    """What every shard_map of a program takes, captured arrays among it."""
    return [x for one in operations(program) if one.primitive.name == "shard_map" for x in one.invars]


def qp(q: jax.Array) -> jax.Array:
    return anmjax.solve_qp(jnp.eye(4), q, None, None, jnp.ones((1, 4)), jnp.ones(1)).x


CAPTURING = {
    "reset": (jax.vmap(ENV.reset), (KEYS,)),
    "step": (jax.vmap(ENV.step), (jax.eval_shape(jax.vmap(ENV.reset), KEYS), ACTIONS)),
    "safety layer": (jax.vmap(SAFE.step), (jax.eval_shape(jax.vmap(SAFE.reset), KEYS), ACTIONS)),
    "power flow": (jax.vmap(lambda p: anmjax.power_flow(NET, p, p).v), (POWERS,)),
    "quadratic program": (jax.vmap(qp), (POWERS,)),
}


@pytest.mark.parametrize("name", CAPTURING)
def test_what_a_program_captures_has_elements(name: str) -> None:
    fn, args = CAPTURING[name]
    spread = jax.shard_map(fn, mesh=mesh(), in_specs=LANES, out_specs=LANES)
    taken = arguments(jax.make_jaxpr(spread)(*args))
    assert len(taken) > len(jax.tree.leaves(args)) or name == "quadratic program"  # it does capture
    assert all(0 not in x.aval.shape for x in taken)


def test_arguments_without_elements_are_made_inside_with_their_shapes_and_types() -> None:
    def run(env: dict[str, jax.Array], carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        def body(_: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            assert (carry[1].shape, carry[1].dtype) == ((4, 0), jnp.int32)
            return carry[0] + env["none"].sum() + 1, carry[1] * 2

        return jax.lax.fori_loop(0, 3, body, carry)

    spread = shard_map(run, mesh=mesh(), in_specs=(SHARED, LANES), out_specs=LANES)
    args = {"none": jnp.zeros((0, 2))}, (jnp.ones(4), jnp.zeros((4, 0), jnp.int32))
    taken = arguments(jax.make_jaxpr(spread)(*args))
    assert [x.aval.shape for x in taken] == [(4,)]
    full, empty = jax.jit(spread)(*args)
    np.testing.assert_array_equal(full, np.full(4, 4.0))
    assert empty.shape == (4, 0)


def test_only_arrays_without_elements_are_made_and_only_in_a_program() -> None:
    full, empty = np.ones(3), np.zeros((0, 2), np.float32)
    kept = made_here((full, empty), full)
    assert kept[0] is full
    assert kept[1] is empty

    @jax.jit
    def program(x: jax.Array) -> jax.Array:
        same, made = made_here((full, empty), x)
        assert same is full
        assert isinstance(made, jax.Array)
        assert (made.shape, made.dtype) == ((0, 2), jnp.float32)
        return x

    program(full)
