"""A second learner trains, is saved, goes on and is scored, with a line of its own nowhere else."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import anmjax
from anmjax.agents.ppo import PPO, PPOConfig
from anmjax.agents.registry import AGENTS, name_of
from anmjax.agents.training.checkpoint import CheckpointError, load, restore_policy
from anmjax.agents.training.loop import train
from anmjax.agents.training.progress import Progress
from anmjax.agents.training.sharding import mesh_for
from anmjax.cli import main
from tests.agents.probes import Match
from tests.agents.random_search import KIND, RandomSearch, SearchConfig

CONFIG = SearchConfig()  # six updates of 4 grids times 4 steps, in chunks of two
OPTIONS = {"seed": 5, "task": "Match-v0", "quiet": True}
CLOCK = {"seconds", "steps_per_second"}


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Random search among the agents, Match among the tasks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(AGENTS, "search", KIND)
        patch.setattr(anmjax, "registered_tasks", lambda: ("Match-v0",), raising=False)
        patch.setattr(anmjax, "make", lambda task, **_: Match(), raising=False)
        yield


@pytest.fixture(scope="module")
def whole(registered, tmp_path_factory):
    """A training without interruption, and its folder."""
    out = tmp_path_factory.mktemp("whole")
    return train(Match(), CONFIG, out=out, **OPTIONS), out


def rows_of(out):
    """The learning curve without its clock."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


def assert_same_training(got, expected):
    got, expected = load(got / "checkpoint.msgpack"), load(expected / "checkpoint.msgpack")
    for ours, theirs in (
        (got.policy_leaves, expected.policy_leaves),
        (got.learner_leaves, expected.learner_leaves),
    ):
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_the_columns_of_a_learning_curve_are_those_that_the_agent_gives(whole):
    rows = rows_of(whole[1])
    assert [row["env_steps"] for row in rows] == [32, 64, 96]
    assert all(row.keys() == {"env_steps", "updates", "reward", "improvements"} for row in rows)
    # The first policy tried is better than none.
    assert rows[0]["improvements"] >= 1
    # A mean over steps: of Match, with actions from -1 to 3 and signals from -1 to 1, -(3 - 1 + 1)^2 to 0.
    assert all(-9 <= row["reward"] <= 0 for row in rows)


def test_a_training_that_was_interrupted_goes_on_bit_for_bit(whole, tmp_path, monkeypatch):
    add = Progress.add

    def interrupt(self, *rows):
        add(self, *rows)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "add", interrupt)
        stopped = train(Match(), CONFIG, out=tmp_path, **OPTIONS)
    saved = load(stopped.checkpoint)
    assert (stopped.interrupted, saved.env_steps, saved.agent) == (True, 32, "search")
    assert saved.config == CONFIG
    train(Match(), resume=saved, out=tmp_path, task="Match-v0", quiet=True)
    assert_same_training(tmp_path, whole[1])
    assert rows_of(tmp_path) == rows_of(whole[1])


def test_the_policy_of_a_checkpoint_acts_as_the_one_that_was_trained(whole):
    policy = restore_policy(load(whole[0].checkpoint), Match())
    for signal in (-0.5, 0.5):
        obs = jnp.array([signal, 7.0])
        expected = np.clip(obs @ np.asarray(whole[0].learner.best), -1, 3)
        np.testing.assert_array_equal(policy(None, obs), expected)
        np.testing.assert_array_equal(whole[0].policy(None, obs), expected)


def test_who_watches_sees_the_policy_after_the_first_chunk_and_at_the_end(whole):
    seen = []
    done = train(Match(), CONFIG, watch=lambda policy, steps: seen.append((policy, steps)), **OPTIONS)
    # In no time: nothing in between is due.
    assert [steps for _, steps in seen] == [32, 96]
    obs = jnp.array([0.5, 7.0])
    np.testing.assert_array_equal(seen[-1][0](None, obs), whole[0].policy(None, obs))
    np.testing.assert_array_equal(done.learner.best, whole[0].learner.best)


def test_options_of_another_agent_do_not_go_on_with_a_training(whole):
    with pytest.raises(CheckpointError, match="has other options; go on with its own"):
        train(Match(), PPOConfig(), resume=load(whole[0].checkpoint))


