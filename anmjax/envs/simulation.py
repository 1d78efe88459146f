"""One simulator step with its costs, for one lane or, under ``jax.vmap``, for whole batches at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax

from anmjax.envs.records import GridState
from anmjax.envs.reward import Costs, costs
from anmjax.envs.transition import Setpoints, advance
from anmjax.grid.network import Network
from anmjax.lanes.schedule import Fit
from anmjax.lanes.trailing import differentiable_batch_trailing

# A core's L2 cache holds all that a step makes of so many arguments.
FIT = Fit(share=0.06, min_lanes=288)


class Simulated(NamedTuple):
    """Outcome of one simulator step."""

    grid: GridState
    d: jax.Array  # (2, n_bus, *batch) p.u., voltage deviations V - 1
    cost: Costs


@functools.lru_cache(maxsize=256)
def simulation(
    delta_t: float, num_iters: int, tol: float
) -> Callable[[Network, jax.Array, Setpoints], Simulated]:
    """The simulator step of a task, as a function of (network, state of charge, set-points).

    Args:
      delta_t: h, length of a step.
      num_iters: Newton updates at most.
      tol: p.u., largest power-balance error of a solution.
    """

    def run(net: Network, soc: jax.Array, wanted: Setpoints) -> Simulated:
        grid, solution = advance(net, soc, wanted, delta_t=delta_t, num_iters=num_iters, tol=tol)
        return Simulated(grid, solution.d, costs(net, grid, solution, delta_t=delta_t))

    return differentiable_batch_trailing(run, fit=FIT)
