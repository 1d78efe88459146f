"""Generators that hold voltages: against pandapower, within their limits, and what their actions still do."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from tests.grid.pandapower_nets import pp, small_net, solve
from tests.tasks.test_pandapower_nets import as_nothing_is_done, idle

KEY = jax.random.key(0)
BASE, V_SET = 10.0, 1.02
NARROW = 0.4  # MVAr, of generator "b": "a" has twice as much


@pytest.fixture(scope="module")
def network() -> anmjax.Network:
    """Two generators and a battery at the end of a feeder, where a voltage is held."""
    bus = [[0, 0, 20, 1.0, 1.0], [1, 1, 20, 1.05, 0.95], [2, 1, 20, 1.05, 0.95]]
    branch = [[0, 1, 0.02, 0.04, 0, 9, 1, 0], [1, 2, 0.02, 0.04, 0, 9, 1, 0]]
    slack = [[0, 0, 0, *[None] * 12]]
    net = anmjax.Network.from_dict({"baseMVA": BASE, "bus": bus, "device": slack, "branch": branch})
    net = net.with_devices(
        anmjax.Load(bus=1, q_per_p=0.2, name="town"),
        anmjax.Generator(bus=2, p_mw=5.0, q_max_mvar=2 * NARROW, name="a"),
        anmjax.Generator(bus=2, p_mw=5.0, q_max_mvar=NARROW, name="b"),
        anmjax.Renewable(bus=2, p_mw=1.0, q_max_mvar=1.0, name="park"),
        anmjax.Storage(bus=2, p_mw=2.0, capacity_mwh=8.0, q_max_mvar=1.0, name="battery"),
    )
    return net.replace(pv=(2,), v_set=np.array([1.0, 1.0, V_SET]))


def task_of(network: anmjax.Network, **options: object) -> anmjax.GridTask:
    series = {
        "town": np.full(24, 3.0),
        "a": np.full(24, 5.0),
        "b": np.full(24, 5.0),
        "park": np.full(24, 1.0),
    }
    profiles = anmjax.Profiles.from_numpy(series, network, step_hours=1.0)
    observed = [("dev_q", "all"), ("bus_v_magn", "all")]
    return anmjax.GridTask(
        network,
        profiles,
        **{"observation": observed, "tol": 1e-13, "num_iters": 12, "voltage_control": True, **options},
    )


@pytest.fixture(scope="module")
def task(network: anmjax.Network) -> anmjax.GridTask:
    return task_of(network)


# P of a, b, park; Q of them; P, Q of the battery: MW, MVAr, away from the devices' own limits, where there is
# no derivative. The first takes little Q, the second less than the least, the third more than the largest.
ACTIONS = np.array(
    [
        [3.5, 3.0, 0.2, 0.0, 0.0, 0.0, 0.3, 0.0],
        [4.9, 4.9, 0.5, 0.0, 0.0, 0.3, 1.5, 0.2],
        [0.1, 0.1, 0.2, 0.0, 0.0, 0.0, -1.0, 0.0],
    ]
)
A, B, PARK, BATTERY = 2, 3, 4, 5


@pytest.fixture(scope="module")
def steps(task: anmjax.GridTask):
    """States after steps of a batch of actions from the first midnight."""
    state = jax.jit(task.reset)(KEY)
    return jax.jit(jax.vmap(lambda action: task.step(state, action)))


@pytest.fixture(scope="module")
def after(steps) -> anmjax.State:
    return steps(ACTIONS)


def test_a_voltage_is_held_as_long_as_the_reactive_power_it_takes_is_there(after):
    vm = np.abs(after.grid.v[:, 2])
    # 1e-12: the largest error of a power flow is 1e-13 p.u.
    np.testing.assert_allclose(vm[0], V_SET, atol=1e-12)
    assert vm[1] > V_SET + 1e-3
    assert vm[2] < V_SET - 1e-3
    assert after.metrics["converged"].all()


def test_the_reactive_power_is_a_result_that_the_holders_share_by_their_ranges(after):
    q = np.asarray(after.grid.q) * BASE
    np.testing.assert_allclose(q[:, A], 2 * q[:, B], atol=1e-10)
    assert abs(q[0, B]) < NARROW
    np.testing.assert_allclose(q[1:, B], [-NARROW, NARROW], atol=1e-12)
    np.testing.assert_allclose(after.obs[:, : q.shape[1]], q, atol=1e-12)
    # What other devices do of Q is theirs.
    np.testing.assert_allclose(q[:, PARK], [0.0, 0.3, 0.0], atol=1e-12)
    np.testing.assert_allclose(q[:, BATTERY], [0.0, 0.2, 0.0], atol=1e-12)


def test_what_is_sent_is_what_devices_give(network, after):
    y = np.zeros((3, 3), complex)
    for k, (f, t) in enumerate(zip(network.from_bus, network.to_bus, strict=True)):
        series = 1 / (network.r[k] + 1j * network.x[k])
        y[[f, t, f, t], [f, t, t, f]] += np.array([1, 1, -1, -1]) * series
    v = np.asarray(after.grid.v)
    sent = v * np.conj(v @ y)
    s = np.zeros_like(sent)
    np.add.at(
        s,
        (slice(None), np.array(network.device_bus)),
        np.asarray(after.grid.p) + 1j * np.asarray(after.grid.q),
    )
    np.testing.assert_allclose(sent, s, atol=1e-12)


def test_the_reactive_set_points_of_holders_play_no_part(steps, after):
    actions = ACTIONS.copy()
    actions[:, 3:5] = [[9.0, -9.0], [-0.1, 0.2], [np.nan, np.inf]]
    other = steps(actions)
    for ours, theirs in zip(jax.tree.leaves(other.grid), jax.tree.leaves(after.grid), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_no_lane_depends_on_another(steps, after):
    alone = steps(ACTIONS[:1])
    np.testing.assert_allclose(alone.grid.v[0], after.grid.v[0], atol=1e-15)
    np.testing.assert_allclose(alone.grid.q[0], after.grid.q[0], atol=1e-15)


def test_without_limits_the_voltage_is_held_whatever_it_takes_and_observed_so(network):
    task = task_of(network, enforce_q_lims=False)
    state = jax.jit(task.reset)(KEY)
    after = jax.jit(jax.vmap(lambda action: task.step(state, action)))(ACTIONS)
    np.testing.assert_allclose(np.abs(after.grid.v[:, 2]), V_SET, atol=1e-12)
    assert (np.abs(after.grid.q[1:, B]) * BASE > NARROW).all()
    np.testing.assert_allclose(after.obs[:, :6], np.asarray(after.grid.q) * BASE, atol=1e-12)


@pytest.mark.long
def test_derivatives_are_those_of_difference_quotients_held_and_at_a_limit(task, after):
    state = jax.jit(task.reset)(KEY)

    def outcome(x: jax.Array) -> jax.Array:
        """Of an action and the voltage to hold: some number of all that follows."""
        net = task.network
        own = task.replace(network=net.replace(v_set=net.v_set.at[2].set(x[-1])))
        step = own.step(state, x[:-1])
        return step.reward + jnp.abs(step.grid.v).sum() + step.grid.q @ jnp.arange(1.0, 7.0)

    x = np.concatenate([ACTIONS, np.full((3, 1), V_SET)], 1)
    gradients = jax.jit(jax.vmap(jax.grad(outcome)))(x)
    assert jnp.isfinite(gradients).all()
    size = 1e-5  # MW: rounding leaves 1e-11 of a quotient, curvature 1e-9
    each = size * np.eye(9)
    points = np.concatenate([x[:, None] + each, x[:, None] - each], 1)
    values = jax.jit(jax.vmap(jax.vmap(outcome)))(points)
    quotients = (values[:, :9] - values[:, 9:]) / (2 * size)
    np.testing.assert_allclose(gradients, quotients, atol=1e-6)
    # Q of holders moves nothing, the voltage to hold moves what is held and nothing at a limit.
    np.testing.assert_array_equal(gradients[:, 3:5], 0)
    assert abs(gradients[0, -1]) > 1
    np.testing.assert_array_equal(gradients[1:, -1], 0)


def test_limits_are_enforced_as_pandapower_enforces_them():
    net = small_net()
    pp.create_gen(net, 5, p_mw=0.7, vm_pu=1.05, min_q_mvar=-0.1, max_q_mvar=0.1, max_p_mw=1.0)
    pp.create_gen(net, 12, p_mw=0.4, vm_pu=1.01, min_q_mvar=-9.0, max_q_mvar=9.0, max_p_mw=1.0)
    task, after = idle(net)
    as_nothing_is_done(net)
    solve(net, enforce_q_lims=True)
    gens = [task.network.device_labels.index(f"gen {k}") for k in net.gen.index]
    # pandapower stops at 1e-10 MVA a bus, on 2 MVA.
    np.testing.assert_allclose(after.grid.q[np.array(gens)] * 2, net.res_gen.q_mvar, atol=1e-8)
    np.testing.assert_allclose(after.grid.q[gens[0]] * 2, 0.1, atol=1e-12)
    index = anmjax.pandapower_bus_index(net)
    ours = np.abs(after.grid.v)[np.array([index[bus] for bus in net.bus.index])]
    np.testing.assert_allclose(ours, net.res_bus.vm_pu, atol=1e-8)


def test_a_network_without_pv_buses_has_the_same_program_as_ever(network):
    plain = replace(network, pv=())
    programs = []
    for options in ({"voltage_control": True}, {"voltage_control": False}):
        task = task_of(plain, **options)
        state = jax.eval_shape(task.reset, KEY)
        programs.append(str(jax.make_jaxpr(task.step)(state, jax.ShapeDtypeStruct((8,), float))))
    assert programs[0] == programs[1]


@pytest.mark.parametrize("name", ["voltage_control", "enforce_q_lims"])
def test_what_is_neither_true_nor_false_is_refused(network, name):
    with pytest.raises(ValueError, match=f"{name} is 'limited', but must be True or False"):
        task_of(network, **{name: "limited"})
