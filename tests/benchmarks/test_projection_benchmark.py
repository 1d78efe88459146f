"""What the projection benchmark stands on: problems with known answers, their judge, the peers, the table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax.sharding import Mesh

import anmjax
from anmjax.envs.spaces import Box
from anmjax.projection import DeviceLimits, project_to_device_region
from benchmarks import all as whole
from benchmarks.projection import peers, safety
from benchmarks.projection import tables as projection_tables
from benchmarks.projection.problems import judge, nearest, random_programs, random_regions
from benchmarks.projection.speed import parse, plan

# cvxpy and its peers warn of their own deprecations.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.mark.parametrize(("n", "m", "p"), [(6, 39, 0), (20, 60, 6)])
def test_programs_are_solved_by_the_known_solution_which_the_judge_says(n, m, p):
    known = random_programs(3, n, m, p)
    good = judge(known, known.x, np.ones(3, bool), known.gradient)
    assert good["max_objective_gap"] == 0
    assert good["max_violation"] < 1e-12
    assert good["max_gradient_error"] == 0
    assert good["converged"] == 1
    worse = judge(
        known, known.x + np.array([[1e-3], [0], [0]]), np.array([True, True, False]), known.gradient
    )
    assert worse["max_violation"] > 1e-4
    assert worse["converged"] == pytest.approx(2 / 3)
    nothing = judge(known, np.full((3, n), np.nan), np.zeros(3, bool))
    assert nothing == {"max_objective_gap": None, "max_violation": None, "converged": 0}


def test_the_nearest_point_of_a_triangle_is_itself_a_foot_or_a_corner():
    half = np.sqrt(0.5)
    G, h = np.array([[-1, 0], [0, -1], [half, half]]), np.array([0, 0, half])
    points = np.array([[0.2, 0.2], [1, 1], [-1, -2], [0.5, -1]])
    expected = [[0.2, 0.2], [0.5, 0.5], [0, 0], [0.5, 0]]
    np.testing.assert_allclose(
        nearest(points, np.tile(G, (4, 1, 1)), np.tile(h, (4, 1))), expected, atol=1e-12
    )


def test_projections_in_closed_form_are_the_nearest_points_of_the_polygons():
    regions = random_regions(500)
    with jax.enable_x64(True):
        p, q, *limits, low, high = (jnp.asarray(x) for x in regions.data)
        x = np.stack(project_to_device_region(p, q, DeviceLimits(*limits), low, high), 1)
    np.testing.assert_allclose(x, regions.programs(500).x, atol=1e-9)
    moved = np.hypot(*(x - regions.point).T)
    assert 0.2 < np.mean(moved > 1e-9) < 1


def test_peers_find_the_known_solutions_and_gradients():
    for package in ("clarabel", "osqp", "qpax"):
        pytest.importorskip(package)
    known = random_programs(2, 4, 8, 1)
    mesh = Mesh(np.array(jax.devices()[:1]), ("lanes",))
    # qpax relies on implicit promotion, which tests of ours forbid.
    as_usual = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")
    with jax.enable_x64(True), as_usual[0], as_usual[1]:
        found = {
            "clarabel": peers.clarabel(known.programs, 0.0).answers(),
            "osqp": peers.osqp(known.programs, 0.0).answers(),
            "qpax": peers.qpax(known.programs, mesh, 0.0, gradient=True).answers(),
        }
    for name, answers in found.items():
        quality = judge(known, *answers)
        assert quality["converged"] == 1, name
        assert quality["max_objective_gap"] < 1e-5, name
        assert quality["max_violation"] < 1e-5, name
    assert judge(known, *found["qpax"])["max_gradient_error"] < 1e-2


def test_without_a_known_gradient_none_is_judged():
    known = replace(random_programs(1, 2, 3, 0), gradient=None)
    assert "max_gradient_error" not in judge(known, known.x, np.ones(1, bool), known.programs[1:3])


def test_a_batch_too_large_is_left_out_and_a_million_points_are_not():
    found = plan(parse([]))
    assert (None, 1_000_000) in found
    assert ((60, 120, 10), 64) in found
    assert ((60, 120, 10), 1024) not in found


def test_the_parts_on_a_gpu_end_in_time():
    assert sum(part.limit_s for part in whole.ON_GPU) < 600


def measured(solver: str, rate: float, **entries: Any) -> dict[str, Any]:
    return {
        **{"problem": "qp", "n": 2, "m": 3, "p": 1, "dtype": "float64", "solver": solver},
        **{"what": "forward", "batch": 16, "converged": 1.0, "max_objective_gap": 1e-9},
        "solves_per_s": {"median": rate, "low": rate, "high": rate, "repeats": 1},
        **entries,
    }


def test_a_ratio_in_the_table_is_of_the_best_rates():
    ours = {"trace_s": 0.5, "compile_s": 1.0}
    rows = [
        measured("anmjax", 300.0, **ours),
        measured("anmjax", 600.0, **ours | {"batch": 64}),
        measured("clarabel", 100.0),
        measured("clarabel", 200.0),
        measured("osqp", 10.0, n=3),
    ]
    cells = projection_tables.beside(rows, rows[2:])[0].splitlines()[-1]
    assert cells == "| qp 2, 3, 1, forward | float64 | 600 | 64 | 3 | - | 1.5 |"
    assert "| anmjax, float64 | qp 2, 3, 1, forward | 1e-09 | - | - | 100 % |" in "\n".join(
        projection_tables.quality(rows)
    )


def test_what_no_action_keeps_is_not_held_against_the_layer():
    steps = {
        "going": [[True, True, True, False]],
        "violates": [[True, True, False, True]],
        "collapsed": [[False, True, False, True]],
        "told": [[True, False, False, True]],
        "distance": [[0.3, 0.6, 0.0, 9.0]],
    }
    days = {name: np.array(value) for name, value in steps.items()}
    searched = {name: value.reshape(-1) for name, value in days.items()}
    # No action for the first; one for the second; none found for the third, which kept its limits itself.
    found = safety.summary(days, searched, np.array([0.2, 0.0, 0.1, 0.0]))
    assert found["violates"] == pytest.approx(2 / 3)
    assert found["collapsed"] == found["told_out_of_reach"] == pytest.approx(1 / 3)
    assert found["distance_pu"] == pytest.approx(0.3)
    assert found["searched"] == 3
    assert found["feasible"] == pytest.approx(2 / 3)
    assert found["violates_where_feasible"] == pytest.approx(1 / 2)


def test_the_search_finds_what_a_grid_of_actions_finds():
    class Valley(struct.PyTreeNode):
        """Violates a limit by the distance of the action from (0.3, -0.2), and collapses where P > 0.9."""

        action_space = Box(jnp.full(2, -1.0), jnp.full(2, 1.0))

        def step(self, state, action):
            miss = jnp.abs(action - jnp.array([0.3, -0.2]))
            metrics = {"voltage_violation": miss[0], "branch_violation": miss[1]}
            return state.replace(metrics=metrics, terminated=action[0] > 0.9)

    blank = anmjax.make("ANM6Easy-v0").reset(jax.random.key(0))
    before = blank.grid, blank.aux, blank.t, blank.key
    assert safety.least_violation(Valley(), blank, before, jax.random.key(1)) < 1e-3