def test_the_command_line_trains_evaluates_and_goes_on(whole, tmp_path, capsys):
    out = tmp_path / "run"
    command = ["train", "Match-v0", "--agent", "search", "--seed", "5", "--out", str(out)]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert "Training random search on Match-v0, seed 5, 96 steps." in captured.err
    assert "100.0 %  96/96 steps, 0 s left" in captured.err
    assert "search, seed 5" in captured.out
    assert_same_training(out, whole[1])
    assert json.loads((out / "run.json").read_text())["agent"] == "search"
    assert (out / "learning_curve.png").exists()
    score = json.loads((out / "evaluation.json").read_text())["search, seed 5"]["discounted_return"]

    assert main(["evaluate", str(out), "--json", str(tmp_path / "scores.json")]) == 0
    again = json.loads((tmp_path / "scores.json").read_text())["policies"][str(out)]
    assert again["discounted_return"] == score
    capsys.readouterr()

    # The agent is that of the checkpoint, named or not.
    assert main(["train", "--resume", str(out), "--agent", "ppo"]) == 2
    refusal = capsys.readouterr().err.splitlines()[-1]
    assert refusal == f"anmjax: {out} is a training of search, not of ppo."
    assert main(["train", "--resume", str(out), "--total-steps", "128", "--quiet"]) == 0
    assert load(out / "checkpoint.msgpack").env_steps == 128
    assert rows_of(out)[:3] == rows_of(whole[1])


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("--agent serach", "unknown agent serach; did you mean search? There are: ppo, ippo, shac, search."),
        ("--agent=zzz", "unknown agent zzz. There are: ppo, ippo, shac, search."),
        ("--agent", "--agent: expected one argument."),
        ("--agent search --watch", "--watch shows a grid, and Match-v0 has none."),
        ("--algo search", "unknown option --algo; did you mean --agent?"),
        ("--agent search --reach 0", "--reach is 0.0, but must be a number above 0 and at most 10."),
        (
            "--agent search --num-envs 0 --reach 11",
            "--num-envs is 0, but must be a whole number of at least 1 and at most 1,048,576; --reach is "
            "11.0, but must be a number above 0 and at most 10.",
        ),
        ("--agent search --gae-lambda 1", "unknown option --gae-lambda here: it is one of --agent ppo."),
        ("--reach 0.1", "unknown option --reach here: it is one of --agent search."),
        ("--agent search --agent ppo --reach 1", "unknown option --reach here: it is one of --agent search."),
    ],
)
def test_the_options_are_those_of_the_agent_that_is_named(capsys, command, sentence):
    assert main(["train", "Match-v0", *command.split()]) == 2
    assert capsys.readouterr().err == f"anmjax: {sentence}\n"


def test_help_shows_the_options_of_the_agent_that_is_named(capsys):
    for words, shown, hidden in (
        (["--agent", "search"], "options of random search", "--clip-epsilon"),
        ([], "options of PPO", "--reach"),
    ):
        with pytest.raises(SystemExit):
            main(["train", *words, "--help"])
        text = capsys.readouterr().out
        assert shown in text
        assert hidden not in text
        assert "ppo, ippo, shac, search (default: ppo)" in " ".join(text.split())


def test_a_learner_is_laid_out_over_devices_as_its_agent_says():
    agent, key = RandomSearch.create(Match(), CONFIG), jax.random.key(5)
    alone = jax.jit(agent.init)(key)
    after, metrics = jax.jit(agent.update)(alone)
    # Two shares side by side: what is shared must come out once, or vmap refuses.
    share, axes = replace(agent, axis_name="lanes"), agent.layout(None, 0)
    side_by_side = partial(jax.vmap, axis_name="lanes", axis_size=2)
    begun = jax.jit(side_by_side(share.init, in_axes=None, out_axes=axes))(key)
    shared, same = jax.jit(side_by_side(share.update, in_axes=(axes,), out_axes=(axes, None)))(begun)
    for ours, theirs in ((begun, alone), (shared, after)):
        np.testing.assert_array_equal(ours.states.obs.reshape(4, 2), theirs.states.obs)
        np.testing.assert_array_equal(ours.best, theirs.best)
    # Rounding: 16 rewards of at most 9, added in another order.
    np.testing.assert_allclose(same.per_step["reward"], metrics.per_step["reward"], rtol=1e-14)


def test_lanes_are_shared_out_in_the_units_of_the_agent(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: list("abcd"))
    with pytest.raises(ValueError, match=r"num_envs is 5, but must be a multiple of 4: the devices, 4$"):
        mesh_for(replace(CONFIG, num_envs=5), 4)
    with pytest.raises(ValueError, match=r"is 12, but must be a multiple of 16: num_minibatches, 4, times"):
        mesh_for(PPOConfig(num_envs=12), 4)


def test_options_of_no_agent_are_refused():
    class Stranger(SearchConfig):
        pass

    assert name_of(CONFIG) == "search"
    with pytest.raises(
        ValueError, match=r"Stranger is of no agent in AGENTS: expected .* of ppo, ippo, shac, search"
    ):
        name_of(Stranger())


@struct.dataclass
class NoGrid(Match):
    """An environment without a grid: a step has no metrics at all."""

    def reset(self, key):
        return super().reset(key).replace(metrics={})

    def step(self, state, action):
        return super().step(state, action).replace(metrics={})


def test_ppo_learns_without_a_grid_and_says_nothing_of_one(standard_promotion):
    ppo = PPO.create(NoGrid(), PPOConfig(num_envs=4))
    metrics = jax.eval_shape(ppo.update, jax.eval_shape(ppo.init, jax.random.key(0)))[1]
    # With limits to violate, and networks to collapse, there are violation_share and collapses besides.
    told = {*metrics.per_step, *metrics.per_episode, *metrics.totals, *metrics.losses}
    assert told == {"reward", "episode_return", "policy_loss", "value_loss"}
