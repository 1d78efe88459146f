"""What reset, reset_to and step do, in which order, and what a collapse leaves behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax import State
from tests.envs.samples import (
    CLASSICAL,
    COLLAPSE_MW,
    NETWORK,
    RENEWABLE,
    STORAGE,
    Feeder,
    branch_ends,
    bus_admittance,
    bus_injections,
    start,
)

KEY = jax.random.key(0)
IDLE = jnp.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0])  # P of PV and generator, Q of them, P and Q of storage
FULL_BOX = jnp.array([8.0, 5.0, 4.0, 3.0, 4.0, 3.0])
ENV = Feeder()


@jax.jit
def reset_to(vector: jax.Array) -> State:
    return ENV.reset_to(KEY, vector)


@jax.jit
@jax.vmap
def reset(collapse_share: jax.Array, key: jax.Array) -> State:
    return ENV.replace(collapse_share=collapse_share).reset(key)


@jax.jit
def step(state: State, action: jax.Array, noise: Any = 0.0) -> State:
    return ENV.replace(noise=jnp.asarray(noise, float)).step(state, action)


def soc_mwh(state: State) -> float:
    return 10 * float(state.grid.soc[0])


def test_a_step_takes_the_exogenous_variables_of_its_end() -> None:
    before = reset_to(start(demand=-5.0, potential=2.0))
    before = replace(before, aux=jnp.array([23.0, -7.0, 3.0]))
    after = step(before, FULL_BOX)
    # Demand and potential are the new ones, and the potential limits the same step's action.
    np.testing.assert_allclose(10 * after.grid.p[1:4], [-7.0, 3.0, 5.0], rtol=1e-14)
    np.testing.assert_allclose(10 * after.grid.p_potential, [3.0, 5.0], rtol=1e-14)
    np.testing.assert_allclose(10 * after.grid.q[1], -1.4, rtol=1e-14)
    np.testing.assert_array_equal(after.aux, [0.0, -7.0, 3.0])
    assert int(after.t) == 1


def test_the_randomness_of_a_step_is_the_key_folded_with_the_time() -> None:
    first = reset_to(start())
    states = [first, step(first, IDLE, 1.0)]
    states.append(step(states[1], IDLE, 1.0))
    for t in (0, 1):
        assert jnp.array_equal(states[t + 1].key, first.key)
        drawn = ENV.replace(noise=jnp.array(1.0)).next_vars(
            jax.random.fold_in(first.key, t), ENV.state_vector(states[t].grid, states[t].aux)
        )
        np.testing.assert_allclose(10 * states[t + 1].grid.p[1], drawn[0], rtol=1e-14)
    assert states[1].grid.p[1] != states[2].grid.p[1]


@pytest.mark.parametrize(("power", "charge"), [(4.0, 1.0), (-4.0, 8.0), (0.0, 3.0), (2.5, 8.0)])
def test_a_start_has_its_storage_power_whatever_its_charge(power: float, charge: float) -> None:
    # Discharging when empty, charging when full: possible at a start alone.
    state = reset_to(start(storage=power, soc=charge))
    assert not state.terminated
    assert 10 * float(state.grid.p[STORAGE]) == pytest.approx(power, rel=1e-14)
    assert soc_mwh(state) == pytest.approx(charge, rel=1e-14)
    assert (int(state.t), float(state.reward)) == (0, 0.0)


def test_a_start_projects_its_injections() -> None:
    vector = start(demand=3.0, potential=20.0).at[np.array([RENEWABLE, CLASSICAL])].set(jnp.array([9.0, 0.1]))
    state = reset_to(vector)
    # Demand at most 0; potential at most PMAX 8, PV with it; the generator at least PMIN 0.5.
    np.testing.assert_allclose(10 * state.grid.p[1:4], [0.0, 8.0, 0.5], rtol=1e-14)
    np.testing.assert_allclose(10 * state.grid.p_potential, [8.0, 5.0], rtol=1e-14)


@pytest.mark.parametrize(
    ("charge", "wanted", "power", "left"),
    [
        (4.0, -2.0, -2.0, 4.0 + 0.5 * 0.9 * 2.0),
        (4.0, 2.0, 2.0, 4.0 - 0.5 * 2.0 / 0.9),
        (8.0, -4.0, 0.0, 8.0),
        (1.0, 4.0, 0.0, 1.0),
        (1.9, 4.0, 0.9 * 0.9 / 0.5, 1.0),
        (7.1, -4.0, -0.9 / (0.5 * 0.9), 8.0),
    ],
)
def test_storage_moves_as_far_as_its_charge_allows(
    charge: float, wanted: float, power: float, left: float
) -> None:
    state = step(reset_to(start(soc=charge)), IDLE.at[4].set(wanted))
    assert 10 * float(state.grid.p[STORAGE]) == pytest.approx(power, rel=1e-13, abs=1e-14)
    assert soc_mwh(state) == pytest.approx(left, rel=1e-14)


def test_reward_and_metrics_follow_their_formulas() -> None:
    seen = set()
    for demand, action in [(-5.0, IDLE), (-18.0, IDLE), (-30.0, FULL_BOX), (0.0, FULL_BOX), (-1.0, 0 * IDLE)]:
        state = step(reset_to(start(demand=demand, potential=8.0)), action)
        net, grid = ENV.network, state.grid
        vm, flow = np.abs(grid.v), np.maximum(*np.abs(branch_ends(net, np.asarray(grid.v))))
        voltage = (np.maximum(0, vm - net.v_max) + np.maximum(0, net.v_min - vm)).sum()
        branch = np.maximum(0, flow - net.rating).sum()
        curtailment = max(0.0, float(grid.p_potential[0] - grid.p[RENEWABLE]))
        energy = 0.5 * (float(grid.p.sum() - grid.p[STORAGE]) + curtailment)
        penalty = 0.5 * 50 * (voltage + branch)
        expected = {
            "e_loss": np.clip(energy, -0.3, 0.3),
            "penalty": min(penalty, 20),
            "voltage_violation": voltage,
            "branch_violation": branch,
            "curtailment": curtailment,
        }
        for name, value in expected.items():
            np.testing.assert_allclose(state.metrics[name], value, rtol=1e-12, atol=1e-14, err_msg=name)
        np.testing.assert_allclose(state.reward, -expected["e_loss"] - expected["penalty"], rtol=1e-12)
        assert state.metrics["converged"]
        assert state.metrics["mismatch"] == grid.mismatch <= 1e-5  # p.u., the default tolerance
        seen |= {name for name, value in expected.items() if value > 0}
        seen |= {"clipped loss"} if abs(energy) > 0.3 else set()
        seen |= {"clipped penalty"} if penalty > 20 else set()
    # The cases cover every term and both clippings.
    assert seen == {*expected, "clipped loss", "clipped penalty"}


def test_the_power_flow_balances_at_every_bus() -> None:
    state = step(reset_to(start(demand=-12.0)), FULL_BOX)
    v = np.asarray(state.grid.v)
    sent = v * np.conj(bus_admittance(ENV.network) @ v)
    # The default tolerance of the power flow, p.u.
    np.testing.assert_allclose(bus_injections(ENV.network, state.grid), sent, rtol=0, atol=1e-5)


def test_a_collapse_ends_the_episode_and_nothing_moves_afterwards() -> None:
    state = replace(reset_to(start()), aux=jnp.array([5.0, COLLAPSE_MW, 1.0]))
    end = step(state, IDLE)
    assert end.terminated
    assert not end.truncated
    assert float(end.reward) == pytest.approx(-20 / (1 - 0.9))
    np.testing.assert_array_equal(end.obs, np.zeros(16))
    np.testing.assert_array_equal(ENV.state_vector(end.grid, end.aux), np.zeros(16))
    np.testing.assert_array_equal(end.grid.v, np.ones(4))
    assert not end.grid.converged
    assert not end.metrics["converged"]
    # The clipped costs, as gym-anm reports them.
    assert (float(end.metrics["e_loss"]), float(end.metrics["penalty"])) == (0.3, 20.0)

    later = step(end, FULL_BOX)
    assert later.terminated
    assert float(later.reward) == 0
    assert int(later.t) == 2
    assert all(float(value) == 0 for value in later.metrics.values())
    keep = {"t": 0, "reward": 0.0, "metrics": {}, "costs": 0.0, "key": None}
    jax.tree.map(np.testing.assert_array_equal, replace(later, **keep), replace(end, **keep))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(replace(later, key=None)))


def test_a_collapse_without_clipping_costs_infinity_and_no_nan() -> None:
    env = Feeder(costs_clipping=None)
    end = jax.jit(env.step)(replace(reset_to(start()), aux=jnp.array([5.0, COLLAPSE_MW, 1.0])), IDLE)
    assert float(end.reward) == -np.inf
    leaves = jax.tree.leaves(replace(end, key=None))
    assert not any(np.isnan(leaf).any() for leaf in leaves)


def test_a_start_that_collapses_is_returned_terminated() -> None:
    state = reset_to(start(demand=COLLAPSE_MW))
    assert state.terminated
    assert not state.metrics["converged"]
    assert float(state.reward) == 0
    np.testing.assert_array_equal(state.obs, np.zeros(16))


def test_reset_draws_until_the_power_flow_has_a_solution() -> None:
    keys = jax.random.split(KEY, 64)
    # Four of five draws collapse: 100 in vain have probability 2e-10.
    states = reset(jnp.full(64, 0.8), keys)
    assert states.grid.converged.all()
    assert states.metrics["converged"].all()
    assert not states.terminated.any()
    demand = 10 * np.asarray(states.grid.p[:, 1])
    assert (demand > -8).all()
    assert len(np.unique(demand)) == 64
    # Half-way down the range, as the draws that do not collapse are.
    assert demand.mean() == pytest.approx(-4, abs=4 * 8 / np.sqrt(12 * 64))
    again = reset(jnp.full(64, 0.8), keys)
    np.testing.assert_array_equal(states.obs, again.obs)


def test_a_reset_in_vain_is_returned_terminated() -> None:
    states = reset(jnp.array([1.0, 0.0]), jax.random.split(KEY, 2))
    np.testing.assert_array_equal(states.terminated, [True, False])
    np.testing.assert_array_equal(states.metrics["converged"], [False, True])
    np.testing.assert_array_equal(states.obs[0], np.zeros(16))
    assert (states.obs[1] != 0).any()


def test_reset_and_step_return_the_same_structure() -> None:
    for dtype, pair in ((jnp.float32, jnp.complex64), (jnp.float64, jnp.complex128)):
        env = Feeder(dtype=dtype)
        after_reset = jax.eval_shape(env.reset, KEY)
        after_start = jax.eval_shape(env.reset_to, KEY, start())
        after_step = jax.eval_shape(env.step, after_reset, IDLE.astype(dtype))
        assert after_reset == after_start == after_step
        violations = {"voltage_violation", "branch_violation", "curtailment"}
        assert (
            set(after_step.metrics)
            == {"e_loss", "penalty", "mismatch", "converged", "action_finite"} | violations
        )
        # Strict promotion is on: nothing is raised to float64 on the way either.
        floats = {
            leaf.dtype for leaf in jax.tree.leaves(after_step) if jnp.issubdtype(leaf.dtype, jnp.inexact)
        }
        assert floats == {jnp.dtype(dtype), jnp.dtype(pair)}


QUANTITIES = [
    ("bus_p", "MW", "pu"), ("bus_q", "MVAr", "pu"), ("bus_v_magn", "kV", "pu"),
    ("bus_v_ang", "degree", "rad"), ("bus_i_magn", "kA", "pu"), ("bus_i_ang", "degree", "rad"),
    ("dev_p", "MW", "pu"), ("dev_q", "MVAr", "pu"), ("des_soc", "MWh", "pu"), ("gen_p_max", "MW", "pu"),
    ("branch_p", "MW", "pu"), ("branch_q", "MVAr", "pu"), ("branch_s", "MVA", "pu"),
    ("branch_i_ang", "degree", "rad"),
]  # fmt: skip


def test_every_quantity_is_observed_in_each_of_its_units_and_clipped_to_its_bounds() -> None:
    entries = [(name, "all", unit) for name, *units in QUANTITIES for unit in units]
    entries += [("branch_i_magn", "all"), ("branch_p", [(3, 0), (0, 1)]), ("dev_p", [4, 1]), ("aux", "all")]
    env = Feeder(entries, aux_bounds=[[0, 23], [-3, 0], [0, 5]])
    state = jax.jit(env.reset_to)(KEY, start(demand=-12.0, storage=2.0))
    net, grid = env.network, jax.tree.map(np.asarray, state.grid)
    base_kv = np.array([33, 33, 11, 33])
    s_bus, v = bus_injections(net, grid), grid.v
    s_bus[0] = (v * np.conj(bus_admittance(net) @ v))[0]
    i_bus = bus_admittance(net) @ v
    s_from, s_to = branch_ends(net, v)
    i_from = np.conj(s_from / v[np.array(net.from_bus)])
    larger = np.sign(s_from.real) * np.maximum(abs(s_from), abs(s_to))
    kilo_ampere = 10 / (np.sqrt(3) * base_kv)
    expected = [
        *(10 * s_bus.real, s_bus.real, 10 * s_bus.imag, s_bus.imag),
        *(base_kv * abs(v), abs(v), np.degrees(np.angle(v)), np.angle(v)),
        *(kilo_ampere * abs(i_bus), abs(i_bus), np.degrees(np.angle(i_bus)), np.angle(i_bus)),
        *(10 * grid.p, grid.p, 10 * grid.q, grid.q, 10 * grid.soc, grid.soc),
        *(10 * grid.p_potential, grid.p_potential),
        *(10 * s_from.real, s_from.real, 10 * s_from.imag, s_from.imag, 10 * larger, larger),
        *(np.degrees(np.angle(i_from)), np.angle(i_from), np.sign(i_from.real) * abs(i_from)),
        *(10 * s_from.real[[3, 0]], 10 * grid.p[[4, 1]], [0, -3, 5]),
    ]
    # Injections are known to the power flow's tolerance, 1e-5 p.u.; the rest is the same arithmetic.
    np.testing.assert_allclose(state.obs, np.concatenate(expected), rtol=0, atol=2e-4)
    assert env.observation_space.contains(state.obs)


def test_observation_bounds_are_right_where_gym_anm_errs() -> None:
    env = Feeder([("gen_p_max", "all"), ("dev_p", [1]), ("bus_v_magn", [0, 1])], aux_bounds=[[0, 23]] * 3)
    low, high = env.observation_space.low, env.observation_space.high
    np.testing.assert_allclose(high, [8, 5, 0, 1, np.inf], rtol=1e-15)
    np.testing.assert_allclose(low, [0, 0.5, -500, 1, -np.inf], rtol=1e-15)
    aux = Feeder([("aux", "all")]).observation_space
    np.testing.assert_array_equal(aux.low, [-np.inf] * 3)
    np.testing.assert_array_equal(aux.high, [np.inf] * 3)
    aux = Feeder([("aux", [2, 0])], aux_bounds=[[0, 23], [-1, 1], [3, 4]]).observation_space
    np.testing.assert_array_equal([aux.low, aux.high], [[3, 0], [4, 23]])


def test_a_callable_observes_the_state_vector() -> None:
    env = Feeder(lambda s: jnp.stack([s[-1], s[1] ** 2]))
    assert env.observation_space.shape == (2,)
    assert np.isinf(env.observation_space.high).all()
    state = jax.jit(env.reset_to)(KEY, start(demand=-3.0, potential=7.0))
    np.testing.assert_allclose(state.obs, [7.0, 9.0], rtol=1e-14)
    assert jax.eval_shape(env.step, state, IDLE).obs.shape == (2,)


def test_gym_anm_names_are_there_for_ported_tasks() -> None:
    simulator = ENV.simulator
    counts = (simulator.N_bus, simulator.N_device, simulator.N_load, simulator.N_non_slack_gen)
    assert counts == (4, 5, 1, 2)
    assert (simulator.N_des, simulator.N_gen_rer, float(simulator.baseMVA)) == (1, 1, 10.0)
    unit = simulator.devices[4]
    assert (unit.dev_id, unit.type) == (4, 3)
    np.testing.assert_allclose([unit.soc_max, unit.soc_min, unit.eff, unit.q_min], [0.8, 0.1, 0.9, -0.3])
    assert float(simulator.devices[1].qp_ratio) == NETWORK["device"][1][3]
