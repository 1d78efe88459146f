"""Contingency analysis: against pandapower and against power flows of each network by itself."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import anmjax
from anmjax.lanes.schedule import AllAtOnce, CPUBlocks
from anmjax.powerflow import compensated_chord, compensation
from tests.powerflow.networks import random_network
from tests.powerflow.pandapower_reference import assert_outages_equal, imported

# pandapower says it of nets that it ships itself.
pytestmark = pytest.mark.filterwarnings("ignore:tap_dependency_table is missing:DeprecationWarning")

TOL = 1e-10  # p.u.


def analysis(net, p=None, q=None, **options):
    return anmjax.contingency_analysis(
        net, net.p if p is None else p, net.q if q is None else q, tol=TOL, **options
    )


def one_by_one(net, p, q):
    """Every outage by a power flow of the network without the branch."""

    def one(k):
        out = replace(net, in_service=jnp.asarray(net.in_service).at[k].set(0))
        return anmjax.power_flow(out, p, q, tol=TOL)

    return jax.jit(jax.vmap(one))(jnp.arange(net.n_branch))


@pytest.fixture(scope="module")
def case14():
    reference, net = imported("case14")
    return reference, net, analysis(net)


def test_every_outage_of_case14_equals_pandapowers_and_the_one_that_islands_is_flagged(case14):
    reference, net, found = case14
    islanding = assert_outages_equal(reference, net, found)
    np.testing.assert_array_equal(np.flatnonzero(found.islanded), islanding)
    np.testing.assert_array_equal(found.branch, np.arange(net.n_branch))
    assert len(islanding) == 1
    assert found.mismatch[np.asarray(found.converged)].max() <= TOL * 1.01


@pytest.mark.long
def test_the_schedule_of_a_gpu_gives_the_same(case14):
    _, net, found = case14
    other = analysis(net, schedule=AllAtOnce())
    np.testing.assert_allclose(other.v, found.v, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(other.converged, found.converged)


def test_chosen_outages_are_those_of_all_by_row_and_by_name(case14):
    _, net, found = case14
    named = replace(net, branch_names=tuple(f"line {k}" for k in range(net.n_branch)))
    some = analysis(named, outages=["line 7", 3])
    np.testing.assert_array_equal(some.branch, [7, 3])
    np.testing.assert_allclose(some.v, np.asarray(found.v)[[7, 3]], rtol=0, atol=1e-9)


def test_loadings_are_those_of_the_network_without_the_branch_and_the_severest_comes_first(case14):
    _, net, found = case14
    rated = replace(net, rating=np.full(net.n_branch, 0.8))
    loading = found.loading(rated)
    assert loading.shape == (net.n_branch, net.n_branch)
    np.testing.assert_array_equal(np.diag(loading), 0)
    without = replace(rated, in_service=np.where(np.arange(net.n_branch) == 2, 0.0, 1.0))
    np.testing.assert_allclose(loading[2], anmjax.branch_loading(without, found.v[2]), rtol=1e-12)
    worst = np.asarray(found.worst(rated))
    assert np.isinf(worst[np.asarray(found.islanded)]).all()
    np.testing.assert_array_equal(worst[~np.asarray(found.islanded)], loading.max(1)[found.converged])


@pytest.mark.long
def test_the_worst_loading_has_the_gradient_of_its_outage_alone(case14):
    _, net, found = case14
    rated = replace(net, rating=np.full(net.n_branch, 0.8))
    k = int(jnp.where(found.converged, found.worst(rated), 0).argmax())

    def worst(p, q):
        seen = analysis(rated, p, q)
        return jnp.where(seen.converged, seen.worst(rated), 0).max()

    def alone(p, q):
        out = replace(rated, in_service=jnp.asarray(rated.in_service).at[k].set(0))
        return anmjax.branch_loading(out, anmjax.power_flow(out, p, q, tol=TOL).v).max()

    ours, theirs = (jax.jit(jax.grad(f, (0, 1)))(net.p, net.q) for f in (worst, alone))
    for a, b in zip(ours, theirs, strict=True):
        assert np.abs(b).max() > 0.1
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
    tangent = jax.jvp(lambda p: worst(p, net.q), (jnp.asarray(net.p),), (jnp.ones_like(net.p),))[1]
    np.testing.assert_allclose(tangent, ours[0].sum(), rtol=1e-9)


@pytest.mark.long
def test_several_injections_are_worked_through_under_vmap(case14):
    _, net, _ = case14
    scale = jnp.array([0.8, 1.1])
    both = jax.jit(jax.vmap(lambda k: analysis(net, k * net.p, k * net.q)))(scale)
    for i, k in enumerate(scale):
        alone = analysis(net, k * net.p, k * net.q)
        np.testing.assert_allclose(both.v[i], alone.v, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(both.converged[i], alone.converged)


@pytest.mark.parametrize(
    "kind",
    [
        "meshed",
        "held",
        *(
            pytest.param(kind, marks=pytest.mark.long)
            for kind in ("parallel", "radial", "one open", "two slacks")
        ),
    ],
)
def test_random_networks_equal_their_power_flows(kind):
    rng = np.random.default_rng(5)
    extra = {"radial": 0}.get(kind, 5)
    net = random_network(rng, 12, extra, parallel=3 if kind == "parallel" else 0)
    if kind == "held":
        net = replace(net, pv=tuple(k for k in (3, 6) if k != net.slack))
    if kind == "one open":
        in_service = np.ones(net.n_branch)
        in_service[4] = 0
        net = replace(net, in_service=in_service)
    if kind == "two slacks":
        further = next(k for k in range(net.n_bus) if k != net.slack)
        angle = float(np.ravel(net.slack_angle)[0])
        net = replace(net, slacks=(*net.slacks, further), slack_angle=np.array([angle, angle + 0.01]))
    p, q = 0.02 * rng.standard_normal((2, net.n_bus))
    found, expected = analysis(net, p, q), one_by_one(net, p, q)
    np.testing.assert_array_equal(found.converged, expected.converged)
    solved = np.asarray(expected.converged)
    np.testing.assert_allclose(found.v[solved], expected.v[solved], rtol=0, atol=1e-8)
    np.testing.assert_array_equal(found.islanded, ~solved)
    if kind == "radial":
        assert not found.converged.any()
    else:
        assert found.converged.sum() >= 5


def test_what_the_chord_method_leaves_newtons_method_solves(case14, monkeypatch):
    _, net, found = case14
    monkeypatch.setattr(compensated_chord, "CHORD_UPDATES", 1)
    # Another schedule: not the program that is compiled already.
    other = analysis(net, schedule=CPUBlocks(min_block=8))
    np.testing.assert_array_equal(other.converged, found.converged)
    np.testing.assert_allclose(other.v, found.v, rtol=0, atol=1e-9)
    assert (np.asarray(other.iterations)[np.asarray(other.converged)] >= 3).all()


@pytest.mark.long
def test_without_room_for_the_inverse_it_is_the_same(case14, monkeypatch):
    _, net, found = case14
    monkeypatch.setattr(compensation, "MOST_UNKNOWNS", 0)
    other = analysis(net, schedule=CPUBlocks(min_block=7))
    np.testing.assert_allclose(other.v, found.v, rtol=0, atol=1e-9)


def test_beyond_collapse_there_is_no_solution_and_no_nan(case14):
    _, net, _ = case14
    found = analysis(net, 12 * net.p, 12 * net.q)
    assert not found.converged.any()
    assert np.isfinite(found.v).all()
    gradient = jax.grad(lambda p: jnp.abs(analysis(net, p, 12 * net.q).v).sum())(12 * net.p)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": np.zeros(3)}, r"p has shape \(3,\), expected \(14,\)"),
        ({"outages": ["line 99"]}, "'line 99' is no branch, neither a row of 0 to 19 nor a name"),
        ({"outages": [20]}, "20 is no branch"),
        ({"outages": jnp.zeros((2, 2), int)}, r"outages has shape \(2, 2\)"),
        ({"init": jnp.ones(3, complex)}, r"init has shape \(3,\)"),
    ],
)
def test_bad_arguments_are_told(case14, options, message):
    _, net, _ = case14
    with pytest.raises(ValueError, match=message):
        analysis(net, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "splits", "without"), [("case118", 9, []), ("case1354pegase", 561, [75, 1754])]
)
def test_every_outage_of_a_large_grid_equals_pandapowers(name, splits, without):
    reference, net = imported(name)
    found = analysis(net)
    islanding = assert_outages_equal(reference, net, found)
    np.testing.assert_array_equal(np.flatnonzero(found.islanded), islanding)
    assert len(islanding) == splits
    # Those two pandapower does not solve either.
    np.testing.assert_array_equal(np.flatnonzero(~(found.converged | found.islanded)), without)
