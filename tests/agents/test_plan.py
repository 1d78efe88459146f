"""Trajectory optimisation: optima known by hand, starts of every kind, and what it refuses."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import anmjax
from anmjax.agents.baselines import ConstantPolicy, RandomPolicy, do_nothing_policy
from anmjax.agents.planning.arguments import has_device_actions, sizes_of
from anmjax.envs.records import InitialState
from anmjax.envs.spaces import Box
from tests.agents.probes import Constant, Match, Probe

pytestmark = pytest.mark.usefixtures("standard_promotion")


@struct.dataclass
class Drift(Probe):
    """x' = x + a at a price of x'^2 + a^2: linear and quadratic. The first entry of aux is x."""

    gamma: float = struct.field(pytree_node=False, default=1.0)

    def step(self, state, action):
        x = state.aux[0] + action[0]
        return state.replace(reward=-(x * x + action[0] ** 2), aux=jnp.stack([x, action[0]]), t=state.t + 1)

    def at(self, x):
        return self.reset_to(jax.random.key(0), self.initial(jnp.full(1, x)))


@struct.dataclass
class Worth:
    """What is left to pay from x with one step to go, as below: x^2 / 2, times a number."""

    scale: Any

    def of(self, state):
        return -self.scale * state.aux[0] ** 2 / 2


def test_a_linear_quadratic_plan_is_the_one_by_hand():
    # From x the last step costs a^2 + (x + a)^2: a = -x/2, and x^2/2 is paid. So the first from x = 1 costs
    # a^2 + 3/2 (1 + a)^2: a = -3/5, x' = 2/5, 9/25 + 3/2 4/25 = 3/5 in all; then a = -1/5.
    plan = anmjax.plan(Drift(), Drift().at(1.0), 2)
    # 300 steps of a size that falls to zero: what is left of the noise.
    np.testing.assert_allclose(plan.actions[:, 0], [-0.6, -0.2], atol=1e-4)
    np.testing.assert_allclose(plan.discounted_return, -0.6, atol=1e-7)
    # What was paid: 16/100 + 36/100 = 0.52, 4/100 + 4/100 = 0.08.
    np.testing.assert_allclose(plan.rewards, [-0.52, -0.08], atol=1e-3)
    np.testing.assert_allclose(plan.states.aux[:, 0], [0.4, 0.2], atol=1e-3)
    # From zeros: 1 + 1.
    np.testing.assert_allclose(plan.start_returns, [-2.0], rtol=1e-12)
    assert plan.history.shape == (1, 1, 300)
    assert plan.history[0, 0, 0] == plan.start_returns[0]


def test_a_plan_stays_in_the_action_box():
    # As above with |a| <= 1/2: a = -1/2, x' = 1/2, then -1/4: (1 + 1)/4 + (1 + 1)/16 = 5/8.
    env = Drift(low=-0.5, high=0.5)
    plan = anmjax.plan(env, env.at(1.0), 2)
    assert bool(jax.vmap(env.action_space.contains)(plan.actions).all())
    np.testing.assert_allclose(plan.discounted_return, -0.625, atol=1e-7)


def test_the_value_of_the_last_state_stands_for_the_steps_left_out():
    # x^2/2 is what one more step costs, so that the first of one is the first of two.
    env = Drift()
    plan = anmjax.plan(env, env.at(1.0), 1, value=Worth(jnp.asarray(1.0)).of)
    np.testing.assert_allclose(plan.actions, [[-0.6]], atol=1e-4)
    np.testing.assert_allclose(plan.discounted_return, -0.6, atol=1e-7)
    # Worth nothing, a = -1/2: (1 + 1)/4.
    plan = anmjax.plan(env, env.at(1.0), 1, value=Worth(jnp.asarray(0.0)).of)
    np.testing.assert_allclose(plan.discounted_return, -0.5, atol=1e-7)


def test_a_plan_knows_the_draws_to_come():
    # The best action is 1 + s for a signal s drawn in every step: nothing is lost by one who knows them all.
    env = Match()
    state = env.reset(jax.random.key(3))
    plan = anmjax.plan(env, state, 5)
    np.testing.assert_allclose(plan.discounted_return, 0, atol=1e-6)
    assert np.ptp(plan.actions) > 0.1  # the signals do differ


def test_windows_lose_nothing_where_steps_are_apart():
    env = Match()
    state = env.reset(jax.random.key(3))
    plan = anmjax.plan(env, state, 7, window=3, overlap=1, num_iters=250)
    # Windows begin at 0, 2 and 4.
    assert plan.history.shape == (1, 3, 250)
    np.testing.assert_allclose(plan.discounted_return, 0, atol=1e-6)


def test_windows_are_as_good_as_their_foresight():
    # The first action with one step to go is -1/2, with two -3/5, with more it tends to -0.618: windows of 3
    # that take their first step only.
    env = Drift()
    whole = anmjax.plan(env, env.at(1.0), 6)
    some = anmjax.plan(env, env.at(1.0), 6, window=3, overlap=2)
    # Three steps from x: x^2/2, then min a^2 + 3/2 (x + a)^2 = 3/5 x^2, then a^2 + 8/5 (1 + a)^2: a = -8/13.
    np.testing.assert_allclose(some.actions[0, 0], -8 / 13, atol=1e-3)
    assert whole.discounted_return - 1e-3 < some.discounted_return < whole.discounted_return + 1e-7


@pytest.mark.parametrize(
    ("horizon", "window", "overlap", "offsets"),
    [
        (10, None, None, (0,)),
        (10, 12, None, (0,)),
        (10, 4, 0, (0, 3, 6)),  # the last two reach further into each other than they must
        (10, 4, 2, (0, 2, 4, 6)),
        (5, 4, None, (0, 1)),
    ],
)
def test_windows_cover_the_horizon_and_overlap_by_so_much_at_least(horizon, window, overlap, offsets):
    sizes = sizes_of(Drift(), horizon, 1, window, overlap)
    assert sizes.offsets == offsets
    assert sizes.offsets[-1] + sizes.window == horizon


def test_of_several_starts_the_best_plan_is_returned():
    env, given = Drift(), jnp.full((3, 1), -0.3)
    starts = (RandomPolicy(env.action_space), ConstantPolicy(jnp.full(1, 0.5)), given)
    plan = anmjax.plan(env, env.at(1.0), 3, start=starts, num_iters=1)
    # By hand: x = 1.5, 2, 2.5 and a = 1/2: 12.5 + 0.75; x = 0.7, 0.4, 0.1 and a = -0.3: 0.66 + 0.27.
    np.testing.assert_allclose(plan.start_returns[1:], [-13.25, -0.93], rtol=1e-12)
    best = int(np.argmax(plan.start_returns))
    assert int(plan.chosen) == best
    # One iterate is the start itself.
    assert plan.discounted_return == plan.start_returns[best]
    if best == 2:
        np.testing.assert_array_equal(plan.actions, given)


def test_a_plan_is_never_worse_than_its_start():
    # Steps as long as the box from a start that is best already.
    env = Drift()
    best = anmjax.plan(env, env.at(1.0), 2).actions
    plan = anmjax.plan(env, env.at(1.0), 2, start=best, step_size=2.0, num_iters=5)
    assert plan.history[0, 0, 1] < plan.start_returns[0]
    assert plan.discounted_return >= plan.start_returns[0]


@struct.dataclass
class Pit(Probe):
    """-(a - 1/2)^2 each step, but not a number below 0.2, and neither is its slope."""

    def reward(self, state, action):
        return -((action[0] - 0.5) ** 2) + 0 * jnp.sqrt(action[0] - 0.2)


def test_gradients_that_are_no_numbers_are_counted_and_leave_other_starts_alone():
    env = Pit()
    starts = (jnp.zeros((2, 1)), jnp.full((2, 1), 0.9))
    state = env.reset(jax.random.key(0))
    plan = anmjax.plan(env, state, 2, start=starts)
    np.testing.assert_array_equal(plan.num_nonfinite, [300, 0])
    assert int(plan.chosen) == 1
    np.testing.assert_allclose(plan.actions, 0.5, atol=1e-4)
    assert np.isnan(plan.start_returns[0])
    # With no way out the start comes back.
    stuck = anmjax.plan(env, state, 2, start=starts[0], num_iters=3)
    np.testing.assert_array_equal(stuck.actions, starts[0])


def test_what_comes_after_an_end_counts_nothing():
    # Reward 1 in each of two steps, gamma 0.9, then the end: no rewards, no value of the last state.
    for env in (Constant(length=2), anmjax.TimeLimit(Constant(), max_steps=2)):
        state = env.reset(jax.random.key(0))
        plan = anmjax.plan(env, state, 4, num_iters=1, value=lambda state: 100 + state.aux[0])
        np.testing.assert_allclose(plan.rewards, [1, 1, 0, 0])
        np.testing.assert_allclose(plan.discounted_return, 1.9)


def test_lanes_side_by_side_are_planned_as_each_alone_without_a_new_program():
    traced = []

    def worth(state):
        traced.append(1)
        return -(state.aux[0] ** 2)

    env, at = Drift(), jnp.array([1.0, -0.5, 0.2])
    states = jax.vmap(env.at)(at)
    side_by_side = jax.jit(jax.vmap(lambda state: anmjax.plan(env, state, 3, value=worth)))(states)
    alone = anmjax.plan(env, env.at(-0.5), 3, value=worth)
    # The same arithmetic in another order.
    np.testing.assert_allclose(side_by_side.actions[1], alone.actions, atol=1e-9)
    before = len(traced)
    anmjax.plan(env, env.at(0.7), 3, value=worth, step_size=0.01, gamma=0.9)
    assert len(traced) == before


# Two buses, a line of 1 MVA; wind of 2 MW with all of its power behind it, and a battery of 1 MW and 1 MWh.
WIND, BATTERY = [1, 1, 2, None, 2, 0, 0, 0, *[None] * 7], [2, 1, 3, None, 1, -1, 0, 0, *[None] * 4, 1, 0, 1]
BEHIND_A_LINE = {
    "baseMVA": 1,
    "bus": [[0, 0, 10, 1, 1], [1, 1, 10, 1.1, 0.9]],
    "device": [[0, 0, 0, None, 10, -10, 10, -10, *[None] * 7], WIND, BATTERY],
    "branch": [[0, 1, 0, 1e-4, 0, 1, 1, 0]],
}


class WindyHour(anmjax.ANMEnv):
    """2 MW of wind in the first hour, none after it; auxiliary: hours since the start."""

    def __init__(self):
        super().__init__(BEHIND_A_LINE, "state", K=1, delta_t=1, gamma=0.9, lamb=100)

    def calm(self):
        zero, none = jnp.zeros(3), jnp.zeros(1)
        start = InitialState(p_dev=zero, q_dev=zero, soc=none, p_max=none, aux=none)
        return self.reset_to(jax.random.key(0), start)

    def next_vars(self, key, state):
        return jnp.stack([jnp.where(state[-1] < 1, 2.0, 0.0), state[-1] + 1])


@pytest.mark.long
def test_a_battery_keeps_the_surplus_of_one_hour_for_the_next():
    # 1 MW of the wind fits through the line. The other 1 MW curtailed: losses are
    # 1 (wind) - 1 (sent) + 1 (curtailed) = 1 MWh, then none. Stored: 2 - 1 = 1 MWh, of which the next hour
    # gets 1 back: -1 + 0.9 = -0.1 in all. Not a thing is lost on the line, of resistance 0.
    env = WindyHour()
    # The middle of the box leaves the battery at rest, empty. The other start asks for more than there is,
    # which the simulator cuts: no gradient there.
    calm = jax.jit(WindyHour.calm)(env)
    greedy = jnp.array([[2.0, 0, 0, 0], [2.0, 0, 0, 0]])
    plan = anmjax.plan(env, calm, 2, start=(None, greedy))
    # 1 MW of the wind sent, 1 MW curtailed; and 2 MW sent, without a loss, 1 MW too many at a price of 100.
    np.testing.assert_allclose(plan.start_returns, [-1.0, -100.0], rtol=1e-6)
    # x = 1e-4 takes 1e-4 MVAr, so that S = 1 + 5e-9; the rest is the last steps of the descent.
    np.testing.assert_allclose(plan.history[:, 0].max(1), -0.1, atol=1e-5)
    np.testing.assert_allclose(plan.discounted_return, -0.1, atol=1e-5)
    np.testing.assert_allclose(plan.states.grid.soc[:, 0], [1.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(plan.states.grid.p[:, 1], [2.0, 0.0], atol=1e-5)


class Halved(anmjax.Wrapper):
    """Actions in halves of the task's units."""

    @property
    def action_space(self):
        box = self.env.action_space
        return Box(2 * box.low, 2 * box.high)


