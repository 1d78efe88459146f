"""A limit on costs is kept: its multiplier by hand, and PPO on a probe whose best action is known."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.agents.constraint import Multiplier, penalized
from anmjax.agents.errors import CannotLearnError
from anmjax.agents.ppo import PPO, PPOConfig, load, train
from anmjax.agents.training.progress import Progress
from tests.agents.probes import Capped, Match

pytestmark = pytest.mark.usefixtures("standard_promotion")

KEY = jax.random.key(0)
SMALL = PPOConfig(
    total_steps=4 * 16,
    num_envs=4,
    num_steps=4,
    num_minibatches=2,
    num_epochs=1,
    hidden_sizes=(8,),
    max_episode_steps=3,
    updates_per_chunk=2,
    cost_limit=0.01,
)


def test_the_multiplier_is_that_of_its_controller_by_hand():
    gains = (0.5, 0.1, 2.0)
    begun = Multiplier.create(float)
    assert begun.value == 1
    # Twice the limit: error 1, integral 0.1, smoothed error 0.2, from 0.
    high = begun.updated(jnp.array(1.0), limit=0.5, gains=gains)
    np.testing.assert_allclose(high.value, np.exp(0.5 * 0.2 + 0.1 + 2 * 0.2), rtol=1e-14)
    # No cost: error -1, integral 0, smoothed error 0.8 * 0.2 - 0.2 = -0.04, and no rise.
    low = high.updated(jnp.array(0.0), limit=0.5, gains=gains)
    np.testing.assert_allclose(low.value, np.exp(-0.5 * 0.04), rtol=1e-14)


def test_the_multiplier_stays_where_it_can_come_back_from():
    multiplier = Multiplier.create(float)
    for cost, bound in ((1e6, 1e6), (0.0, 1e-4)):
        for _ in range(10):
            multiplier = multiplier.updated(jnp.array(cost), limit=1e-3, gains=(1.0, 5.0, 1.0))
        np.testing.assert_allclose(multiplier.value, bound, rtol=1e-12)


def test_the_penalized_reward_has_the_gradient_of_reward_and_costs():
    env = Capped()
    state = env.reset(KEY)

    def learned_from(action):
        return penalized(env.step(state, action[None]), jnp.array(3.0))

    # (a - 3 a^2) / 4 at a = 0.3, and its derivative (1 - 6 a) / 4.
    value, slope = jax.value_and_grad(learned_from)(jnp.array(0.3))
    np.testing.assert_allclose([value, slope], [0.03 / 4, -0.8 / 4], rtol=1e-12)


@pytest.mark.slow
def test_ppo_finds_the_best_action_within_a_limit_and_its_multiplier():
    limit, updates = 0.04, 300
    options = {"num_envs": 32, "num_steps": 16, "num_epochs": 4, "hidden_sizes": (8,), "learning_rate": 1e-2}
    config = PPOConfig(
        **options,
        total_steps=updates * 32 * 16,
        max_episode_steps=5,
        exploring_starts=0.0,
        mean_coefficient=0.0,
        initial_log_std=-2.0,
        cost_limit=limit,
    )
    ppo = PPO.create(Capped(), config)
    run = jax.jit(
        lambda key: jax.lax.scan(lambda learner, _: ppo.update(learner), ppo.init(key), length=updates)
    )
    learner, metrics = run(KEY)
    policy = learner.policy
    action = policy(None, jnp.array([0.0, 7.0]))[0]
    variance = jnp.exp(2 * policy.params["params"]["log_std"][0])
    # The mean cost of what the policy does, noise included, is the limit; 5 % of it.
    np.testing.assert_allclose(action**2 + variance, limit, rtol=0.05)
    # sqrt(0.04) = 0.2 but for the noise, whose cost is left to the action.
    np.testing.assert_allclose(action, np.sqrt(limit - variance), rtol=0.03)
    assert variance < 0.1 * limit
    # 1 / (2 * 0.2) = 2.5 on average over the last third; it moves about that.
    np.testing.assert_allclose(metrics.means["multiplier"][-100:].mean(), 2.5, rtol=0.1)


@pytest.mark.long
def test_a_training_with_a_limit_goes_on_bit_for_bit_and_tells_of_it(tmp_path, monkeypatch):
    options = {"seed": 5, "task": "Capped", "quiet": True}
    whole = train(Capped(), SMALL, out=tmp_path / "whole", **options)
    add = Progress.add

    def interrupt(self, *rows):
        add(self, *rows)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "add", interrupt)
        stopped = train(Capped(), SMALL, out=tmp_path / "parts", **options)
    assert stopped.interrupted
    train(Capped(), resume=load(stopped.checkpoint), out=tmp_path / "parts", task="Capped", quiet=True)
    ended, expected = (load(tmp_path / name / "checkpoint.msgpack") for name in ("parts", "whole"))
    assert ".multiplier.integral" in expected.learner_leaves
    for name, leaf in expected.learner_leaves.items():
        np.testing.assert_array_equal(ended.learner_leaves[name], leaf, err_msg=name)
    rows = [json.loads(line) for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["cost"] > SMALL.cost_limit
    assert [row["multiplier"] > 1 for row in rows] == [True, True]
    assert whole.learner.multiplier.value > rows[-1]["multiplier"]


@pytest.mark.long
def test_lanes_that_are_shared_out_have_one_multiplier_that_of_all():
    ppo = PPO.create(Capped(), SMALL)
    alone = jax.jit(ppo.init)(KEY)
    after, metrics = jax.jit(ppo.update)(alone)
    # Two shares side by side: what is shared must come out once, or vmap refuses.
    share, axes = replace(ppo, axis_name="lanes"), ppo.layout(None, 0)
    side_by_side = partial(jax.vmap, axis_name="lanes", axis_size=2)
    begun = jax.jit(side_by_side(share.init, in_axes=None, out_axes=axes))(KEY)
    shared, same = jax.jit(side_by_side(share.update, in_axes=(axes,), out_axes=(axes, None)))(begun)
    # Rounding: 16 costs, added in another order.
    np.testing.assert_allclose(same.per_step["cost"], metrics.per_step["cost"], rtol=1e-14)
    np.testing.assert_allclose(shared.multiplier.value, after.multiplier.value, rtol=1e-14)
    assert after.multiplier.value > 1


def test_without_a_limit_there_is_no_multiplier_and_nothing_is_told_of_costs():
    ppo = PPO.create(Capped(), replace(SMALL, cost_limit=None))
    learner = jax.eval_shape(ppo.init, KEY)
    assert learner.multiplier is None
    metrics = jax.eval_shape(ppo.update, learner)[1]
    assert not {"cost", "multiplier"} & {*metrics.per_step, *metrics.means}


def test_a_limit_on_the_costs_of_a_task_without_costs_is_refused():
    with pytest.raises(CannotLearnError, match="PPO is to limit costs, but the task has none"):
        PPO.create(Match(), SMALL)
    for limit in (0, -1.0, float("inf")):
        with pytest.raises(ValueError, match=r"cost_limit is .* but must be a number above 0"):
            replace(SMALL, cost_limit=limit)
    with pytest.raises(ValueError, match=r"multiplier_gains is .* but must be 3 numbers, each a number from"):
        replace(SMALL, multiplier_gains=(1.0, 2.0))
