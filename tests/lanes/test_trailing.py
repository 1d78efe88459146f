"""Turning batches round, on a function small enough to see through."""

import jax
import numpy as np
import pytest

from anmjax.lanes import trailing
from anmjax.lanes.schedule import CPUBlocks

WEIGHTS = np.array([1.0, 10.0, 100.0])


def _weighted(seen=None, schedule=None):
    """Three components and their weights to two of the products and the sum of all, lanes last."""

    def fn(x, weights):
        if seen is not None and x.ndim == 2:
            seen.append(x.shape[1])
        assert len(x) == len(weights) == 3
        return {"two": (x * weights)[:2], "sum": (x * weights).sum(axis=0)}

    return trailing.batch_trailing(fn, schedule)


@pytest.mark.parametrize("lanes", [1, 40, 60, 100])
def test_long_batches_go_through_in_even_chunks_that_cover_every_lane(lanes):
    x, seen = np.random.default_rng(0).normal(size=(lanes, 3)), []
    out = jax.vmap(_weighted(seen, CPUBlocks(l2_bytes=1, min_chunk=40)), (0, None))(x, WEIGHTS)
    np.testing.assert_allclose(out["two"], (x * WEIGHTS)[:, :2])
    np.testing.assert_allclose(out["sum"], (x * WEIGHTS).sum(1))
    # An odd number of cache lines, of 16 lanes each.
    assert min(seen) == {1: 1, 40: 40, 60: 48, 100: 48}[lanes]


@pytest.mark.parametrize("outer", ["x", "weights", "both"])
@pytest.mark.parametrize("inner", ["x", "weights", "both"])
def test_nested_axes_are_joined_whichever_of_them_an_argument_has(outer, inner):
    random = np.random.default_rng(0)
    axes = {"x": (0, None), "weights": (None, 0), "both": (0, 0)}
    sizes = [
        tuple(size for size, there in ((4, axes[outer][i]), (5, axes[inner][i])) if there == 0)
        for i in (0, 1)
    ]
    x, weights = (random.normal(size=(*size, 3)) for size in sizes)
    out = jax.vmap(jax.vmap(_weighted(), axes[inner]), axes[outer])(x, weights)

    def full(y, i):
        y = y if axes[outer][i] == 0 else y[None]
        y = y if axes[inner][i] == 0 else y[:, None]
        return np.broadcast_to(y, (4, 5, 3))

    np.testing.assert_allclose(out["sum"], (full(x, 0) * full(weights, 1)).sum(-1))
    np.testing.assert_allclose(out["two"], (full(x, 0) * full(weights, 1))[..., :2])
