"""Under jit, vmap and scan a step is what it is for one lane; and physics holds along random rollouts."""

from __future__ import annotations

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax import State
from tests.envs.samples import STORAGE, Feeder, branch_ends, bus_injections, start

KEY = jax.random.key(7)
LANES, STEPS = 16, 24
ENV = Feeder()


@pytest.fixture(scope="module")
def actions() -> jax.Array:
    """From mild to the full box, (STEPS, LANES, 6)."""
    uniform = np.random.default_rng(0).uniform(-1, 1, (STEPS, LANES, 6))
    reach = np.linspace(0.1, 1.0, LANES)[:, None]
    return jnp.asarray(reach * uniform * [8.0, 5.0, 4.0, 3.0, 4.0, 3.0])


@pytest.fixture(scope="module")
def starts() -> jax.Array:
    """One lane is doomed to collapse in its first step, by its demand."""
    vectors = [start(demand=-0.9 * k, potential=0.5 * k, soc=1 + 7 * k / LANES) for k in range(LANES)]
    vectors[3] = vectors[3].at[-2].set(-300.0)
    return jnp.stack(vectors)


@pytest.fixture(scope="module")
def rollout(starts: jax.Array, actions: jax.Array) -> State:
    """The states of jit(scan(vmap(step))), start included, (STEPS + 1, LANES, ...)."""

    @jax.jit
    def run(starts: jax.Array, actions: jax.Array) -> State:
        first = jax.vmap(ENV.reset_to)(jax.random.split(KEY, LANES), starts)

        def body(states: State, action: jax.Array) -> tuple[State, State]:
            states = jax.vmap(ENV.step)(states, action)
            return states, states

        states = jax.lax.scan(body, first, actions)[1]
        one = replace(jax.tree.map(lambda x: x[None], first), key=None)
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), one, replace(states, key=None))

    return jax.device_get(run(starts, actions))


def assert_close(state: State, expected: State) -> None:
    """Equal to rounding: the same operations, possibly fused in another order by the compiler."""
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(replace(state, key=None)), jax.tree.leaves(expected), strict=True
    ):
        # What is left of the power balance is itself rounding.
        if "mismatch" not in jax.tree_util.keystr(path):
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12, err_msg=jax.tree_util.keystr(path))


def test_single_lanes_agree_with_scanned_and_vmapped_ones(
    rollout: State, starts: jax.Array, actions: jax.Array
) -> None:
    def at(t: int, lane: int) -> State:
        return jax.tree.map(lambda x: x[t, lane], rollout)

    step = jax.jit(ENV.step)
    for lane in (0, 3, LANES - 1):
        state = replace(jax.tree.map(jnp.asarray, at(0, lane)), key=KEY)
        for t in range(STEPS):
            state = step(state, actions[t, lane])
            assert_close(state, at(t + 1, lane))


def test_nested_vmap_agrees(rollout: State, actions: jax.Array) -> None:
    before = jax.tree.map(lambda x: jnp.asarray(x[5]).reshape(4, 4, *x.shape[2:]), rollout)
    before = before.replace(key=jax.random.split(KEY, (4, 4)))
    # The outer axis last for the actions: vmap may be told any axis.
    step = jax.jit(jax.vmap(jax.vmap(ENV.step), in_axes=(0, 2)))
    after = step(before, jnp.moveaxis(actions[5].reshape(4, 4, 6), 0, 2))
    expected = jax.tree.map(lambda x: x[6].reshape(4, 4, *x.shape[2:]), rollout)
    assert_close(after, expected)


def test_only_the_doomed_lane_collapses_and_the_others_do_not_notice(rollout: State) -> None:
    np.testing.assert_array_equal(rollout.terminated[1:].all(axis=0), np.arange(LANES) == 3)
    np.testing.assert_array_equal(rollout.terminated.any(axis=0), np.arange(LANES) == 3)
    for leaf in jax.tree.leaves(rollout):
        assert np.isfinite(leaf).all()
    np.testing.assert_array_equal(rollout.reward[2:, 3], np.zeros(STEPS - 1))


def test_injections_add_up_to_the_losses_of_the_branches(rollout: State) -> None:
    alive = ~rollout.terminated
    injected = bus_injections(ENV.network, rollout.grid)[alive]
    flows = branch_ends(ENV.network, rollout.grid.v[alive])
    losses = (flows[0] + flows[1]).sum(axis=-1)
    # The power flow may leave 1e-5 p.u. at each of three buses.
    np.testing.assert_allclose(injected.sum(axis=-1), losses, rtol=0, atol=3e-5)
    assert (losses.real > -1e-12).all()
    assert losses.real.max() > 0.01


def test_storage_stays_within_its_limits_and_never_creates_energy(rollout: State) -> None:
    alive = ~rollout.terminated[1:]
    soc = rollout.grid.soc[..., 0]
    power = rollout.grid.p[1:, :, STORAGE]
    assert (soc[1:][alive] >= 0.1).all()
    assert (soc[1:][alive] <= 0.8).all()
    drop = soc[:-1] - soc[1:]
    # Charging stores 0.9 of what is drawn, discharging takes 1 / 0.9 of what is delivered.
    expected = 0.5 * np.where(power > 0, power / 0.9, power * 0.9)
    np.testing.assert_allclose(drop[alive], expected[alive], rtol=0, atol=1e-15)
    assert (0.5 * power[alive] <= drop[alive] + 1e-15).all()
    # Both limits were reached and both directions used.
    assert np.isclose(soc[1:][alive], 0.1).any()
    assert np.isclose(soc[1:][alive], 0.8).any()
    assert (power[alive] > 0).any()
    assert (power[alive] < 0).any()


def test_a_step_is_traced_once_across_starts_steps_and_auto_resets() -> None:
    chex.clear_trace_counter()
    env = anmjax.make("ANM6Easy-v0")
    step = jax.jit(chex.assert_max_traces(env.step, n=1))
    action = jnp.zeros(6)
    start = jax.jit(env.reset)(KEY)
    state = step(step(start, action), action)

    wrapped = anmjax.AutoReset(anmjax.TimeLimit(env, max_steps=2), pool_size=2)
    step = jax.jit(chex.assert_max_traces(wrapped.step, n=1))
    state = replace(start, metrics=start.metrics | {"final_obs": start.obs, "final_reward": start.reward})
    ended = []
    for _ in range(5):
        state = step(state, action)
        ended.append(bool(state.truncated))
    assert ended == [False, True, False, True, False]


def test_float32_follows_float64(rollout: State, actions: jax.Array) -> None:
    env = Feeder(dtype=jnp.float32)

    def narrow(x: np.ndarray) -> jax.Array:
        kinds = {"f": jnp.float32, "c": jnp.complex64}
        return jnp.asarray(x, kinds.get(x.dtype.kind, x.dtype))

    lanes = np.arange(LANES) != 3
    before = jax.tree.map(lambda x: narrow(x[4][lanes]), rollout)
    before = before.replace(key=jax.random.split(KEY, LANES - 1))
    after = jax.jit(jax.vmap(env.step))(before, actions[4][lanes].astype(jnp.float32))
    expected = jax.tree.map(lambda x: x[5][lanes], rollout)
    # Inputs rounded to 6e-8; penalties are lambda delta_t = 25 times a difference of numbers near 1.
    np.testing.assert_allclose(after.obs, expected.obs, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(after.reward, expected.reward, rtol=1e-4, atol=1e-4)
    assert {leaf.dtype for leaf in jax.tree.leaves(after.replace(key=None))} == {
        *map(jnp.dtype, (jnp.float32, jnp.complex64, jnp.int32, bool))
    }
