"""Training from the host: resume, Ctrl-C, metrics, checkpoint files."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.agents.ppo import (
    PPO,
    CheckpointError,
    PPOConfig,
    load,
    restore_learner,
    restore_policy,
    train,
    train_seeds,
)
from anmjax.agents.training import checkpoint as checkpoint_module
from anmjax.agents.training import sharding
from anmjax.agents.training.chunk_metrics import DivergedError
from anmjax.agents.training.progress import Progress
from anmjax.agents.training.run_folder import RunFolderError
from tests.agents.probes import Match, TwoSteps

pytestmark = pytest.mark.usefixtures("standard_promotion")

CONFIG = PPOConfig(
    total_steps=6 * 16,
    num_envs=4,
    num_steps=4,
    num_minibatches=2,
    num_epochs=1,
    hidden_sizes=(8,),
    # Its parameters that begin at 0 are small multiples of what rounding makes of Adam's steps.
    layer_norm=False,
    max_episode_steps=3,
    updates_per_chunk=2,
)
KEY = jax.random.key(0)
OPTIONS = {"seed": 5, "task": "Match", "quiet": True}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training without interruption, and its folder."""
    out = tmp_path_factory.mktemp("whole")
    with jax.numpy_dtype_promotion("standard"):
        return train(Match(), CONFIG, out=out, **OPTIONS), out


def interrupt_after(rows, monkeypatch):
    """Ctrl-C arrives when the given number of rows has been shown."""
    add, shown = Progress.add, []

    def add_then_interrupt(self, row):
        add(self, row)
        shown.append(row)
        if len(shown) == rows:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "add", add_then_interrupt)


