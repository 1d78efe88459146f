"""MPC policies: forecasts, plans by DC optimal power flow (``program``), and the first action of a plan."""

from __future__ import annotations

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.agents.mpc.program import Plan, Program, make_plan, program_of
from anmjax.envs.pytree import PyTree
from anmjax.envs.records import State

# Interior point steps.
DEFAULT_NUM_ITERS = 20


class MPC(PyTree):
    """A policy that plans N steps ahead by DC optimal power flow, and takes the plan's first action.

    Subclass it and define ``forecast``. A pytree; pure; ``jax.vmap(policy.act)`` plans for thousands of grids
    at once. Reactive power is left at zero, as in gym-anm.

    A forecast outside the devices' limits is moved to them, as the simulator would.
    """

    env: Any
    planning_steps: int
    safety_margin: float
    gamma: float
    num_iters: int
    _program: Program

    def __init__(
        self,
        env: Any,
        *,
        planning_steps: int = 1,
        safety_margin: float = 0.9,
        gamma: float | None = None,
        num_iters: int = DEFAULT_NUM_ITERS,
    ) -> None:
        """Builds the policy.

        Args:
          env: the task, an ``ANMEnv`` or a wrapper of one. Its network's numbers must be concrete.
          planning_steps: N, steps planned ahead.
          safety_margin: beta, share of a branch's rating that is free of cost.
          gamma: discount factor of the plan; None: the task's.
          num_iters: interior point steps. With the default the optimal value is good to 1e-6 in float64, to
            1e-3 in float32.

        Raises:
          ValueError: an argument is out of range, the network has nothing to control, or its DC power flow
            has no solution.
        """
        if not isinstance(planning_steps, numbers.Integral) or planning_steps < 1:
            raise ValueError(f"planning_steps is {planning_steps!r}, expected a whole number, at least 1")
        if not isinstance(safety_margin, numbers.Real) or not safety_margin >= 0:
            raise ValueError(f"safety_margin is {safety_margin!r}, expected a number, not negative")
        if not isinstance(num_iters, numbers.Integral) or num_iters < 0:
            raise ValueError(f"num_iters is {num_iters!r}, expected a whole number, not negative")
        self.env = env
        self.planning_steps, self.safety_margin = int(planning_steps), float(safety_margin)
        self.gamma = float(env.gamma if gamma is None else gamma)
        self.num_iters = int(num_iters)
        self._program = program_of(
            env.network,
            float(env.delta_t),
            float(env.lamb),
            self.gamma,
            int(planning_steps),
            float(safety_margin),
        )

    def forecast(self, state: State) -> tuple[jax.Array, jax.Array]:
        """What the coming steps are taken to bring.

        Args:
          state: current state of the lane.

        Returns:
          (n_load, N) p.u., active power of the loads, <= 0; (n_generator, N) p.u., active power that the
          non-slack generators could give; both by device id.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forecast(self, state)")

    def plan(self, state: State) -> Plan:
        """Plans the coming steps of one lane."""
        p_load, p_potential = self.forecast(state)
        net = self.env.network
        expected = [(len(devices), self.planning_steps) for devices in (net.loads, net.generators)]
        if [jnp.shape(p_load), jnp.shape(p_potential)] != expected:
            raise ValueError(
                f"forecast of {type(self).__name__} returned shapes {jnp.shape(p_load)} and "
                f"{jnp.shape(p_potential)}, expected {expected[0]} and {expected[1]}"
            )
        return make_plan(self._program, p_load, p_potential, state.grid.soc, self.num_iters)

    def act(self, key: jax.Array, state: State) -> jax.Array:
        """The first action of the plan, (n_action,) MW and MVAr, within the action box."""
        plan, net, box = self.plan(state), self.env.network, self.env.action_space
        generators, storage = plan.p_generators[:, 0], plan.p_storage[:, 0]
        action = jnp.concatenate([generators, 0 * generators, storage, 0 * storage]) * net.base_mva
        return jnp.clip(action, box.low, box.high)


class MPCConstant(MPC):
    """MPC that takes loads and potentials to stay as they are."""

    def forecast(self, state: State) -> tuple[jax.Array, jax.Array]:
        """The present loads and potentials, N times."""
        now = state.grid.p[np.array(self.env.network.loads, int)], state.grid.p_potential
        p_load, p_potential = (jnp.repeat(x[:, None], self.planning_steps, 1) for x in now)
        return p_load, p_potential


class MPCPerfect(MPC):
    """MPC that knows what is coming: the task tells by ``coming_profiles``, see ``DailyTask``."""

    def __init__(self, env: Any, **options: Any) -> None:
        """Builds the policy; ``options`` as in ``MPC``.

        Raises:
          ValueError: as in ``MPC``, or the task does not know its coming profiles.
        """
        if not hasattr(env, "coming_profiles"):
            raise ValueError(
                f"{type(env).__name__} has no method coming_profiles(state, num_steps), so that there is no "
                f"perfect forecast; MPCConstant needs none"
            )
        super().__init__(env, **options)

    def forecast(self, state: State) -> tuple[jax.Array, jax.Array]:
        """The coming loads and potentials, from the task."""
        return self.env.coming_profiles(state, self.planning_steps)
