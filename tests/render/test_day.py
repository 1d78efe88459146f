"""A day under a policy: its sums, and its picture."""

from __future__ import annotations

import io
from dataclasses import replace

import jax
import numpy as np
import pytest
from matplotlib.image import imread

import anmjax
from anmjax.agents.baselines import do_nothing_policy
from anmjax.agents.evaluation import evaluate
from anmjax.agents.replay import hour_of, replay
from anmjax.projection.control_layout import ControlLayout
from anmjax.render import plot_day
from tests.render.samples import grid, rollout


def of(figure, label):
    """The axis of the first policy that has this label."""
    return next(axis for axis in figure.axes if axis.get_ylabel() == label)


def names(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


@pytest.mark.long
def test_the_second_day_costs_what_the_evaluation_says_and_what_is_asked_is_kept():
    env = anmjax.make("ANM6Easy-v0")
    policy = do_nothing_policy(env)
    starts = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 1))
    start = jax.tree.map(lambda x: x[0], starts)
    kept = replay(env, policy, start, steps=96, skip=96)
    series = kept.series
    assert all(len(x) == 96 for x in series)
    assert kept.start_hour == hour_of(env, start)  # a day later
    cost = evaluate(env, policy, starts, horizon=192).cost_per_day
    assert series.e_loss.sum() + series.penalty.sum() == pytest.approx(cost, rel=1e-9)
    np.testing.assert_allclose(series.reward, -series.e_loss - series.penalty, rtol=1e-9)
    given = series.p_mw[:, list(kept.network.generators)]
    np.testing.assert_allclose(given.sum(1), series.potential_mw.sum(1), atol=1e-9)  # nothing is curtailed
    assert np.ptp(series.soc_mwh) < 1e-9
    # Doing nothing asks for the most of generators and for none of storage.
    layout = ControlLayout.of(kept.network)
    storage = layout.kinds["storage"]
    np.testing.assert_array_equal(series.asked_mw[:, storage], 0)
    assert (series.asked_mw >= series.p_mw[:, layout.devices] - 1e-9).all()


def test_a_column_for_each_policy_with_names_limits_and_vectors():
    net = grid(20)
    named = ("the outer grid", *(f"unit ${k}" for k in range(1, net.n_device)))
    net = replace(net, device_names=named)
    rollouts = {name: rollout(net, steps=8, seed=seed) for name, seed in (("a", 1), ("b" * 99, 2))}
    figure = plot_day(rollouts, title="two")
    assert [axis.get_title() for axis in figure.axes[:2]] == ["a", "b" * 23 + "…"]
    series = rollouts["a"].series
    voltages = of(figure, "voltage, p.u.")
    last = series.vm[:-1, 1:]  # without the collapse, and without the slack
    lowest = net.bus_ids[1 + np.unravel_index(last.argmin(), last.shape)[1]]
    assert f"lowest (bus {lowest})" in names(voltages)
    limits = {line.get_ydata()[0] for line in voltages.lines if line.get_linestyle() == "--"}
    assert limits == {0.95, 1.05}
    assert any(name.startswith("unit $") for name in names(of(figure, "P of devices, MW")))
    assert f"lost or stored, {series.e_loss.sum():.4g} in all" in names(of(figure, "cost of a step, p.u.h"))
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    assert b"<image" not in file.getvalue()


def test_a_grid_without_storage_ratings_or_clock_is_drawn_on_a_dark_ground():
    net = anmjax.Network.from_dict(
        {
            "baseMVA": 1,
            "bus": np.array([[0, 0, 20, 1, 1], [1, 1, 20, 1.1, 0.9]], object),
            "device": np.array([[0, 0, 0, *[None] * 12], [1, 1, -1, 0.2, 0, -1, *[None] * 9]], object),
            "branch": np.array([[0, 1, 0.01, 0.01, 0, None, 1, 0]], object),
        }
    )
    figure = plot_day({"idle": rollout(net, steps=3)._replace(start_hour=None)}, dark=True)
    assert names(of(figure, "charge, MWh")) == ["no storage"]
    assert names(of(figure, "branch loading, %")) == ["no rating"]
    assert names(of(figure, "P of devices, MW")) == ["no device is controlled"]
    assert figure.axes[-1].get_xlabel() == "hours from the start"
    file = io.BytesIO()
    figure.savefig(file)
    assert imread(io.BytesIO(file.getvalue()))[0, 0, :3].max() < 0.2
