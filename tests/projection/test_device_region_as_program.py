"""The closed form of the device projection beside ``solve_qp`` and CLARABEL: values and Jacobians."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anmjax.projection import DeviceLimits, project_to_device_region, region_inequalities
from anmjax.qp import solve_qp
from tests.projection.regions import Regions, random_regions
from tests.qp.programs import Programs, by_clarabel

N = 1000
# p.u., least slack or dual of a constraint at points where the projection is taken to be differentiable.
CLEAR = 3e-3


def as_program(p: Any, q: Any, limits: DeviceLimits, p_low: Any, p_high: Any) -> Any:
    """The projection of one set-point by ``solve_qp``: the point, slacks and duals."""
    a_p, a_q, bound = region_inequalities(*jax.tree.map(lambda x: x[None], (limits, p_low, p_high)))
    G, h = jnp.concatenate([a_p, a_q], 1), bound[:, 0]
    found = solve_qp(jnp.eye(2), -jnp.stack([p, q]), G=G, h=h)
    return found.x, (h - G @ found.x, found.z)


def closed_form(*arguments: Any) -> jax.Array:
    """The projection of one set-point."""
    return jnp.stack(project_to_device_region(*arguments))


@pytest.fixture(scope="module")
def regions() -> Regions:
    return random_regions(N, 4)


@pytest.fixture(scope="module")
def smooth() -> Regions:
    """Those of which no two limits coincide, where a derivative by either is that of a kink."""
    drawn = random_regions(4 * N, 5, degenerate=False)
    limits = drawn.limits
    apart = (limits.p_plus < limits.p_max) & (limits.p_minus > limits.p_min) & (drawn.p_low != limits.p_min)
    own = np.flatnonzero(apart)[:N]
    p, q, low, high = (x[own] for x in (drawn.p, drawn.q, drawn.p_low, drawn.p_high))
    return Regions(p, q, DeviceLimits(*(x[own] for x in limits)), low, high)


@pytest.fixture(scope="module")
def solved() -> Any:
    return jax.jit(jax.vmap(as_program))


@pytest.mark.slow
def test_solve_qp_gives_the_same_points(regions: Regions, solved: Any) -> None:
    x, _ = solved(*regions.arguments())
    ours = jax.vmap(closed_form)(*regions.arguments())
    scale = 1 + np.maximum(np.abs(regions.p), np.abs(regions.q))[:, None]
    assert np.all(np.abs(x - ours) <= 1e-9 * scale)


def clear_of_kinks(slack: Any, dual: Any) -> np.ndarray:
    """Whether every constraint clearly binds or clearly does not, (n,) bool."""
    return np.asarray(jnp.maximum(slack, dual).min(1) > CLEAR)


@pytest.mark.slow
def test_solve_qp_gives_the_same_derivatives_by_every_argument(smooth: Regions, solved: Any) -> None:
    arguments = smooth.arguments()
    clear = clear_of_kinks(*solved(*arguments)[1])
    assert clear.mean() > 0.5
    rng = np.random.default_rng(6)
    for k, leaf in enumerate(jax.tree.leaves(arguments)):
        leaves = [jnp.zeros_like(x) for x in jax.tree.leaves(arguments)]
        leaves[k] = jnp.asarray(rng.normal(size=leaf.shape))
        change = jax.tree.unflatten(jax.tree.structure(arguments), leaves)
        theirs = jvp_of_program(arguments, change)[clear]
        ours = jax.jvp(jax.vmap(closed_form), arguments, change)[1][clear]
        assert np.abs(ours).max() > 0.1
        assert np.all(np.abs(theirs - ours) <= 1e-9 * (1 + np.abs(ours))), k


@jax.jit
def jvp_of_program(arguments: Any, change: Any) -> jax.Array:
    """Derivatives of the points that ``solve_qp`` finds."""
    return jax.jvp(lambda *a: jax.vmap(as_program)(*a)[0], arguments, change)[1]


@pytest.mark.long
def test_the_jacobian_is_that_of_clarabels_answers(smooth: Regions, solved: Any) -> None:
    few, step = 200, 1e-3
    clear = clear_of_kinks(*solved(*smooth.arguments())[1])[:few]
    G, h = (x[:few] for x in smooth.inequalities())
    h = np.where(np.isfinite(h), h, 1)
    point = np.stack([smooth.p, smooth.q], 1)[:few]
    P, none = np.tile(np.eye(2), (few, 1, 1)), (np.zeros((few, 0, 2)), np.zeros((few, 0)))
    ends = [
        [by_clarabel(Programs(P, -(point + s * way), *none, G, h))[0] for s in (step, -step)]
        for way in np.eye(2)
    ]
    theirs = np.stack([(ahead - behind) / (2 * step) for ahead, behind in ends], 2)
    ours = np.stack(jax.vmap(jax.jacobian(closed_form, (0, 1)))(*smooth.arguments()), 2)[:few]
    # The answer is piecewise linear in the point, so that only CLARABEL's error over the step is left: 1e-12
    # as a rule, up to 1e-10 where a constraint nearly binds.
    error = np.abs(theirs - ours)[clear]
    assert np.median(error) <= 1e-9
    assert np.all(error <= 1e-6)
