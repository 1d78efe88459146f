"""Policies beside each other: the plots say what the evaluations say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from anmjax.agents.evaluation import Evaluation
from anmjax.render import plot_policies, plot_trade_off
from anmjax.render.comparison import pareto_front


def score(*returns: float, violations: float | None = 0.25, day: float | None = 2.0) -> Evaluation:
    error = np.std(returns, ddof=1) / np.sqrt(len(returns)) if len(returns) > 1 else np.nan
    what = {"starts": "some", "num_starts": len(returns), "horizon": 96, "gamma": 0.99}
    sums = dict.fromkeys(("energy_loss_per_step", "curtailment_per_step", "penalty_per_step"), 0.0)
    shares = {"violation_share": violations, "voltage_share": violations, "branch_share": 0.0}
    means = {"discounted_return": float(np.mean(returns)), "standard_error": float(error)}
    return Evaluation(**what, **means, **shares, cost_per_day=day, **sums, collapses=0, returns=returns)


def test_the_best_policy_is_first_and_intervals_are_those_of_the_mean():
    scores = {"worse $x$": score(-3.0, -5.0, -4.0), "better": score(-1.0, -2.0, -1.5, day=None)}
    figure = plot_policies(scores, title="a task")
    first, violations, costs = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["better", "worse $x$"]
    returns = scores["better"].returns
    low, high = stats.ttest_1samp(returns, 0).confidence_interval(0.95)
    (bars,) = first.containers
    (segments,) = bars.lines[2]
    np.testing.assert_allclose(segments.get_segments()[0][:, 0], [low, high])
    assert {text.get_text() for text in violations.texts} == {"25"}
    assert [text.get_text() for text in costs.texts] == ["-", "2"]


def test_a_task_without_a_grid_has_returns_alone():
    figure = plot_policies({"only": score(-1.0, violations=None, day=None)}, dark=True)
    assert len(figure.axes) == 1
    with pytest.raises(ValueError, match="scores is empty, but a plot needs at least one"):
        plot_policies({})


def test_a_front_is_of_the_points_that_no_other_beats_in_both():
    rng = np.random.default_rng(0)
    points = rng.integers(0, 12, (60, 2)).astype(float)
    front = pareto_front(points)
    unbeaten = [p for p in points if not ((points <= p).all(1) & (points < p).any(1)).any()]
    assert sorted(map(tuple, front)) == sorted({tuple(p) for p in unbeaten})

    figure = plot_trade_off({"one": [(0.0, 3.0), (1.0, 1.0)], "two": [(0.5, 4.0)]})
    (axis,) = figure.axes
    np.testing.assert_allclose(axis.lines[0].get_xydata(), [[0, 3], [1, 1]])
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["Pareto front", "one", "two"]
    for wrong in ({}, {"one": [(np.nan, 1.0)]}):
        with pytest.raises(ValueError, match="points must be some"):
            plot_trade_off(wrong)