def test_a_training_that_was_interrupted_goes_on_bit_for_bit(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(2, patch)
        stopped = train(Match(), CONFIG, out=tmp_path, **OPTIONS)
    assert stopped.interrupted
    saved = load(stopped.checkpoint)
    assert saved.env_steps == 4 * 16
    assert saved.config == CONFIG

    resumed = train(Match(), resume=saved, out=tmp_path, task="Match", quiet=True)
    assert not resumed.interrupted
    expected, got = whole[0].learner, resumed.learner
    assert int(got.num_updates) == 6
    chex.assert_trees_all_equal(
        jax.tree.map(lambda leaf: leaf, got.policy), jax.tree.map(lambda leaf: leaf, expected.policy)
    )
    np.testing.assert_array_equal(jax.random.key_data(got.key), jax.random.key_data(expected.key))
    np.testing.assert_array_equal(got.states.obs, expected.states.obs)
    chex.assert_trees_all_equal(got.optimizer, expected.optimizer)


def test_a_training_from_before_states_had_costs_goes_on(whole):
    saved = load(whole[0].checkpoint)
    older = {name: leaf for name, leaf in saved.learner_leaves.items() if name != ".states.costs"}
    assert len(older) == len(saved.learner_leaves) - 1
    restored = restore_learner(replace(saved, learner_leaves=older), whole[0].agent).states
    expected = whole[0].learner.states
    chex.assert_trees_all_equal(restored.replace(key=None), expected.replace(key=None))


def test_the_starts_of_an_update_follow_from_its_number_alone(whole, tmp_path, monkeypatch):
    often = replace(CONFIG, renew_starts=3)
    expected = train(Match(), often, **OPTIONS).learner
    # A chunk ends where other starts begin, so that neither its length nor an interrupt changes a number.
    with monkeypatch.context() as patch:
        interrupt_after(2, patch)
        stopped = train(Match(), often, out=tmp_path, **OPTIONS)
    assert int(stopped.learner.num_updates) == 3
    resumed = train(Match(), resume=load(stopped.checkpoint), **(OPTIONS | {"seed": 0})).learner
    chex.assert_trees_all_equal(resumed.policy.params, expected.policy.params)
    np.testing.assert_array_equal(resumed.states.obs, expected.states.obs)
    # Three updates of one pool are those of a training that keeps it; the next are of other starts.
    assert not np.array_equal(whole[0].learner.states.obs, expected.states.obs)
    ppo = whole[0].agent
    pools = [np.asarray(replace(ppo, config=often).renewed(k).env.pool.obs[:, 0]) for k in (0, 2, 3, 5, 6)]
    np.testing.assert_array_equal(pools[0], ppo.env.pool.obs[:, 0])
    assert [np.array_equal(a, b) for a, b in itertools.pairwise(pools)] == [True, False, True, False]


def test_a_finished_training_goes_on_for_longer_bit_for_bit_and_with_the_step_size_of_the_longer_one(
    whole, tmp_path, monkeypatch
):
    finished = load(whole[0].checkpoint)
    longer = replace(CONFIG, total_steps=10 * 16)
    at_once = train(Match(), longer, resume=finished, task="Match", quiet=True)
    assert int(at_once.learner.num_updates) == 10

    with monkeypatch.context() as patch:
        interrupt_after(1, patch)
        stopped = train(Match(), longer, resume=finished, out=tmp_path, task="Match", quiet=True)
    saved = load(stopped.checkpoint)
    assert (saved.env_steps, saved.config) == (8 * 16, longer)
    resumed = train(Match(), resume=saved, out=tmp_path, task="Match", quiet=True)
    for got, expected in zip(
        jax.tree.leaves((resumed.learner.policy, resumed.learner.optimizer, resumed.learner.states.obs)),
        jax.tree.leaves((at_once.learner.policy, at_once.learner.optimizer, at_once.learner.states.obs)),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected)
    # At the old end the step size had come to 0; the longer training has 4 of its 10 updates left there, of 2
    # gradient steps each, so that 12 of 20 are done.
    assert at_once.agent.step_size(12) == pytest.approx(CONFIG.learning_rate * (1 - 12 / 20))
    assert whole[0].agent.step_size(12) == 0
    assert at_once.agent.step_size(20) == 0
    before, after = whole[0].learner.policy.params, at_once.learner.policy.params
    assert not np.array_equal(jax.tree.leaves(before)[0], jax.tree.leaves(after)[0])

    with pytest.raises(CheckpointError, match="has taken 96 steps already: total_steps is 80, but must"):
        train(Match(), replace(CONFIG, total_steps=5 * 16), resume=finished)


def test_the_clock_of_a_training_goes_on_where_it_stood(whole, tmp_path):
    saved = replace(load(whole[0].checkpoint), seconds=1000.0)
    train(Match(), replace(CONFIG, total_steps=10 * 16), resume=saved, out=tmp_path, task="Match", quiet=True)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    seconds = [1000.0, *(row["seconds"] for row in rows), load(tmp_path / "checkpoint.msgpack").seconds]
    assert seconds == sorted(seconds)
    assert 1000 < seconds[1] < seconds[-1] < 1000 + 600


def test_a_training_that_diverges_stops_and_keeps_its_last_good_checkpoint(whole, tmp_path, monkeypatch):
    run_chunk, calls = sharding.run_chunk, []

    def diverge(*arguments):
        learners, sums = run_chunk(*arguments)
        calls.append(int(arguments[2]))
        lost = sums.losses | {"value_loss": sums.losses["value_loss"] * np.nan}
        return learners, sums if len(calls) < 3 else sums.replace(losses=lost)

    monkeypatch.setattr(sharding, "run_chunk", diverge)
    with pytest.raises(DivergedError, match="diverged: after 64 steps its losses are not finite; a smaller"):
        train(Match(), CONFIG, out=tmp_path, **OPTIONS)
    # The first call compiles and takes no step.
    assert calls == [0, 2, 2]
    assert load(tmp_path / "checkpoint.msgpack").env_steps == 32


def test_a_folder_that_holds_a_training_is_not_written_over(whole):
    before = whole[0].checkpoint.read_bytes()
    with pytest.raises(RunFolderError, match="holds a training"):
        train(Match(), CONFIG, out=whole[1], **OPTIONS)
    assert whole[0].checkpoint.read_bytes() == before


@pytest.mark.slow
def test_seeds_that_train_together_learn_what_each_learns_alone(whole, tmp_path):
    outs = {5: tmp_path / "5", 6: tmp_path / "6"}
    first, second = train_seeds(Match(), CONFIG, outs=outs, task="Match", quiet=True)
    # Rounding: products of stacked matrices are summed in another order.
    for got, expected in zip(
        jax.tree.leaves(first.learner.policy), jax.tree.leaves(whole[0].learner.policy), strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-11)
    assert not np.array_equal(first.learner.states.obs, second.learner.states.obs)
    rows = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("5", "6")]
    assert [len(each) for each in rows] == [3, 3]
    assert load(second.checkpoint).seed == 6
    # One of them alone may have a folder: its metrics are its own.
    outs = {5: None, 6: tmp_path / "again"}
    train_seeds(Match(), CONFIG, outs=outs, task="Match", quiet=True)
    again = (tmp_path / "again" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["reward"] for line in again] == [json.loads(line)["reward"] for line in rows[1]]


