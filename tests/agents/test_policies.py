"""The trained policies that come with the package: what they score, here and in gym-anm."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax.agents.policies import FOLDER, made, shipped
from anmjax.agents.training.checkpoint import CheckpointError, restore_learner
from anmjax.agents.training.loop import train
from anmjax.cli import main

pytestmark = pytest.mark.usefixtures("standard_promotion")


def test_every_file_has_an_entry_and_every_entry_a_file():
    assert {path.stem for path in FOLDER.glob("*.msgpack")} == made().keys()
    tasks = ("ANM6Easy-v0", "IEEE33Easy-v0")
    assert made().keys() >= {f"{agent}@{task}" for agent in ("ppo", "shac") for task in tasks}
    for entry in made().values():
        assert entry.keys() >= {"command", "seed", "versions", "commit", "discounted_return"}


def test_another_policy_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError, match=r"no policy ppo@ANM6-v9 comes with anmjax: there are .*shac@ANM6Easy-v0"
    ):
        anmjax.load_policy("ANM6-v9", "ppo")


def test_a_policy_of_the_package_does_not_go_on_training(tmp_path):
    checkpoint = shipped("ANM6Easy-v0", "shac")
    assert (checkpoint.agent, checkpoint.learner_leaves) == ("shac", {})
    with pytest.raises(CheckpointError, match="holds a policy alone: it acts, but its training cannot go on"):
        restore_learner(checkpoint, None)
    # Before a folder is claimed.
    with pytest.raises(CheckpointError, match="holds a policy alone"):
        train(None, resume=checkpoint, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def in_gym_anm(policy, t0, num_steps):
    """Rewards of the policy in gym-anm's own ANM6Easy, from an hour of the day and a charge of 0.5 MWh."""
    from gym_anm.envs import ANM6Easy

    start = anmjax.make("ANM6Easy-v0", dtype=np.float64).evaluation_starts()
    parts = (start.p_dev, start.q_dev, start.soc, start.p_max, start.aux)
    vector = np.concatenate([np.asarray(part)[t0] for part in parts])

    class Chosen(ANM6Easy):
        def init_state(self):
            return vector.copy()

    env = Chosen()
    obs, _ = env.reset()
    act = jax.jit(lambda obs: policy(None, obs))
    rewards = []
    for _ in range(num_steps):
        obs, reward, terminated, _, _ = env.step(np.asarray(act(jnp.asarray(obs))))
        assert not terminated
        rewards.append(reward)
    return np.array(rewards)


def in_anmjax(policy, t0, num_steps):
    env = anmjax.make("ANM6Easy-v0", dtype=np.float64)
    start = jax.tree.map(lambda x: x[t0], env.evaluation_starts())

    def step(state, _):
        state = env.step(state, policy.act(None, state))
        return state, state.reward

    begin = env.reset_to(jax.random.key(0), start)
    return np.asarray(jax.jit(lambda s: jax.lax.scan(step, s, length=num_steps)[1])(begin))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "num_steps"),
    [
        pytest.param("shac", 200, marks=pytest.mark.long),
        pytest.param("shac", 3000, marks=pytest.mark.slow),
        pytest.param("ppo", 3000, marks=pytest.mark.slow),
    ],
)
def test_a_policy_of_the_package_returns_the_same_in_gym_anm(agent, num_steps):
    env = anmjax.make("ANM6Easy-v0", dtype=np.float64)
    policy = anmjax.load_policy("ANM6Easy-v0", agent, env=env)
    discount = 0.995 ** np.arange(num_steps)
    theirs, ours = in_gym_anm(policy, 0, num_steps), in_anmjax(policy, 0, num_steps)
    # Both solve the power flow to 1e-8 or better; the policy answers to what it sees.
    np.testing.assert_allclose(discount @ ours, discount @ theirs, rtol=0, atol=1e-6)


@pytest.mark.long
def test_the_command_line_scores_a_policy_of_the_package(capsys):
    assert main(["evaluate", "shac@ANM6Easy-v0", "--horizon", "96", "--num-starts", "2"]) == 0
    assert "shac@ANM6Easy-v0" in capsys.readouterr().out
    assert main(["evaluate", "shac@Nothing-v0"]) == 2
    assert "no policy shac@Nothing-v0 comes with anmjax" in capsys.readouterr().err
    assert main(["evaluate", "shca@ANM6Easy-v0"]) == 2
    assert "is of no learner; did you mean shac? There are: ppo, ippo, shac." in capsys.readouterr().err