def test_only_actions_that_are_set_points_are_read_from_the_devices():
    env = WindyHour()
    assert has_device_actions(anmjax.TimeLimit(anmjax.SafeAction(env), max_steps=3))
    assert not has_device_actions(anmjax.TimeLimit(Halved(env), max_steps=3))
    assert not has_device_actions(Drift())


@pytest.mark.slow
@pytest.mark.parametrize("task", anmjax.registered_tasks())
def test_any_task_is_planned_better_than_leaving_it_alone(task):
    env: Any = anmjax.make(task)
    state = jax.jit(env.reset)(jax.random.key(0))
    plan = anmjax.plan(env, state, 8, start=(None, do_nothing_policy(env)), num_iters=30)
    assert plan.discounted_return > plan.start_returns.max()
    assert bool(jax.vmap(env.action_space.contains)(plan.actions).all())
    assert not plan.num_nonfinite.any()


class Acting:
    """Acts, but is no pytree."""

    def act(self, key, state):
        return jnp.zeros(1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"horizon": 0}, "horizon is 0, expected a whole number, at least 1"),
        ({"num_iters": 2.0}, "num_iters is 2.0, expected a whole number"),
        ({"window": 0}, "window is 0, expected a whole number, at least 1"),
        ({"window": 2, "overlap": 2}, "overlap is 2, expected a whole number, at least 0 and at most 1"),
        ({"step_size": 0.0}, "step_size is 0.0, expected a finite number, above 0"),
        ({"dither": -0.1}, "dither is -0.1, expected a finite number, not negative"),
        ({"max_grad_norm": np.nan}, "max_grad_norm is nan, expected a finite number, above 0"),
        ({"gamma": 1.1}, r"gamma is 1.1, expected a number in \[0, 1\]"),
        ({"value": 3.0}, "value is 3.0, expected a function of the state, or None"),
        ({"start": Acting()}, "start is of Acting, which acts but is no pytree"),
        ({"start": ()}, "start is an empty tuple"),
        ({"start": "ppo"}, "start is a str, expected None, a policy, actions, or a tuple of these"),
        ({"start": np.zeros((2, 1))}, r"start has shape \(2, 1\), expected \(3, 1\)"),
        ({"start": np.array([[0.0], [np.nan], [0.0]])}, "start has a NaN in step 1, expected numbers"),
    ],
)
def test_an_argument_out_of_range_is_refused(options, said):
    env = Drift()
    with pytest.raises(ValueError, match=said):
        anmjax.plan(env, env.at(1.0), **{"horizon": 3, **options})


def test_a_state_that_is_none_to_plan_from_is_refused():
    env = Constant()
    state = env.reset(jax.random.key(0))
    with pytest.raises(ValueError, match="the state has already ended"):
        anmjax.plan(env, state.replace(terminated=jnp.array(True)), 3)
    with pytest.raises(ValueError, match=r"leading axis of \(2,\), expected one lane; .* jax.vmap"):
        anmjax.plan(env, jax.vmap(env.reset)(jax.random.split(jax.random.key(0))), 3)
