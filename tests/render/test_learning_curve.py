"""The learning curve shows every row of the metrics, on axes that suit them."""

from __future__ import annotations

import numpy as np
import pytest

from anmjax.render.learning_curve import plot_learning_curve


def rows(returns):
    return [
        {"env_steps": 1e6 * (i + 1), "episode_return": x, "violation_share": 0.5, "value_loss": 0.1}
        for i, x in enumerate(returns)
    ]


def test_a_panel_shows_each_metric_over_millions_of_steps(tmp_path):
    figure = plot_learning_curve(rows([-3.0, None, -1.0]), title="PPO")
    returns, violations, losses = figure.axes
    np.testing.assert_array_equal(returns.lines[0].get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(returns.lines[0].get_ydata(), [-3, np.nan, -1])
    np.testing.assert_array_equal(violations.lines[0].get_ydata(), [50, 50, 50])
    assert (returns.get_yscale(), losses.get_yscale()) == ("linear", "log")
    assert figure.get_suptitle() == "PPO"
    figure.savefig(tmp_path / "curve.png")


@pytest.mark.parametrize("returns", [[-700.0, -50.0, -12.0], [1.0, 100.0], [-300.0, 0.0, 2.0]])
def test_returns_of_very_different_sizes_are_all_seen(tmp_path, returns):
    figure = plot_learning_curve(rows(returns))
    assert figure.axes[0].get_yscale() == "symlog"
    figure.savefig(tmp_path / "curve.png")


@pytest.mark.parametrize("returns", [[None], [0.0], [-5.0]])
def test_a_single_row_is_drawn(tmp_path, returns):
    plot_learning_curve(rows(returns)).savefig(tmp_path / "curve.png")


def test_panels_are_of_what_the_learner_tells_of(tmp_path):
    for others, labels in (
        ({"value_loss": 0.1, "episode_return": -1.0}, ["return of an episode", "value loss"]),
        ({"reward": -1.0}, ["reward of a step", "steps per second"]),
        ({}, ["steps per second"]),
    ):
        figure = plot_learning_curve([{"env_steps": 1e6, "steps_per_second": 1e5} | others])
        assert [axis.get_ylabel() for axis in figure.axes] == labels
        assert figure.axes[-1].get_xlabel() == "environment steps, millions"
        figure.savefig(tmp_path / "curve.png")
