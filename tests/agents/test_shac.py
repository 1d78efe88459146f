"""SHAC on environments whose values, gradients and best actions are known."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from anmjax.agents.shac import SHAC, SHACConfig
from anmjax.agents.shac.critics import Critics, rescaled
from anmjax.agents.shac.window import Window, gradient_by_action, td_lambda
from anmjax.agents.training.checkpoint import load, restore_policy
from anmjax.agents.training.loop import train, train_seeds
from anmjax.agents.training.progress import Progress
from anmjax.wrappers import TimeLimit
from anmjax.wrappers.running_statistics import RunningStatistics
from tests.agents.probes import Capped, Constant, Match, Probe, TwoSteps

# Promotion: flax computes the statistics of a layer norm in float32 at least.
pytestmark = pytest.mark.usefixtures("standard_promotion")

OPTIONS = {
    "num_envs": 16,
    "horizon": 4,
    "num_minibatches": 2,
    "hidden_sizes": (16,),
    "learning_rate": 1e-2,
    "critic_learning_rate": 1e-2,
    # The probes' observations count the steps since a reset, which a start that wandered does not take along.
    "exploring_starts": 0.0,
    "max_episode_steps": 8,
}
KEY = jax.random.key(0)


@struct.dataclass
class Tank(Probe):
    """A tank is filled by the action, x' = x + a / 2, and should hold 0.6: reward -(x' - 0.6)^2."""

    length: int = struct.field(pytree_node=False, default=0)

    def step(self, state, action):
        level = state.aux[0] + action[0] / 2
        aux = jnp.stack([level, action[0]])
        obs, reward = self.observe(aux, state.t), -((level - 0.6) ** 2)
        return state.replace(obs=obs, reward=reward, aux=aux, t=state.t + 1)


@struct.dataclass
class Cliff(Probe):
    """Reward a; beyond 0.5 it collapses, which is worth minus infinity, and the derivative there is NaN."""

    def step(self, state, action):
        over = action[0] > 0.5
        slope = jnp.where(over, jnp.nan, 1.0)
        after = super().step(state, action)
        # 0 times what the slope is: a derivative that is not finite, of a number that is.
        bent = jax.lax.stop_gradient(action[0]) + slope * (action[0] - jax.lax.stop_gradient(action[0]))
        reward = jnp.where(over, -jnp.inf, jnp.where(jnp.isnan(bent), action[0], bent))
        return after.replace(reward=reward, terminated=over | state.terminated)

    def reward(self, state, action):
        return action[0]


def agent(env, num_updates=2, **options):
    config = SHACConfig(**OPTIONS | options, total_steps=num_updates * 64)
    return SHAC.create(env, config)


def trained(shac):
    """The learner after all updates, in one compiled call."""

    def run(key):
        step = lambda learner, _: shac.update(learner)  # noqa: E731
        return jax.lax.scan(step, shac.init(key), length=shac.config.num_updates)

    return jax.jit(run)(KEY)


def values_of(learner, observations):
    return learner.values(learner.policy.scale(observations))


def observations(*signals):
    return jnp.array([[signal, 7.0] for signal in signals])


@pytest.mark.long
def test_the_derivative_by_an_action_counts_all_that_follows_from_it():
    shac = agent(Tank())
    learner = shac.init(KEY)
    policy, states = learner.policy, learner.states
    noise = 0.1 * jax.random.normal(KEY, (4, 16, 1))
    value = lambda x: jnp.sin(x[..., 0])  # noqa: E731
    _, window, values, by_action = gradient_by_action(
        shac.env, policy, value, states, noise, gamma=0.9, least_reward=-10.0
    )

    def by_hand(lane, nudge):
        # The same sum, a step after another, by the rule of the tank.
        level, total = states.aux[lane, 0], 0.0
        for t in range(4):
            x = policy.scale(jnp.stack([level, jnp.asarray(7.0)]))
            a = jnp.clip(policy.latent(policy.params, x, noise[t, lane]) + nudge[t], -1, 1)[0]
            level = level + a / 2
            total += -(0.9**t) * (level - 0.6) ** 2
        return total + 0.9**4 * value(policy.scale(jnp.stack([level, jnp.asarray(7.0)])))

    for lane in (0, 7):
        expected, slope = jax.value_and_grad(partial(by_hand, lane))(jnp.zeros((4, 1)))
        # Rounding of a dozen operations.
        np.testing.assert_allclose(values[lane], expected, rtol=1e-12)
        np.testing.assert_allclose(by_action[:, lane], slope, rtol=1e-11)
    assert window.reward.shape == (4, 16)


def test_targets_are_the_lambda_returns_of_each_part_of_a_window():
    rng = np.random.default_rng(0)
    reward, next_value = rng.normal(size=(2, 5, 3))
    ended = np.zeros((5, 3), bool)
    ended[1, 0] = ended[3, 2] = True
    blank = jnp.zeros((5, 3))
    window = Window(
        blank, blank, jnp.array(reward), jnp.array(next_value), blank, jnp.array(ended), blank, None, None
    )
    got = td_lambda(window, gamma=0.9, td_lambda=0.8)
    for lane in range(3):
        for t in range(5):
            # Sum over n-step returns, weighted by (1 - lambda) lambda^(n-1), the last by what is left.
            total, weight, discounted = 0.0, 1.0, 0.0
            for n in range(t, 5):
                discounted += 0.9 ** (n - t) * reward[n, lane]
                n_step = discounted + 0.9 ** (n - t + 1) * next_value[n, lane]
                last = n == 4 or ended[n, lane]
                total += weight * (1.0 if last else 0.2) * n_step
                weight *= 0.8
                if last:
                    break
            np.testing.assert_allclose(got[t, lane], total, rtol=1e-12)


@pytest.mark.long
def test_a_truncation_is_worth_what_would_have_come_and_a_termination_nothing():
    # 1 / (1 - 0.7) of a reward of 1 for ever; 1 + 0.9 + 0.81 of three. 5 %: the critics are still moving.
    shac = agent(TimeLimit(Constant(gamma=0.7), max_steps=5), 150, td_lambda=0.5)
    learner, _ = trained(shac)
    np.testing.assert_allclose(values_of(learner, observations(0, 2, 4)), 1 / 0.3, rtol=0.05)
    shac = agent(Constant(gamma=0.9, length=3), 150)
    learner, metrics = trained(shac)
    expected = [1 + 0.9 + 0.81, 1 + 0.9, 1.0]
    np.testing.assert_allclose(values_of(learner, observations(0, 1, 2)), expected, rtol=0.05)
    # A lane waits for the end of the window: three of its four steps count, and bring 1 each.
    np.testing.assert_allclose(metrics.per_step["reward"][-1], 3 * 16)
    assert metrics.episodes[-1] == 16


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"actor": "gaussian", "entropy_coefficient": 1e-4, "num_critics": 2}, {"layer_norm": False}],
    ids=["deterministic", "gaussian", "plain layers"],
)
def test_the_best_action_for_each_observation_is_learned_in_the_units_of_the_box(options):
    learner, metrics = trained(agent(Match(), 150, **options))
    signals = np.linspace(-0.8, 0.8, 5)
    # Of a box of width 4.
    np.testing.assert_allclose(learner.policy(None, observations(*signals))[:, 0], 1 + signals, atol=0.1)
    assert float(metrics.means["lanes_not_finite"].max()) == 0


@pytest.mark.long
def test_an_action_is_credited_with_a_reward_that_comes_a_step_later():
    learner, _ = trained(agent(TwoSteps(), 100))
    np.testing.assert_allclose(learner.policy(None, observations(0))[0], 0.5, atol=0.03)


def test_a_collapse_costs_a_bounded_number_and_lanes_without_a_derivative_are_left_out_and_counted():
    shac = agent(Cliff(), 60, noise=0.3, noise_until=1.0)
    learner, metrics = trained(shac)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((learner.policy.params, learner.values)))
    assert float(metrics.totals["collapses"].sum()) > 0
    assert 0 < float(metrics.means["lanes_not_finite"].max()) <= 1
    # Ten deviations of the return at most, the first of which is 1.
    assert np.isfinite(metrics.per_step["reward"]).all()


def test_actions_outside_their_box_have_a_derivative_only_where_it_is_passed_through():
    noise = jnp.full((4, 16, 1), 3.0)
    sizes = {}
    for through in (False, True):
        shac = agent(Match(), pass_through=through)
        learner = shac.init(KEY)
        _, _, _, by_action = gradient_by_action(
            shac.env,
            learner.policy,
            lambda x: x[..., 0] * 0,
            learner.states,
            noise,
            gamma=0.9,
            least_reward=-10.0,
        )
        sizes[through] = np.abs(by_action)
    assert not sizes[False].any()
    # The highest action, 3, is more than the best one, 1 + s: all of them want to come down.
    assert (sizes[True] > 0).all()


def test_values_stay_the_same_when_the_scale_of_returns_changes():
    network = Critics(2, (8,), True, jnp.zeros(()).dtype)
    x = jax.random.normal(KEY, (5, 3))
    params = network.init(KEY, x)
    old = RunningStatistics(jnp.array(1.0), jnp.array(2.0), jnp.array(9.0))
    new = RunningStatistics(jnp.array(2.0), jnp.array(-1.0), jnp.array(0.25))
    before = old.mean + old.std() * network.apply(params, x)
    after = new.mean + new.std() * network.apply(rescaled(params, "Dense_1", old, new), x)
    np.testing.assert_allclose(after, before, rtol=1e-13)  # rounding
    assert np.ptp(before) > 0.1


@pytest.mark.long
def test_a_limit_on_costs_is_kept_and_its_multiplier_is_that_of_the_optimum():
    # Reward a, cost a^2, at most 0.04: a = 0.2 and the multiplier 1 / (2 a) = 2.5, by hand.
    learner, metrics = trained(agent(Capped(), 300, cost_limit=0.04, noise_until=0.5))
    np.testing.assert_allclose(learner.policy(None, observations(0))[0], 0.2, rtol=0.03)
    cost = metrics.per_step["cost"][-100:] / 64
    # 5 % of the limit; the multiplier moves about its mean.
    np.testing.assert_allclose(cost.mean(), 0.04, rtol=0.05)
    np.testing.assert_allclose(metrics.means["multiplier"][-100:].mean(), 2.5, rtol=0.1)


def test_noise_fades_to_nothing_and_the_step_size_falls():
    shac = agent(Match(), 10, noise=0.2, noise_until=0.5)
    learner = shac.init(KEY)
    sizes = [
        float(jnp.std(shac._noise(KEY, replace(learner, num_updates=jnp.int32(i))))) for i in (0, 2, 4, 5, 9)
    ]
    np.testing.assert_allclose(np.array(sizes) / sizes[0], [1, 0.6, 0.2, 0, 0], atol=1e-12)
    # 64 normal numbers: their deviation is within a third of 0.2.
    np.testing.assert_allclose(sizes[0], 0.2, rtol=0.33)


SMALL = SHACConfig(**OPTIONS | {"updates_per_chunk": 2}, total_steps=6 * 64)
MADE = {"task": "Match-v0", "quiet": True}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    with jax.numpy_dtype_promotion("standard"):
        return train(Match(), SMALL, seed=5, out=out, **MADE), out


def leaves_of(folder):
    saved = load(folder / "checkpoint.msgpack")
    return saved.policy_leaves | saved.learner_leaves


def assert_same(got, expected, **tolerance):
    assert got.keys() == expected.keys()
    for name in got:
        np.testing.assert_allclose(got[name], expected[name], err_msg=name, **tolerance)


def test_an_interrupted_training_goes_on_bit_for_bit(whole, tmp_path, monkeypatch):
    add = Progress.add

    def interrupt(self, *rows):
        add(self, *rows)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "add", interrupt)
        stopped = train(Match(), SMALL, seed=5, out=tmp_path, **MADE)
    saved = load(stopped.checkpoint)
    assert (saved.agent, saved.env_steps) == ("shac", 128)
    train(Match(), resume=saved, out=tmp_path, **MADE)
    assert_same(leaves_of(tmp_path), leaves_of(whole[1]), rtol=0, atol=0)
    policy = restore_policy(load(tmp_path / "checkpoint.msgpack"), Match())
    np.testing.assert_array_equal(policy(None, observations(0.3)), whole[0].policy(None, observations(0.3)))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["env_steps"] for row in rows] == [128, 256, 384]


@pytest.mark.slow
def test_seeds_that_train_together_learn_what_each_learns_alone(whole, tmp_path):
    train_seeds(Match(), SMALL, outs={5: tmp_path / "5", 6: tmp_path / "6"}, **MADE)
    # Rounding, six steps of Adam on: 1e-9 of entries of about 1.
    assert_same(leaves_of(tmp_path / "5"), leaves_of(whole[1]), rtol=1e-9, atol=1e-9)


@pytest.mark.long
def test_two_devices_learn_what_one_does():
    shac = agent(Match())
    alone = jax.jit(shac.init)(KEY)
    after, metrics = jax.jit(shac.update)(alone)
    share, axes = replace(shac, axis_name="lanes"), shac.layout(None, 0)
    side_by_side = partial(jax.vmap, axis_name="lanes", axis_size=2)
    begun = jax.jit(side_by_side(share.init, in_axes=None, out_axes=axes))(KEY)
    np.testing.assert_array_equal(begun.states.obs.reshape(16, 2), alone.states.obs)
    shared, same = jax.jit(side_by_side(share.update, in_axes=(axes,), out_axes=(axes, None)))(begun)
    # Rounding, with one step of Adam on it.
    for ours, theirs in (
        (shared.policy.params, after.policy.params),
        (shared.values, after.values),
        (same, metrics),
    ):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12), ours, theirs)
    np.testing.assert_array_equal(shared.states.obs.reshape(16, 2), after.states.obs)


def test_actions_without_bounds_are_refused():
    with pytest.raises(ValueError, match=r"SHAC .* action entries \[0\] are infinite"):
        agent(Match(high=np.inf))


def test_options_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="num_minibatches is 3, but must divide num_envs, 16"):
        SHACConfig(num_envs=16, num_minibatches=3)
    with pytest.raises(ValueError, match="num_envs times horizon is"):
        SHACConfig(num_envs=2**20, horizon=2**20)
