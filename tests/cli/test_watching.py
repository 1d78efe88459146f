"""The page of a training: a day under the policy of the moment, from the same start."""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest

import anmjax
from anmjax.agents.baselines import do_nothing_policy
from anmjax.agents.evaluation import starts_of
from anmjax.agents.replay import replay
from anmjax.cli.watching import Watched


@pytest.fixture(scope="module")
def env():
    return anmjax.make("ANM6Easy-v0")


@pytest.mark.long
def test_each_policy_has_its_day_on_the_page_from_the_start_on(env, capsys):
    shown = Watched(env, "ANM6Easy-v0")
    address = re.fullmatch(r"Watch: (http://127\.0\.0\.1:\d+/\S+/)\n", capsys.readouterr().err)
    assert address
    assert address[1] == shown.page.address
    before = shown.page.frames(-1, 0)
    assert (before["name"], before["steps"], before["start_hour"]) == ("nothing learned yet", 1, 0.0)

    policy = do_nothing_policy(env)
    shown(policy, 4_096_000)
    news = shown.page.frames(before["episode"], 1)
    assert (news["name"], news["steps"], news["lead"]) == ("after 4,096,000 steps", 97, 0)
    starts, _ = starts_of(env, jax.random.key(0), num_starts=1)
    day = replay(env, policy, jax.tree.map(lambda x: x[0], starts), steps=96).series
    np.testing.assert_allclose(np.transpose(news["series"]["s_mva"])[1:], day.s_mva, rtol=1e-7, atol=1e-9)
    shown.page.close()