def test_ctrl_c_before_the_first_chunk_leaves_a_checkpoint_that_acts(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("anmjax.agents.training.sharding.run_chunk", interrupt)
    stopped = train(Match(), CONFIG, out=tmp_path, **OPTIONS)
    policy = restore_policy(load(stopped.checkpoint), Match())
    assert Match().action_space.contains(policy(None, jnp.array([0.5, 7.0])))


def test_metrics_are_appended_as_they_come(whole):
    rows = [json.loads(line) for line in (whole[1] / "metrics.jsonl").read_text().splitlines()]
    assert [row["env_steps"] for row in rows] == [32, 64, 96]
    for row in rows:
        # Rewards of Match are at most 0, episodes have 3 steps.
        assert row["reward"] <= 0
        assert row["steps_per_second"] > 0
        assert {"policy_loss", "value_loss", "entropy", "kl", "violation_share"} <= row.keys()


def test_plain_lines_replace_the_bar_where_there_is_no_terminal(tmp_path, capsys):
    train(Match(), CONFIG, out=tmp_path, **(OPTIONS | {"quiet": False}))
    shown = capsys.readouterr().err
    assert "Compiling" in shown
    assert "100.0 %" in shown
    assert "\r" not in shown


def test_a_failed_write_leaves_the_previous_checkpoint_and_nothing_else(whole, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.msgpack"
    arguments = {"task": "Match", "seed": 0}
    checkpoint_module.save(path, whole[0].agent, whole[0].learner, **arguments)
    before = path.read_bytes()

    def disk_full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("anmjax.agents.training.whole_file.os.fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint_module.save(path, whole[0].agent, whole[0].learner, **arguments)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"", lambda _: b"hello\n"])
def test_a_damaged_or_foreign_file_is_one_clear_sentence(whole, tmp_path, damage):
    path = tmp_path / "broken"
    path.write_bytes(damage(whole[0].checkpoint.read_bytes()))
    with pytest.raises(CheckpointError, match="broken is not an anmjax checkpoint, or is damaged"):
        load(path)


def test_a_missing_checkpoint_is_one_clear_sentence(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot read the checkpoint .*none: No such file"):
        load(tmp_path / "none")


def test_a_checkpoint_of_other_options_is_refused_by_name_and_shape(whole):
    saved = load(whole[0].checkpoint)
    other = PPO.create(TwoSteps(), PPOConfig(num_envs=8, hidden_sizes=(8,), layer_norm=False))
    with pytest.raises(CheckpointError, match=r"\[4.*but this task and these options need .*\[8"):
        restore_learner(saved, other)
    with pytest.raises(CheckpointError, match="has other options; go on with its own"):
        train(Match(), PPOConfig(), resume=saved)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs is 0, but must be a whole number of at least 1"),
        ({"num_envs": 10, "num_minibatches": 4}, "num_minibatches is 4, but must divide num_envs, 10"),
        (
            {"gamma": 1.0, "learning_rate": -1},
            r"gamma is 1.0, .*; learning_rate is -1, .* above 0",
        ),
        ({"hidden_sizes": (64, 0)}, "hidden_sizes is"),
        ({"hidden_sizes": 64}, "hidden_sizes is 64, but must be at most 64 numbers, each a whole number"),
        ({"hidden_sizes": (8,) * 65}, r"hidden_sizes is \(8, 8, .*\), but must be at most 64 numbers"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, but must be a number above 0"),
        ({"reward_clip": float("inf")}, "reward_clip is inf, but must be a number above 0 and at most"),
        ({"learning_rate": True}, "learning_rate is True, but must be a number above 0"),
        ({"num_envs": 2**21}, "num_envs is 2097152, but must be .* at most 1,048,576"),
        ({"total_steps": 10**15}, "which takes 488,281,250,000 gradient steps, but there may be at most"),
        ({"network_dtype": "half"}, "network_dtype is 'half', but must be one of bfloat16, float16"),
        ({"normalize_rewards": "yes"}, "normalize_rewards is 'yes', but must be True or False"),
    ],
)
def test_an_option_outside_its_range_is_refused_with_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        PPOConfig(**options)
