"""A day under a policy: its sums, and its picture."""

from __future__ import annotations

import io

import jax
import numpy as np
import pytest
from matplotlib.image import imread

import anmjax
from anmjax.agents.baselines import do_nothing_policy
from anmjax.agents.day import a_day
from anmjax.agents.evaluation import evaluate
from anmjax.render.day import plot_day


@pytest.mark.long
def test_the_second_day_costs_what_the_evaluation_says_and_can_be_drawn():
    env = anmjax.make("ANM6Easy-v0")
    policy = do_nothing_policy(env)
    starts = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 1))
    day = a_day(env, policy, jax.tree.map(lambda x: x[0], starts))
    assert all(len(x) == 96 for x in day)
    cost = evaluate(env, policy, starts, horizon=192).cost_per_day
    assert day.e_loss.sum() + day.penalty.sum() == pytest.approx(cost, rel=1e-9)
    np.testing.assert_allclose(day.generated, day.potential, atol=1e-9)  # nothing is curtailed
    assert day.loading.max() > 1  # branches are overloaded
    assert np.ptp(day.soc) < 1e-9

    file = io.BytesIO()
    figure = plot_day({"do-nothing": day, "again": day}, title="ANM6Easy-v0")
    figure.savefig(file)
    assert [axis.get_title() for axis in figure.axes[:2]] == ["do-nothing", "again"]
    assert imread(io.BytesIO(file.getvalue())).shape[1] > 500
