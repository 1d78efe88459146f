"""MPC policies: forecasts, plans (``dc_plan``, ``ac_plan``), and the first action of a plan."""

from __future__ import annotations

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.agents.mpc.ac_plan import ACProgram, ac_program_of, plan_ac
from anmjax.agents.mpc.dc_plan import Plan, Program, plan_dc, program_of
from anmjax.envs.pytree import PyTree
from anmjax.envs.records import State
from anmjax.projection.controls import as_action

# Interior point steps, by the DC and by the AC power flow. On ANM6Easy-v0 AC plans cost no less with more.
DC_NUM_ITERS, AC_NUM_ITERS = 20, 14
DEFAULT_NUM_LINEARISATIONS = 2


class MPC(PyTree):
    """A policy that plans N steps ahead by optimal power flow, and takes the plan's first action.

    Subclass it and define ``forecast``. A pytree; pure; ``jax.vmap(policy.act)`` plans for thousands of grids
    at once.

    - By the DC power flow, as gym-anm: no losses, no voltages, and reactive power left at zero.
    - With ``ac`` by the AC power flow, linearised around one plan after the other: losses and voltages are
      seen, and reactive power is a decision. Takes several times as long.

    A forecast outside the devices' limits is moved to them, as the simulator would.
    """

    env: Any
    planning_steps: int
    safety_margin: jax.Array  # ()
    gamma: float
    num_iters: int
    num_linearisations: int
    _program: Program
    _ac_program: ACProgram | None

    def __init__(
        self,
        env: Any,
        *,
        planning_steps: int = 1,
        safety_margin: float = 0.9,
        gamma: float | None = None,
        num_iters: int | None = None,
        ac: bool = False,
        num_linearisations: int = DEFAULT_NUM_LINEARISATIONS,
    ) -> None:
        """Builds the policy.

        Args:
          env: the task, an ``ANMEnv`` or a wrapper of one. Its network's numbers must be concrete.
          planning_steps: N, steps planned ahead.
          safety_margin: beta, share of a branch's rating that is free of cost. The DC power flow needs less
            than one, as it overlooks losses and reactive power; with ``ac`` 0.995 is enough.
          gamma: discount factor of the plan; None: the task's.
          num_iters: interior point steps of every program; None: 20, and 14 with ``ac``.
          ac: plan by the AC power flow.
          num_linearisations: of the AC power flow, each around the plan that came of the one before.

        Raises:
          ValueError: an argument is out of range, the network has nothing to control, or its DC power flow
            has no solution.
        """
        if not isinstance(planning_steps, numbers.Integral) or planning_steps < 1:
            raise ValueError(f"planning_steps is {planning_steps!r}, expected a whole number, at least 1")
        if not isinstance(safety_margin, numbers.Real) or not safety_margin >= 0:
            raise ValueError(f"safety_margin is {safety_margin!r}, expected a number, not negative")
        num_iters = (AC_NUM_ITERS if ac else DC_NUM_ITERS) if num_iters is None else num_iters
        for name, count in (("num_iters", num_iters), ("num_linearisations", num_linearisations)):
            if not isinstance(count, numbers.Integral) or count < 0:
                raise ValueError(f"{name} is {count!r}, expected a whole number, not negative")
        self.env = env
        self.planning_steps = int(planning_steps)
        # A leaf, so that policies that differ in it share their compiled programs.
        self.safety_margin = jnp.asarray(safety_margin, env.network.dtype)
        self.gamma = float(env.gamma if gamma is None else gamma)
        self.num_iters, self.num_linearisations = int(num_iters), int(num_linearisations)
        self._program = program_of(
            env.network,
            float(env.delta_t),
            float(env.lamb),
            self.gamma,
            int(planning_steps),
            float(safety_margin),
        )
        self._ac_program = None
        if ac:
            self._ac_program = ac_program_of(
                env.network, self._program, float(env.lamb), float(safety_margin)
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
        known = p_load, p_potential, state.grid.soc
        plan = plan_dc(self._program, *known, self.num_iters)
        if self._ac_program is None:
            return plan
        return plan_ac(
            self._ac_program,
            plan,
            *known,
            num_linearisations=self.num_linearisations,
            num_iters=self.num_iters,
        )

    def act(self, key: jax.Array, state: State) -> jax.Array:
        """The first action of the plan, (n_action,) MW and MVAr, within the action box."""
        plan, box = self.plan(state), self.env.action_space
        action = as_action(self.env.network, plan.p[:, 0], plan.q[:, 0])
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
