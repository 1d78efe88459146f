"""The evaluation protocol on probes whose scores are known, and the baselines."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from flax import struct

import anmjax
from anmjax.agents.baselines import BASELINES, ConstantPolicy, do_nothing_policy, random_policy
from anmjax.agents.evaluation import evaluate, starts_of
from anmjax.agents.seeds import key_of_seed
from anmjax.agents.tally import PIECE
from anmjax.envs.spaces import Box
from tests.agents.probes import Bare, Constant, Match

KEY = jax.random.key(0)


@struct.dataclass
class Alarm(Constant):
    """Violates a limit by 0.01 p.u. in every fourth step, by less than the tolerance in the others."""

    def violation(self, state):
        return jnp.where(state.t % 4 == 0, 0.01, 9e-6)


def test_a_constant_reward_is_scored_as_a_geometric_sum():
    env = Alarm(gamma=0.9)
    starts, described = starts_of(env, KEY, num_starts=3)
    assert described == "3 starts drawn by reset"
    result = evaluate(env, random_policy(env), starts, horizon=200, described=described)
    np.testing.assert_allclose(result.discounted_return, (1 - 0.9**200) / 0.1, rtol=1e-12)
    assert result.standard_error < 1e-12
    assert result.cost_per_day == -96
    assert result.violation_share == 0.25
    assert result.collapses == 0
    assert json.loads(json.dumps(result.to_dict()))["num_starts"] == 3


def test_an_evaluation_in_pieces_says_how_far_it_is_and_ends_at_the_horizon():
    env = Alarm(gamma=0.9)
    starts, _ = starts_of(env, KEY, num_starts=2)
    reached: list[int] = []
    result = evaluate(env, random_policy(env), starts, horizon=2 * PIECE + 8, progress=reached.append)
    assert reached == [PIECE, 2 * PIECE, 2 * PIECE + 8]
    np.testing.assert_allclose(result.discounted_return, 10, rtol=1e-12)  # 0.9^508 is below 1e-23
    assert result.cost_per_day == -96  # the last day begins in one piece and ends in the last
    assert result.violation_share == 0.25


def test_a_collapse_ends_a_lane_and_is_counted_once():
    env = Constant(gamma=0.9, length=3)
    result = evaluate(env, random_policy(env), starts_of(env, KEY, num_starts=2)[0], horizon=100)
    np.testing.assert_allclose(result.discounted_return, 1 + 0.9 + 0.81, rtol=1e-12)
    assert result.collapses == 2
    assert result.cost_per_day is None
    # Three steps each, of which the last one collapsed.
    np.testing.assert_allclose(result.violation_share, 1 / 3)


def test_starts_that_have_all_ended_are_refused():
    env = Constant(gamma=0.9)
    starts, _ = starts_of(env, KEY, num_starts=2)
    ended = starts.replace(terminated=jnp.ones(2, bool))
    with pytest.raises(ValueError, match="every start has already ended"):
        evaluate(env, random_policy(env), ended)


@pytest.mark.long
def test_a_start_that_has_ended_is_scored_as_a_collapse_and_not_as_perfect():
    env = anmjax.make("ANM6Easy-v0", gamma=0.9)
    starts, _ = starts_of(env, KEY)
    starts = jax.tree.map(lambda x: x[:2], starts)
    dead = starts.replace(terminated=jnp.array([False, True]))
    policy = do_nothing_policy(env)
    result, alone = (evaluate(env, policy, each, horizon=3) for each in (dead, starts))
    # c2 = 100 in every step for ever: -100 / (1 - 0.9) = -1000.
    np.testing.assert_allclose(result.returns, [alone.returns[0], -1000], rtol=1e-12)
    assert result.collapses == 1
    # Three steps of the first, and the one of the collapse: c1 = 1, c2 = 100.
    first = evaluate(env, policy, jax.tree.map(lambda x: x[:1], starts), horizon=3)
    np.testing.assert_allclose(result.penalty_per_step, (3 * first.penalty_per_step + 100) / 4, rtol=1e-12)
    np.testing.assert_allclose(
        result.energy_loss_per_step, (3 * first.energy_loss_per_step + 1) / 4, rtol=1e-12
    )
    np.testing.assert_allclose(result.violation_share, (3 * first.violation_share + 1) / 4, rtol=1e-12)


@pytest.mark.parametrize("seed", [2**32, -1, 1.0, True, "1", 10**23, float("inf")])
def test_a_seed_that_is_no_whole_number_of_32_bits_is_refused(seed):
    with pytest.raises(ValueError, match=r"seed is .*, expected a whole number from 0 to 4294967295"):
        key_of_seed(seed)


def test_seeds_give_different_keys_up_to_the_largest():
    keys = [jax.random.key_data(key_of_seed(seed)).tolist() for seed in (0, 1, np.int64(2), 2**31, 2**32 - 1)]
    assert len({tuple(key) for key in keys}) == 5
    assert keys[0] == jax.random.key_data(jax.random.key(0)).tolist()


def test_the_standard_error_is_that_of_the_mean_over_the_starts():
    env = Match(gamma=0.5)
    starts, _ = starts_of(env, KEY, num_starts=10)
    result = evaluate(env, ConstantPolicy(jnp.array([1.0])), starts, horizon=1)
    returns = -(np.asarray(starts.aux[:, 0]) ** 2)
    np.testing.assert_allclose(result.discounted_return, returns.mean(), rtol=1e-12)
    np.testing.assert_allclose(result.standard_error, returns.std(ddof=1) / np.sqrt(10), rtol=1e-12)


def test_policies_are_compared_by_the_differences_from_the_same_starts():
    env = Match(gamma=0.5)
    starts, _ = starts_of(env, KEY, num_starts=10)
    better, worse = (
        evaluate(env, ConstantPolicy(jnp.array([action])), starts, horizon=1) for action in (1.0, 1.5)
    )
    # The reward is -(action - 1 - s)^2.
    gaps = (0.5 - np.asarray(starts.aux[:, 0])) ** 2 - np.asarray(starts.aux[:, 0]) ** 2
    difference = better.less(worse)
    interval = scipy.stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    np.testing.assert_allclose(difference.mean, gaps.mean(), rtol=1e-12)
    np.testing.assert_allclose([difference.low, difference.high], interval, rtol=1e-10)
    assert better.less(better).mean == better.less(better).high == 0
    with pytest.raises(ValueError, match="not of the same horizon: 1 and 2"):
        better.less(evaluate(env, ConstantPolicy(jnp.array([1.0])), starts, horizon=2))


def test_violations_of_voltages_and_of_branches_are_told_apart():
    env = Alarm(gamma=0.9)
    result = evaluate(env, random_policy(env), starts_of(env, KEY, num_starts=2)[0], horizon=8)
    assert (result.violation_share, result.voltage_share, result.branch_share) == (0.25, 0.25, 0)


def test_the_longest_run_of_violating_steps_is_counted_over_all_starts():
    @struct.dataclass
    class Runs(Constant):
        """Violates in the steps that begin at t = 1, 4, 5, 8, 9, 10; collapses in the one at 11."""

        length: int = struct.field(pytree_node=False, default=12)

        def violation(self, state):
            return jnp.where((state.t[None] == jnp.array([1, 4, 5, 8, 9, 10], jnp.int32)).any(), 0.01, 0.0)

    starts, _ = starts_of(Runs(), KEY, num_starts=2)
    evaluated = [evaluate(Runs(), random_policy(Runs()), starts, horizon=n) for n in (3, 8, 20)]
    # The collapse, in the step that begins at t = 11, makes three steps four, and no step comes after it.
    assert [result.longest_violation for result in evaluated] == [1, 2, 4]
    # No network, so no margins.
    assert evaluated[0].voltage_margin_low is evaluated[0].branch_margin_median is None


@pytest.mark.long
def test_margins_are_those_of_voltages_and_loadings_step_by_step():
    env = anmjax.make("ANM6Easy-v0")
    starts = jax.tree.map(lambda x: x[::48], starts_of(env, KEY)[0])
    policy = do_nothing_policy(env)
    result = evaluate(env, policy, starts, horizon=20)
    net, voltage, branch = env.network, [], []

    @jax.jit
    def step(states):
        return jax.vmap(lambda state: env.step(state, policy(None, state.obs)))(states)

    for _ in range(20):
        starts = step(starts)
        for v in np.asarray(starts.grid.v):
            vm = np.abs(v)[1:]  # without the slack
            voltage.append(np.minimum(net.v_max[1:] - vm, vm - net.v_min[1:]).min())
            flows = anmjax.branch_flows(net, v)
            branch.append((1 - np.maximum(abs(flows.s_from), abs(flows.s_to)) / net.rating).min())
    # Of 40 steps the second least is the least that 5 % are at most at, the 20th least that half are.
    # Margins are kept in float32.
    expected = [np.sort(x)[[1, 19]] for x in (voltage, branch)]
    got = [
        [result.voltage_margin_low, result.voltage_margin_median],
        [result.branch_margin_low, result.branch_margin_median],
    ]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)
    assert result.branch_margin_low < 0 < result.voltage_margin_median


def test_a_task_without_a_grid_is_scored_by_its_return_alone():
    env = Bare()
    starts, _ = starts_of(env, KEY, num_starts=3)
    policy = ConstantPolicy(jnp.array([1.0]))
    result = evaluate(env, policy, starts, horizon=1, gamma=0.5)
    np.testing.assert_allclose(result.returns, -(np.asarray(starts.aux[:, 0]) ** 2), rtol=1e-12)
    known = {"starts", "num_starts", "horizon", "gamma", "discounted_return", "standard_error", "returns"}
    assert {name for name, value in result.to_dict().items() if value is not None} == known | {"collapses"}
    with pytest.raises(ValueError, match="gamma is not given, and the environment has none"):
        evaluate(env, policy, starts, horizon=1)


def test_the_starts_may_have_other_charges_or_be_drawn():
    env = anmjax.make("ANM6Easy-v0")
    starts, described = starts_of(env, KEY, soc_mwh=(0, 50))
    assert described == "192 starts: the task's own with charges of 0, 50 MWh"
    np.testing.assert_allclose(np.asarray(starts.grid.soc[:, 0]), np.repeat([0, 0.5], 96))
    np.testing.assert_array_equal(starts.aux[:, 0], np.tile(np.arange(96), 2))
    assert starts_of(env, KEY, num_starts=3, drawn=True)[1] == "3 starts drawn by reset"
    with pytest.raises(ValueError, match="only a task's own take a charge"):
        starts_of(env, KEY, drawn=True, soc_mwh=(0,))
    for soc in (-1, 101, np.nan):
        with pytest.raises(ValueError, match="not within the limits of every storage unit, 0 to 100 MWh"):
            starts_of(env, KEY, soc_mwh=(50, soc))


SHARED = """
import jax, json, numpy as np
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 4)
from anmjax.agents.baselines import random_policy
from anmjax.agents.evaluation import evaluate, starts_of
from tests.agents.probes import Match
env, key = Match(gamma=0.5), jax.random.key(0)
assert jax.device_count() == 4
results = [evaluate(env, random_policy(env), starts_of(env, key, num_starts=n)[0], horizon=3) for n in (6, 5)]
print(json.dumps([result.returns for result in results]))
"""


@pytest.mark.long
def test_the_devices_that_share_the_starts_change_no_number():
    # Six starts are shared by three of four devices, five by one.
    done = subprocess.run([sys.executable, "-c", SHARED], capture_output=True, text=True, check=True)
    env = Match(gamma=0.5)
    for n, returns in zip((6, 5), json.loads(done.stdout), strict=True):
        starts, _ = starts_of(env, KEY, num_starts=n)
        assert returns == list(evaluate(env, random_policy(env), starts, horizon=3).returns)


class StatePolicy:
    """Acts by the state, as planners do."""

    def act(self, key: jax.Array, state: Any) -> jax.Array:
        """The best action: the auxiliary variable and one."""
        return state.aux[:1] + 1


jax.tree_util.register_static(StatePolicy)


def test_a_policy_may_know_the_whole_state():
    env = Match(gamma=0.5)
    starts, _ = starts_of(env, KEY, num_starts=10)
    assert evaluate(env, StatePolicy(), starts, horizon=1).discounted_return == 0


def test_a_task_states_its_own_starts():
    @struct.dataclass
    class Stated(Match):
        def evaluation_starts(self):
            """Two starts, at -1 and 1."""
            return jax.vmap(self.initial)(jnp.array([[-1.0], [1.0]]))

    starts, described = starts_of(Stated(), KEY)
    assert described == "Two starts, at -1 and 1"
    np.testing.assert_array_equal(starts.obs[:, 0], [-1.0, 1.0])


def test_doing_nothing_asks_for_all_of_the_generators_and_none_of_the_storage():
    # Two generators and a storage unit; the third entry's box does not hold 0.
    env = SimpleNamespace(
        action_space=Box(jnp.array([0.0, 0, 1, -5, -20, -20]), jnp.array([30.0, 50, 5, 5, 20, 20])),
        network=SimpleNamespace(
            generators=(1, 3), storage=(5,), device_ids=range(6), flexible=(), settings=None
        ),
    )
    action = do_nothing_policy(env)(None, None)
    np.testing.assert_array_equal(action, [30, 50, 1, 0, 0, 0])


def test_the_random_baseline_stays_in_the_box_and_varies():
    policy = BASELINES["random"](Match())
    actions = jax.vmap(lambda key: policy(key, None))(jax.random.split(KEY, 50))
    assert actions.min() >= -1
    assert actions.max() <= 3
    assert actions.std() == pytest.approx(4 / np.sqrt(12), rel=0.3)
