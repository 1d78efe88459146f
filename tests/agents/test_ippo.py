"""Independent PPO: agents see and own what is theirs, their losses are PPO's, and they learn."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax.agents.errors import CannotLearnError
from anmjax.agents.evaluation import evaluate, starts_of
from anmjax.agents.ippo import IPPO, IPPOConfig
from anmjax.agents.ppo.loss import Batch, ppo_loss
from anmjax.agents.ppo.network import log_prob
from anmjax.agents.training.lanes import Lanes
from anmjax.agents.training.loop import train

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def env() -> anmjax.ANMEnv:
    return anmjax.make("ANM6Easy-v0")


def test_agents_see_what_is_of_their_devices_and_the_time(env: anmjax.ANMEnv) -> None:
    # The state vector: P 0..6, Q 7..13, charge of 6 (14), potentials of 2 and 4 (15, 16), time (17).
    views = {name: rows.tolist() for name, rows in anmjax.MultiAgent(env).views.items()}
    assert views == {"device_2": [2, 9, 15, 17], "device_4": [4, 11, 16, 17], "device_6": [6, 13, 14, 17]}
    with pytest.raises(ValueError, match="the task's observation is a function"):
        _ = anmjax.MultiAgent(env.replace(_observed=lambda x: x)).views


@pytest.mark.slow
def test_nothing_of_an_agent_depends_on_what_it_does_not_see(env: anmjax.ANMEnv) -> None:
    policy = IPPO.initial_policy(KEY, env, IPPOConfig(hidden_sizes=(8,)))
    obs = jnp.full(18, 0.3)

    @jax.jit
    def slopes(obs: jax.Array) -> Any:
        return jax.jacobian(lambda o: policy(KEY, o))(obs), jax.jacobian(policy.value)(obs)

    action, (slope, values) = policy(KEY, obs), slopes(obs)
    assert action.shape == (6,)
    assert values.shape == (3, 18)
    # P of 2, 4; Q of 2, 4; P, Q of 6. The time is a cycle, whose slope is not 0.
    seen = {0: [2, 9, 15, 17], 1: [4, 11, 16, 17], 2: [6, 13, 14, 17]}
    for component, agent in enumerate([0, 1, 0, 1, 2, 2]):
        np.testing.assert_array_equal(np.flatnonzero(slope[component]), seen[agent])
    for agent, rows in seen.items():
        np.testing.assert_array_equal(np.flatnonzero(values[agent]), rows)


def test_the_loss_is_the_mean_of_the_losses_of_all_agents() -> None:
    rng = np.random.default_rng(0)
    owned, n = ((0, 2), (1,), (3, 4)), 50
    config = IPPOConfig(normalize_advantages=False, mean_coefficient=0.0, entropy_coefficient=0.0)
    mean, sample = (jnp.asarray(rng.normal(size=(n, 5))) for _ in range(2))
    log_std, value = jnp.asarray(rng.normal(size=5) / 5), jnp.asarray(rng.normal(size=(n, 3)))
    advantage, target = (jnp.asarray(rng.normal(size=(n, 3))) for _ in range(2))
    old = log_prob(mean, log_std, sample, owned) + jnp.asarray(0.3 * rng.normal(size=(n, 3)))
    batch = Batch(jnp.zeros((n, 1)), sample, old, value, advantage, target)
    together, _ = ppo_loss({}, lambda *_: (mean, log_std, value), batch, config, Lanes(None), owned)
    alone = []
    for k, own in enumerate(owned):
        at = np.array(own)
        part = Batch(jnp.zeros((n, 1)), sample[:, at], *(x[:, k] for x in (old, value, advantage, target)))
        of_one = mean[:, at], log_std[at], value[:, k]
        alone.append(ppo_loss({}, lambda *_, of_one=of_one: of_one, part, config, Lanes(None))[0])
    np.testing.assert_allclose(together, np.mean(alone), rtol=1e-12)


def test_an_environment_without_agents_is_refused() -> None:
    class NoGrid:
        action_space = anmjax.Box(-jnp.ones(2), jnp.ones(2))
        observation_space = anmjax.Box(-jnp.ones(2), jnp.ones(2))

    with pytest.raises(CannotLearnError, match="IPPO needs agents with devices of their own"):
        IPPO.create(NoGrid(), IPPOConfig())  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["device", "bus"])
def test_independent_learners_learn(env: anmjax.ANMEnv, by: str) -> None:
    config = IPPOConfig(total_steps=2_000_000, by=by)
    policy: Any = train(env, config, seed=0, quiet=True).policy
    starts, described = starts_of(env, KEY)
    result = evaluate(env, policy, starts, horizon=3000, described=described)
    assert result.to_dict()["discounted_return"]["mean"] > -40
