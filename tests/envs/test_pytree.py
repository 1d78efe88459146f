"""An environment is a pytree: grids differ under vmap, and gradients reach every number of theirs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax import Network, State
from tests.envs.samples import Feeder, branch_ends, bus_admittance, bus_injections, start

KEY = jax.random.key(3)
ENV = Feeder(tol=1e-10)
# Storage charges at more than its Q allows, PV is curtailed, voltages and branches are over their limits.
ACTION = jnp.array([5.0, 3.0, 1.0, 2.5, -3.5, 2.0])
# Those that the network of these tests has: its branches are the same from both ends.
LEAVES = [
    f.name
    for f in fields(Network)
    if f.metadata.get("pytree_node", True) and getattr(ENV.network, f.name) is not None
]


@pytest.fixture(scope="module")
def state() -> State:
    return jax.jit(ENV.reset_to)(KEY, start(demand=-16.0, potential=7.0))


@pytest.fixture(scope="module")
def step() -> Any:
    """``env.step`` with the environment as an argument."""
    return jax.jit(lambda env, state, action: env.step(state, action))


def axes_of(**network_axes: int) -> Feeder:
    """A tree of axes for an environment whose network alone is batched, in the leaves named."""
    axes = jax.tree.map(lambda _: None, ENV)
    return axes.replace(network=replace(axes.network, **network_axes))


def test_an_environment_comes_back_from_flattening() -> None:
    leaves, treedef = jax.tree.flatten(ENV)
    again = jax.tree.unflatten(treedef, leaves)
    assert type(again) is Feeder
    assert jax.tree.structure(again) == treedef
    assert (again.gamma, again.costs_clipping, again.action_space.shape) == (0.9, (0.3, 20.0), (6,))
    assert jax.tree.structure(jax.tree.map(lambda _: 0, ENV)) == treedef
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(ENV)]
    assert {".network.r", ".network.soc_max", ".noise"} <= set(names)


def test_an_attribute_with_an_array_in_it_is_a_leaf_and_others_are_static() -> None:
    env = ENV.replace(noise={"a": [np.float64(1.0), jnp.zeros(2)]}, gamma=0.7)
    assert len(jax.tree.leaves(env)) == len(jax.tree.leaves(ENV)) + 1
    assert jax.tree.map(lambda x: x, env).gamma == 0.7


def test_grids_that_differ_in_several_leaves_are_vmapped(step: Any, state: State) -> None:
    factors = np.array([0.5, 1.0, 2.0])
    net = ENV.network
    changes = {
        name: jnp.asarray(np.outer(factors, getattr(net, name))) for name in ("r", "x", "soc_max", "p_plus")
    }
    batched = jax.jit(
        jax.vmap(lambda env, s, a: env.step(s, a), in_axes=(axes_of(**dict.fromkeys(changes, 0)), None, None))
    )
    together = batched(ENV.replace(network=replace(net, **changes)), state, ACTION)
    for k in range(3):
        one = replace(net, **{name: change[k] for name, change in changes.items()})
        alone = step(ENV.replace(network=one), state, ACTION)
        np.testing.assert_allclose(together.obs[k], alone.obs, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(together.reward[k], alone.reward, rtol=1e-12)
    assert len(np.unique(together.reward)) == 3


@pytest.mark.parametrize(
    "name",
    [
        "base_mva",
        "v_max",
        "r",
        "x",
        "tap",
        "shift",
        "in_service",
        "qp_ratio",
        "p_min",
        "q_max",
        "q_plus",
        "soc_max",
        "eff",
    ],
)
def test_grids_may_differ_in_any_one_leaf(name: str, state: State) -> None:
    # All else, state and action included, is shared by the lanes: shapes must broadcast everywhere.
    leaf = getattr(ENV.network, name)
    env = ENV.replace(network=replace(ENV.network, **{name: jnp.stack([leaf, leaf])}))
    step = jax.vmap(lambda env, s, a: env.step(s, a), in_axes=(axes_of(**{name: 0}), None, None))
    assert jax.eval_shape(step, env, state, ACTION).obs.shape == (2, 16)


@pytest.mark.parametrize("which", range(6))
def test_actions_may_differ_in_one_coordinate_alone(which: int, state: State) -> None:
    step = jax.vmap(lambda x: ENV.step(state, ACTION.at[which].set(x)))
    assert jax.eval_shape(step, jnp.zeros(2)).reward.shape == (2,)


def test_branches_are_switched_under_vmap(state: State) -> None:
    # Each branch of the ring in turn, then the two around bus 2: an island.
    in_service = np.ones((5, 4))
    in_service[np.arange(4), np.arange(4)] = 0
    in_service[4, [1, 2]] = 0
    step = jax.jit(jax.vmap(lambda env: env.step(state, ACTION), in_axes=(axes_of(in_service=0),)))
    after = jax.device_get(
        step(ENV.replace(network=replace(ENV.network, in_service=jnp.asarray(in_service)))).replace(key=None)
    )
    np.testing.assert_array_equal(after.grid.converged, [True, True, True, True, False])
    for k in range(4):
        v = after.grid.v[k]
        sent = v * np.conj(bus_admittance(ENV.network, in_service[k]) @ v)
        np.testing.assert_allclose(bus_injections(ENV.network, after.grid)[k], sent, rtol=0, atol=1e-9)
        flows = [in_service[k] * end for end in branch_ends(ENV.network, v)]
        violation = np.maximum(0, np.maximum(*np.abs(flows)) - ENV.network.rating).sum()
        np.testing.assert_allclose(after.metrics["branch_violation"][k], violation, rtol=1e-12, atol=1e-14)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after))


@pytest.mark.long
def test_the_gradient_by_every_leaf_of_the_network_equals_central_differences(state: State) -> None:
    weights = jax.random.normal(jax.random.key(1), (16,))

    def objective(net: Network) -> jax.Array:
        after = ENV.replace(network=net, costs_clipping=(np.inf, np.inf)).step(state, ACTION)
        return after.reward + weights @ after.obs / 10

    net = ENV.network
    found = jax.jit(jax.grad(objective))(net)
    # One perturbed entry a lane, all leaves in one call.
    entries = [(name, i) for name in LEAVES for i in range(getattr(net, name).size)]
    h = 1e-6

    def moved(sign: int) -> Network:
        tiled = {name: np.repeat(np.asarray(getattr(net, name))[None], len(entries), 0) for name in LEAVES}
        for lane, (name, i) in enumerate(entries):
            tiled[name].reshape(len(entries), -1)[lane, i] += sign * h
        return replace(net, **{name: jnp.asarray(x) for name, x in tiled.items()})

    values = jax.jit(jax.vmap(objective))
    middle = float(values(jax.tree.map(lambda x: x[None], net))[0])
    plus, minus = np.asarray(values(moved(1))), np.asarray(values(moved(-1)))
    right, left = (plus - middle) / h, (middle - minus) / h
    exact = np.array([np.asarray(getattr(found, name)).reshape(-1)[i] for name, i in entries])
    assert np.isfinite(exact).all()
    # The others sit on a kink: P+ = PMAX, say, moved past PMAX has no slope at all.
    smooth = np.abs(right - left) <= 1e-3 * (1 + np.abs(right))
    assert smooth.mean() > 0.9
    # Rounding of values near 10: 2e-15 / 1e-6; truncation far below.
    np.testing.assert_allclose(0.5 * (right + left)[smooth], exact[smooth], rtol=1e-5, atol=1e-6)
    moving = {name for (name, _), x in zip(entries, exact, strict=True) if x != 0}
    assert {"r", "x", "b", "tap", "shift", "in_service", "qp_ratio", "v_min", "rating", "eff"} <= moving
    assert {"base_mva", "p_plus", "q_plus"} & moving


@pytest.mark.long
def test_angles_of_currents_that_do_not_flow_have_finite_derivatives() -> None:
    env = Feeder([("branch_i_ang", "all"), ("bus_i_ang", "all"), ("bus_v_ang", "all"), ("branch_s", "all")])

    def total(action: jax.Array, demand: jax.Array) -> jax.Array:
        flat = env.reset_to(KEY, start(demand=demand).at[jnp.array([2, 3])].set(0.0))
        return env.step(flat, action).obs.sum()

    # A collapse leaves the voltages flat, and no current.
    gradients = jax.jit(jax.vmap(jax.grad(total), in_axes=(None, 0)))(ACTION, jnp.array([-5.0, -400.0]))
    assert np.isfinite(gradients).all()
    assert (gradients[0] != 0).any()
    np.testing.assert_array_equal(gradients[1], np.zeros(6))
