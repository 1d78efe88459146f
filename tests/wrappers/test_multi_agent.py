"""MultiAgent: the agents' actions together are the task's, and each sees its own devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax


@pytest.fixture(scope="module")
def env() -> anmjax.ANMEnv:
    return anmjax.make("ANM6Easy-v0")


@pytest.mark.long
def test_actions_of_all_agents_are_the_action_of_the_task(env: anmjax.ANMEnv) -> None:
    agents = anmjax.MultiAgent(env)
    assert agents.agents == ("device_2", "device_4", "device_6")
    # The task's action: P of 2 and 4, Q of 2 and 4, P of 6, Q of 6.
    actions = {
        "device_6": jnp.array([5.0, 6.0]),
        "device_2": jnp.array([1.0, 3.0]),
        "device_4": jnp.array([2.0, 4.0]),
    }
    np.testing.assert_array_equal(agents.joined(actions), [1, 2, 3, 4, 5, 6])
    state = agents.reset(jax.random.key(0))
    after = jax.jit(agents.step)(state, actions)
    alone = jax.jit(env.step)(state, jnp.arange(1.0, 7.0))
    np.testing.assert_allclose(after.obs, alone.obs, rtol=1e-12)
    low = agents.action_spaces["device_6"].low
    np.testing.assert_array_equal(low, env.action_space.low[jnp.array([4, 5])])

    seen = agents.observations(after)
    # P, Q, charge, |V| at its bus, time: of the state vector P 0..6, Q 7..13, charge 14, potentials 15, 16.
    bus = env.network.device_bus[6]
    expected = [after.obs[6], after.obs[13], after.obs[14], abs(after.grid.v[bus]), after.obs[17]]
    np.testing.assert_allclose(seen["device_6"], expected, rtol=1e-12)
    np.testing.assert_allclose(seen["device_4"][2], after.obs[16], rtol=1e-12)
    for name, space in agents.observation_spaces.items():
        assert bool(space.contains(seen[name]))


def test_an_agent_of_a_bus_has_all_devices_there() -> None:
    env = anmjax.make("IEEE33Easy-v0")
    agents = anmjax.MultiAgent(env, by="bus")
    # PV and storage stand at bus 32: one agent with four components; seven devices, six agents.
    assert len(agents.agents) == 6
    assert agents.action_spaces["bus_32"].shape == (4,)
    assert sum(space.shape[0] for space in agents.action_spaces.values()) == 14


def test_what_is_wrong_is_named(env: anmjax.ANMEnv) -> None:
    with pytest.raises(ValueError, match="by is 'zone'"):
        anmjax.MultiAgent(env, by="zone")
    agents = anmjax.MultiAgent(env)
    with pytest.raises(ValueError, match="device_4"):
        agents.joined({"device_2": jnp.zeros(2), "device_6": jnp.zeros(2)})
    with pytest.raises(ValueError, match=r"device_2 has shape \(3,\)"):
        agents.joined({name: jnp.zeros(3 if name == "device_2" else 2) for name in agents.agents})
