"""Shields around policies: an action that violates limits gives way, any other is left as it is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import anmjax
from anmjax.agents.baselines import ConstantPolicy, do_nothing_policy
from anmjax.agents.evaluation import evaluate, starts_of
from anmjax.agents.fallback import Fallback
from anmjax.agents.mpc import MPCConstant
from tests.agents.probes import Match

KEY = jax.random.key(0)


@struct.dataclass
class Fence(Match):
    """Match, whose limit is violated by actions above 1."""

    def step(self, state, action):
        after = super().step(state, action)
        beyond = jnp.maximum(0.0, action[0] - 1.0)
        return after.replace(metrics=after.metrics | {"voltage_violation": beyond})


@struct.dataclass
class Follow:
    """Asks for the best action of Match, 1 + s, and is a planner."""

    def act(self, key, state):
        return 1.0 + state.aux[:1]


def test_an_action_that_would_violate_limits_gives_way_and_no_other():
    env = Fence()
    instead = ConstantPolicy(jnp.array([0.25]))
    shield = Fallback(env, Follow(), instead)
    starts, _ = starts_of(env, KEY, num_starts=20)
    signals = np.asarray(starts.aux[:, 0])
    assert 0 < (signals > 0).sum() < 20
    actions = jax.vmap(shield.act)(jax.random.split(KEY, 20), starts)[:, 0]
    np.testing.assert_array_equal(actions, np.where(signals > 0, 0.25, 1 + signals))
    bare, shielded = (evaluate(env, policy, starts, horizon=5) for policy in (Follow(), shield))
    assert bare.violation_share > 0
    assert shielded.violation_share == 0
    # What the shield costs: the gaps of the actions that gave way.
    assert shielded.discounted_return < bare.discounted_return == 0


@pytest.mark.slow
def test_the_safety_layer_and_a_planner_keep_most_limits_that_doing_nothing_violates():
    env = anmjax.make("ANM6Easy-v0", dtype=jnp.float32)
    policy, safe = do_nothing_policy(env), anmjax.SafeAction(env)
    planner = MPCConstant(env, planning_steps=4, safety_margin=0.92)
    shielded = (env, policy), (safe, policy), (env, Fallback(env, policy, planner))
    scores = []
    for around, acting in shielded:
        starts = jax.tree.map(lambda x: x[::12], starts_of(around, KEY)[0])
        scores.append(evaluate(around, acting, starts, horizon=24))
    bare, *others = scores
    # 96 % of the steps violate limits; with an empty storage unit nobody keeps all in the first hours.
    assert bare.violation_share > 0.9
    for score in others:
        assert score.violation_share < 0.5 * bare.violation_share
        assert score.penalty_per_step < 0.2 * bare.penalty_per_step
        assert score.longest_violation < bare.longest_violation
