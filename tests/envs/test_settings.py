"""Tap changers, shunts and switches: a network that is set equals one that was built so."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax import Network, NetworkError, Shunt, Switch, TapChanger
from anmjax.agents.baselines import do_nothing_policy, mpc_constant_policy
from anmjax.grid.settings import branches_out
from anmjax.projection.control_layout import ControlLayout
from anmjax.projection.settings import reachable_settings, settled
from tests.envs.samples import NETWORK, Feeder, start

NET = Network.from_dict(NETWORK)
SET = NET.with_devices(
    TapChanger(1, tap_min=0.9, tap_max=1.1, step=0.0125),
    Shunt(2, q_mvar=2.0, step_mvar=0.5),
    Switch(3, name="ring"),
    TapChanger(0),
    Switch(0, name="supply"),
)
NOMINAL = [0.98, 0, 1, 1, 1]
FIRST = 6  # P and Q of two generators and a storage unit
POWERS = jnp.array([3.0, 2.0, 1.0, 0.5, -1.0, 0.2])


def feeder(net: Network, **options: Any) -> Feeder:
    return Feeder(**options).replace(network=jax.tree.map(jnp.asarray, net))


@pytest.fixture(scope="module")
def env() -> Feeder:
    return feeder(SET)


@pytest.fixture(scope="module")
def begun(env: Feeder) -> anmjax.State:
    return jax.jit(env.reset_to)(jax.random.key(0), start())


@pytest.fixture(scope="module")
def step(env: Feeder) -> Any:
    return jax.jit(jax.vmap(env.step, in_axes=(None, 0)))


def actions(*settings: list[float]) -> jax.Array:
    return jnp.stack([jnp.concatenate([POWERS, jnp.array(one, float)]) for one in settings])


def test_a_network_that_is_set_is_one_that_was_built_so(step: Any, begun: anmjax.State) -> None:
    asked = actions(
        [0.985, 0.0, 1.0, 1.0, 1.0],
        [0.951, 1.1, 0.2, 1.037, 0.9],
        [np.nan] * 5,
        [9.0, np.inf, 1.0, -np.inf, 5.0],
    )
    after = step(begun, asked)
    # Positions of the tap are counted from 0.98. NaN: as in the case.
    expected = [[0.98, 0, 1, 1, 1], [0.955, 0.1, 0, 1.037, 1], [0.98, 0, 1, 1, 1], [1.1, 0.2, 1, 0.9, 1]]
    np.testing.assert_allclose(after.grid.settings, expected, rtol=1e-10)
    begun = begun.replace(grid=begun.grid.replace(settings=None))  # the start is made with the case's network
    alone = jax.jit(lambda net: feeder(net).step(begun, POWERS))
    for lane, (tap, shunt, ring, supply_tap, _) in enumerate(expected):
        built = NET.replace(
            tap=np.array([supply_tap, tap, 1, 1]),
            in_service=np.array([1.0, 1, 1, ring]),
            b_shunt=np.array([0, 0, shunt, 0.0]),
        )
        one, other = jax.tree.map(lambda x, lane=lane: x[lane], after), alone(built)
        np.testing.assert_allclose(one.grid.v, other.grid.v, rtol=1e-11)
        np.testing.assert_allclose(one.reward, other.reward, rtol=1e-10)
        np.testing.assert_allclose(one.costs, other.costs, rtol=1e-9, atol=1e-10)


def test_a_tap_up_lowers_the_voltage_behind_it_and_a_capacitor_lifts_it(
    step: Any, begun: anmjax.State
) -> None:
    asked = [[0.95, 0, 1, 1, 1], [1.05, 0, 1, 1, 1], [0.95, 2, 1, 1, 1], NOMINAL]
    low, high, capacitor, _ = step(begun, actions(*asked)).grid.v
    assert abs(high[2]) < abs(low[2]) < abs(capacitor[2])


def test_an_island_is_a_collapse(step: Any, begun: anmjax.State) -> None:
    after = step(begun, actions([1, 0, 0, 1, 0], [1, 0, 1, 1, 0], [1, 0, 0, 1, 1], NOMINAL))
    np.testing.assert_array_equal(after.terminated, [True, False, False, False])
    assert np.isfinite(after.obs).all()


@pytest.mark.long
def test_gradients_go_through_positions_as_if_there_were_none(begun: anmjax.State) -> None:
    settings = [0.951, 1.1, 1.0, 1.037, 1.0]
    smooth = feeder(
        NET.with_devices(
            TapChanger(1), Shunt(2, 2.0), Switch(3, rounded=False), TapChanger(0), Switch(0, rounded=False)
        )
    )

    def reward(env: Feeder) -> Any:
        return jax.jit(lambda action: env.step(begun, action).grid.v.real.sum())

    at = actions([0.955, 1.0, 1.0, 1.037, 1.0])[0]
    rounded = jax.grad(reward(feeder(SET)))(actions(settings)[0])
    np.testing.assert_allclose(rounded[:-3], jax.grad(reward(smooth))(at)[:-3], rtol=1e-9)
    for k, width in ((FIRST, 1e-5), (FIRST + 1, 1e-4), (FIRST + 3, 1e-5)):
        own = reward(smooth)
        slope = (own(at.at[k].add(width)) - own(at.at[k].add(-width))) / (2 * width)
        np.testing.assert_allclose(rounded[k], slope, rtol=1e-5)


def test_doing_nothing_is_to_leave_them_as_in_the_case(env: Feeder) -> None:
    np.testing.assert_allclose(do_nothing_policy(env).action[FIRST:], NOMINAL)


@pytest.mark.slow
def test_planners_leave_them_as_in_the_case(env: Feeder, begun: anmjax.State) -> None:
    np.testing.assert_allclose(mpc_constant_policy(env).act(jax.random.key(0), begun)[FIRST:], NOMINAL)


@pytest.mark.slow
def test_the_safety_layer_knows_the_network_as_it_is_set(env: Feeder, begun: anmjax.State) -> None:
    asked = actions([1.1, 0.0, 0.0, 1.0, 1.0])[0]
    safe = jax.jit(lambda action: anmjax.project_safe(env.network, begun.grid, action, delta_t=0.5))
    built = NET.replace(tap=np.array([1, 1.1, 1, 1]), in_service=np.array([1.0, 1, 1, 0]))
    alone = anmjax.project_safe(built, begun.grid, POWERS, delta_t=0.5)
    np.testing.assert_allclose(safe(asked).action[:FIRST], alone.action, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(safe(asked).action[FIRST:], asked[FIRST:])


def test_the_end_of_an_action_are_the_settings(env: Feeder) -> None:
    layout = ControlLayout.of(env.network)
    assert layout.names[FIRST:] == ("tap_changer_1", "shunt_2", "ring", "tap_changer_0", "supply")
    np.testing.assert_allclose(env.action_space.low[FIRST:], [0.9, 0, 0, 0.9, 0])
    # Of a switch the case's position is in the middle: closed, as from 1 on.
    np.testing.assert_allclose(env.action_space.high[FIRST:], [1.1, 2, 2, 1.1, 2])


def test_agents_may_own_settings(env: Feeder, begun: anmjax.State) -> None:
    by_bus = anmjax.MultiAgent(env, by="bus")
    assert by_bus.agents == ("bus_0", "bus_1", "bus_2", "bus_3")
    # The taps and switches of branches from bus 0 and 1 and 3, the shunt at 2 beside the generator there.
    assert {name: box.shape[0] for name, box in by_bus.action_spaces.items()} == {
        "bus_0": 2,
        "bus_1": 1,
        "bus_2": 3,
        "bus_3": 5,
    }
    parts = {"field": [2, "shunt_2", "tap_changer_1"], "rest": [3, 4, "ring", "tap_changer_0", "supply"]}
    agents = anmjax.MultiAgent(env, by=parts)
    asked = {"field": jnp.array([1.0, 2.0, 3.0, 4.0]), "rest": jnp.arange(10.0, 17.0)}
    np.testing.assert_array_equal(agents.joined(asked), [1, 10, 2, 11, 12, 13, 3, 4, 14, 15, 16])
    assert agents.observations(begun)["rest"].shape == agents.observation_spaces["rest"].shape
    with pytest.raises(ValueError, match="'ring' is of 'a' and of 'b'"):
        anmjax.MultiAgent(env, by={"a": [2, "ring"], "b": ["ring"]})
    with pytest.raises(ValueError, match="is controlled and of no agent"):
        anmjax.MultiAgent(env, by={"a": [2, 3, 4]})
    with pytest.raises(ValueError, match="'load 1', which is not controlled"):
        anmjax.MultiAgent(env, by={"a": ["load 1"]})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TapChanger(0, tap_min=1.1, tap_max=0.9), "tap_max is 0.9, must be >= tap_min 1.1"),
        (lambda: TapChanger(0, tap_min=0), "tap_min is 0, must be a number > 0"),
        (lambda: TapChanger(0, step=-1), "step is -1, must be a number >= 0"),
        (lambda: TapChanger(None), "branch is None, must be the row or the name of a branch"),  # type: ignore[arg-type]
        (lambda: Shunt(1, q_mvar=np.nan), "q_mvar is nan, must be a finite number"),
        (lambda: Switch(0, rounded=2), "rounded is 2, must be True or False"),  # type: ignore[arg-type]
        (lambda: NET.with_devices(TapChanger(9)), "branch is 9, must be the row or the name of a branch"),
        (
            lambda: NET.with_devices(Shunt("nowhere", 1.0)),
            "bus is 'nowhere', must be the id or the name of a bus",
        ),
        (lambda: NET.with_devices(Switch(0), Switch(0)), "branch is 0, must be one without a Switch"),
        (lambda: NET.with_devices(TapChanger(1, tap_min=1.0)), "whose ratio in the case, 0.98, is within"),
        (lambda: NET.with_devices(Switch(0, name="load 1")), "name is 'load 1'"),
        (lambda: SET.with_devices(anmjax.Load(1, name="ring")), "name is 'ring'"),
        (
            lambda: SET.with_devices(Shunt(1, 1.0, name="ring")),
            "name is 'ring', must be a name of no other device",
        ),
    ],
)
def test_faults_name_what_is_wrong(build: Any, message: str) -> None:
    with pytest.raises(NetworkError) as caught:
        build()
    assert message in str(caught.value)


def test_settings_are_taken_away_by_name() -> None:
    left = SET.without_devices("ring", "tap_changer_0", 4)
    assert left.settings is not None
    assert left.settings.names == ("tap_changer_1", "shunt_2", "supply")
    np.testing.assert_array_equal(left.settings.high, SET.settings.high[[0, 1, 4]])
    assert 4 not in left.device_ids
    assert SET.without_devices(*SET.settings.names).settings is None


def test_no_switch_closes_a_branch_that_is_out(env: Feeder) -> None:
    drawn = anmjax.randomise(env, jax.random.key(1), outage=1.0).network
    by_hand = [SET.replace(**branches_out(SET, (np.arange(4) != row).astype(float))) for row in range(4)]
    for net in (drawn, *by_hand):
        (out,) = np.flatnonzero(np.asarray(net.in_service) == 0)
        found = reachable_settings(jax.tree.map(jnp.asarray, net), jnp.array([0.98, 0, 1, 1, 1.0]))
        np.testing.assert_array_equal(found, [0.98, 0, out != 3, 1, out != 0])


def test_a_gym_anm_dict_has_no_place_for_them() -> None:
    with pytest.raises(ValueError, match="tap changers, shunts or switches"):
        SET.to_dict()


def test_taps_of_pandapower() -> None:
    import pandapower as pp

    source = pp.create_empty_network(sn_mva=1)
    buses = [pp.create_bus(source, kv) for kv in (20, 0.4)]
    pp.create_ext_grid(source, buses[0])
    pp.create_transformer(source, *buses, "0.25 MVA 20/0.4 kV")
    pp.create_load(source, buses[1], 0.15, 0.05)
    case = Network.from_pandapower(source)
    net = case.with_devices(TapChanger(0, 0.9, 1.1))
    for position in (-2, 0, 1):
        source.trafo["tap_pos"] = position
        # The ratio that the import makes of a position is what a controller would set.
        ratio = Network.from_pandapower(source).tap
        flow = anmjax.power_flow(settled(net, jnp.asarray(ratio)), case.p, case.q, init="dc", tol=1e-10)
        pp.runpp(source, calculate_voltage_angles=True, tolerance_mva=1e-10)
        np.testing.assert_allclose(abs(flow.v), source.res_bus.vm_pu, rtol=1e-9)
