"""SafeAction: every action goes through the safety layer before it reaches the grid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from anmjax.envs.records import State
from anmjax.projection.controls import drawn_loads
from anmjax.projection.safety import (
    DEFAULT_FLOW_MARGIN,
    DEFAULT_NUM_ITERS,
    DEFAULT_NUM_LINEARISATIONS,
    DEFAULT_VIOLATION_COST,
    DEFAULT_VOLTAGE_MARGIN,
    project_safe,
)
from anmjax.wrappers.wrapper import Wrapper

FORECASTS = ("perfect", "persistence")


class SafeAction(Wrapper):
    """Moves actions to the nearest ones that keep voltages and branch flows within limits.

    See ``anmjax.project_safe``. The learner acts as before; ``metrics`` gain ``safe_distance`` (p.u., how far
    the action was moved) and ``safe_violation`` (p.u., linearised limits that could not be met). Gradients
    flow through the projection. Goes directly around a task, inside ``AutoReset`` and the like.

    Args:
      env: the task to wrap.
      forecast: what the layer knows of the loads and potentials of the step ahead: ``"perfect"``, what they
        will be, or ``"persistence"``, that they stay as they are.
      voltage_margin: p.u., by which voltages stay away from their limits.
      flow_margin: share of the rating that branches keep free.
      violation_cost: p.u. squared distance that a p.u. of violation costs.
      num_linearisations: see ``project_safe``.
      num_iters: steps of the active set method for each linearisation, at most.
      smoothing: of the derivatives, see ``solve_qp``.

    Raises:
      ValueError: ``forecast`` is none of the above.
    """

    forecast: str = struct.field(pytree_node=False, default="perfect")
    voltage_margin: float | jax.Array = DEFAULT_VOLTAGE_MARGIN
    flow_margin: float | jax.Array = DEFAULT_FLOW_MARGIN
    violation_cost: float | jax.Array = DEFAULT_VIOLATION_COST
    num_linearisations: int = struct.field(pytree_node=False, default=DEFAULT_NUM_LINEARISATIONS)
    num_iters: int = struct.field(pytree_node=False, default=DEFAULT_NUM_ITERS)
    smoothing: float = struct.field(pytree_node=False, default=0.0)

    added_metrics: ClassVar[tuple[str, ...]] = ("safe_distance", "safe_violation")

    def __post_init__(self) -> None:
        if self.forecast not in FORECASTS:
            expected = " or ".join(map(repr, FORECASTS))
            raise ValueError(f"SafeAction: forecast is {self.forecast!r}, expected {expected}.")

    def step(self, state: State, action: jax.Array) -> State:
        """Makes the action safe and advances by one time step."""
        inner = self._inner(state)
        ahead: dict[str, jax.Array] = {}
        if self.forecast == "perfect":
            p_load, p_potential, aux = self.env.exogenous(inner)
            p_load = drawn_loads(self.env.network, inner.grid.owed, p_load, aux, action, self.env.delta_t)
            ahead = {"p_load": p_load, "p_potential": p_potential}
        safe = project_safe(
            self.env.network,
            inner.grid,
            action,
            delta_t=self.env.delta_t,
            **ahead,
            voltage_margin=self.voltage_margin,
            flow_margin=self.flow_margin,
            violation_cost=self.violation_cost,
            num_linearisations=self.num_linearisations,
            num_iters=self.num_iters,
            smoothing=self.smoothing,
        )
        after = self.env.step(inner, safe.action)
        asked = {"action_finite": jnp.isfinite(jnp.asarray(action)).all() & ~inner.terminated}
        after = replace(after, metrics={**after.metrics, **asked})
        return self._with_metrics(after, safe.distance, safe.violation)

    def _begin(self, state: State) -> State:
        zero = jnp.zeros_like(state.reward)
        return self._with_metrics(state, zero, zero)

    def _with_metrics(self, state: State, distance: jax.Array, violation: jax.Array) -> State:
        added: dict[str, Any] = {"safe_distance": distance, "safe_violation": violation}
        return replace(state, metrics={**state.metrics, **added})
