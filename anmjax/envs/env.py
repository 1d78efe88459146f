"""ANMEnv: the base class of active network management tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.envs.arguments import (
    check_arguments,
    check_key,
    check_next_vars,
    check_start,
    check_state,
    parse_costs_clipping,
    sizes_of_state,
    split_state_vector,
)
from anmjax.envs.observation import STATE_QUANTITIES, bounds, observe, parse_observation
from anmjax.envs.pytree import PyTree
from anmjax.envs.quantities import Point
from anmjax.envs.records import GridState, InitialState, State
from anmjax.envs.reward import COST_NAMES, metrics_of, nothing_lost, reward_of, state_costs
from anmjax.envs.simulator_names import SimulatorNames
from anmjax.envs.spaces import Box
from anmjax.envs.transition import Setpoints, Simulated, as_jax, setpoints_of, simulation
from anmjax.envs.voltage_control import VoltageControl, unlimited
from anmjax.grid.network import Network
from anmjax.lanes.varying import as_varying
from anmjax.powerflow.power_flow import DEFAULT_NUM_ITERS, DEFAULT_TOL
from anmjax.projection.control_layout import ControlLayout
from anmjax.projection.controls import Asked, action_bounds, set_points
from anmjax.projection.settings import nominal_settings, settled

MAX_RESET_DRAWS = 100


class ANMEnv(PyTree):
    """An active network management task: subclass it and define ``init_state`` and ``next_vars``.

    A pytree: numbers of the network and arrays set by a subclass are leaves, so that one can vmap over
    grids and differentiate by their parameters. ``reset`` and ``step`` are pure and act on one lane;
    ``jax.vmap(env.step)`` is the fast path.

    Order of a step: exogenous variables of t+1, projection of the action, storage, power flow, reward.

    - State vector: P of all devices (MW), Q of all devices (MVAr), charge of the storage units (MWh),
      potential P of the non-slack generators (MW), energy owed to loads that may wait and chargers (MWh),
      ``K`` auxiliary variables; each by device id. With chargers the first auxiliary variables are the hours
      that the car at each stays from the beginning of the step, 0 without a car.
    - Action: P of the non-slack generators, Q of them, P of the storage units, Q of them; MW, MVAr. Then P of
      loads that may wait and chargers, <= 0 as what they draw, and what is set of the network: turns ratios
      of tap changers, MVAr of shunts at 1 p.u. of voltage, switches from 0 (open) to 1.
      Any action is accepted and moved to the nearest one that each device can reach. An infinite component
      asks for all there is; one that is NaN for 0, or for a setting as in the case, and ``action_finite``
      says so.
    - Reward: minus the energy lost and the penalty for violated limits, see ``anmjax.envs.reward``.
    - Termination: a power flow without solution is a collapse, and so is a state with NaN in it. Reward
      -c2 / (1 - gamma) (minus infinity where the penalty is not clipped), state and observation zero, the
      voltages of ``state.grid`` flat; later steps change nothing and bring reward and costs 0.
    - Costs, for learners with constraints: ``voltage_violation`` and ``branch_violation`` of the step as the
      metrics have them (p.u.); of a collapse v_min of every bus but the slack, summed, and 0.
    - Metrics of a step: ``e_loss`` (p.u.h) and ``penalty`` (p.u.h) as clipped in the reward,
      ``voltage_violation`` and ``branch_violation`` (p.u., summed over elements, neither weighted nor
      clipped), ``curtailment`` (p.u., summed over renewables), ``mismatch`` (p.u.), ``converged``,
      ``action_finite`` (the action had no NaN and no infinity in it). Zero and False after a collapse.

    ``state.key`` changes at resets only; the randomness of step t is that key folded with t.

    Reference: Henry & Ernst, "Gym-ANM", Energy and AI 5 (2021), sec. 3; gym-anm 2.0.1, anm_env.py.
    """

    cost_names: ClassVar[tuple[str, ...]] = COST_NAMES

    def __init__(
        self,
        network: Network | Mapping[str, Any],
        observation: str | Sequence[Any] | Callable[[jax.Array], jax.Array],
        K: int,
        delta_t: float,
        gamma: float,
        lamb: float,
        aux_bounds: Any = None,
        costs_clipping: tuple[float | None, float | None] | None = None,
        *,
        reward: str = "penalized",
        voltage_control: bool = False,
        enforce_q_lims: bool = True,
        num_iters: int = DEFAULT_NUM_ITERS,
        tol: float = DEFAULT_TOL,
        dtype: Any = None,
    ) -> None:
        """Builds a task; the first eight arguments are gym-anm's.

        Args:
          network: network, or a gym-anm network dict.
          observation: "state", a list of (quantity, ids or "all"[, unit]) (see
            ``anmjax.envs.observation``), or a function of the state vector.
          K: number of auxiliary variables, >= 0.
          delta_t: h, length of a step, > 0.
          gamma: discount factor in [0, 1].
          lamb: weight of violated limits in the reward, >= 0.
          aux_bounds: (K, 2) least and largest value of each auxiliary variable, for the observation space.
          costs_clipping: largest energy loss and largest penalty (p.u.h) of a step in the reward;
            None: not clipped.
          reward: "penalized", or "energy": without the penalty, for learners that limit ``state.costs``.
            Metrics and the reward of a collapse are the same.
          voltage_control: generators hold the voltage of PV buses, and the Q of their actions plays no part,
            see ``anmjax.envs.voltage_control``; False: all buses but the slack are PQ buses, as in gym-anm.
          enforce_q_lims: those that hold a voltage keep to their limits of Q.
          num_iters: Newton updates of the power flow at most.
          tol: p.u., largest power-balance error of a power flow.
          dtype: floating point type; None: JAX's default (float32, or float64 where x64 is enabled).

        Raises:
          ValueError: naming the argument, its value and what is allowed.
        """
        if not isinstance(network, Network):
            network = Network.from_dict(network)
        self.network = as_jax(network.astype(jnp.result_type(float) if dtype is None else dtype))
        # gym-anm's names. Python numbers, so static: they choose the program, and a change compiles anew.
        self.K, self.delta_t, self.gamma, self.lamb = int(K), float(delta_t), float(gamma), float(lamb)
        self.aux_bounds = None if aux_bounds is None else np.asarray(aux_bounds, float)
        self.costs_clipping = parse_costs_clipping(costs_clipping)
        self.reward = reward
        self.voltage_control, self.enforce_q_lims = voltage_control, enforce_q_lims
        self.num_iters, self.tol = int(num_iters), float(tol)
        check_arguments(self)
        if not callable(observation):
            entries = [(name, "all") for name in STATE_QUANTITIES] if observation == "state" else observation
            observation = parse_observation(entries, network, self.K)
        self._observed: Any = observation

    def init_state(self, key: jax.Array) -> InitialState | jax.Array:
        """Draws a start: an ``InitialState`` or the state vector in its order and units."""
        raise NotImplementedError(f"{type(self).__name__} must define init_state(self, key)")

    def next_vars(self, key: jax.Array, state: jax.Array) -> jax.Array:
        """Draws the exogenous variables of the next step.

        Args:
          key: PRNG key.
          state: (n_state,) state vector.

        Returns:
          (n_load + n_generator + K,) P of the loads (MW), potential P of the non-slack generators (MW),
          auxiliary variables.
        """
        raise NotImplementedError(f"{type(self).__name__} must define next_vars(self, key, state)")

    def reset(self, key: jax.Array) -> State:
        """Starts an episode from a drawn start, drawing again until the power flow has a solution.

        After 100 draws in vain the state is returned as terminated.

        Raises:
          TypeError: ``key`` is not a key.
          ValueError: ``key`` is an array of keys.
        """
        check_key(key)

        def draw(carry: tuple[jax.Array, jax.Array, State]) -> tuple[jax.Array, jax.Array, State]:
            draws, key, _ = carry
            key, key_start, key_state = jax.random.split(key, 3)
            state = self.reset_to(key_state, self.init_state(key_start))
            return as_varying((draws + 1, key, state), (self, key))

        def again(carry: tuple[jax.Array, jax.Array, State]) -> jax.Array:
            return carry[2].terminated & (carry[0] < MAX_RESET_DRAWS)

        # A loop begins with a state of the right shapes: a draw that is not taken, terminated, so that the
        # first draw is made inside and ``reset_to`` is compiled once. Keys cannot be zeros: the key is given.
        shapes = jax.eval_shape(lambda key: self.reset_to(key, self.init_state(key)), key)
        blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), replace(shapes, key=None))
        none_yet = replace(blank, terminated=jnp.array(True), key=key)
        return jax.lax.while_loop(again, draw, as_varying((jnp.int32(0), key, none_yet), (self, key)))[2]

    def reset_to(self, key: jax.Array, start: InitialState | jax.Array) -> State:
        """Starts an episode from a given start.

        The injections pass through the projection with every storage unit set empty (P <= 0) or full
        (P > 0), so that its P is possible; then the charge is set to the start's.

        Args:
          key: PRNG key of the episode.
          start: an ``InitialState``, or the state vector in its order and units.

        Returns:
          The state; terminated where the power flow has no solution, and where, inside a transformation, a
          number of the start is not finite.

        Raises:
          TypeError: ``key`` is not a key, or the start is not made of real numbers.
          ValueError: a part of the start has the wrong shape, or a number in it is not finite.
        """
        check_key(key)
        net, sizes = self.network, sizes_of_state(self.network, self.K)
        parts = start if isinstance(start, InitialState) else split_state_vector(jnp.asarray(start), sizes)
        check_start(parts, sizes)
        begin: InitialState = jax.tree.map(lambda x: jnp.asarray(x, net.dtype), parts)
        p, q = begin.p_dev / net.base_mva, begin.q_dev / net.base_mva
        loads, storage = (np.array(positions, int) for positions in (net.loads, net.storage))
        soc = jnp.where(p[storage] > 0, net.soc_max[storage], net.soc_min[storage])
        devices = ControlLayout.of(net).devices
        flexible = p[np.array(net.flexible)] if net.flexible else None
        asked = Asked(p[devices], q[devices], flexible, nominal_settings(net))
        wanted = setpoints_of(net, p[loads], begin.p_max / net.base_mva, asked, None, begin.aux)
        grid, d, _ = self._simulate(soc, wanted)
        grid = replace(grid, soc=begin.soc / net.base_mva)
        if begin.owed is not None:
            grid = replace(grid, owed=begin.owed / net.base_mva)
        zero = jnp.zeros((), net.dtype)
        return self._state(
            key=key,
            grid=grid,
            d=d,
            aux=begin.aux,
            t=jnp.int32(0),
            reward=zero,
            terminated=~grid.solved(begin.aux),
            metrics=metrics_of(nothing_lost(net), zero, zero, grid, jnp.array(True)),
            costs=jnp.zeros(len(COST_NAMES), net.dtype),
        )

    def step(self, state: State, action: jax.Array) -> State:
        """Takes one action.

        Args:
          state: current state of the lane.
          action: (n_action,) MW and MVAr, see ``action_space``; real numbers of any type. Where one is NaN,
            nothing (0) is asked for, and ``metrics["action_finite"]`` is False.

        Returns:
          The next state, with the reward of this step.

        Raises:
          TypeError: ``state`` is not a State, or ``action`` not made of real numbers.
          ValueError: either has the wrong shape.
        """
        check_state(state, sizes_of_state(self.network, self.K))
        p_load, p_potential, aux = self.exogenous(state)
        net, asked = self.network, set_points(self.network, action)
        wanted = setpoints_of(net, p_load, p_potential, asked, state.grid.owed, aux)
        grid, d, cost = self._simulate(state.grid.soc, wanted)
        solved = grid.solved(aux)
        e_loss, penalty, reward = reward_of(
            cost,
            solved,
            kind=self.reward,
            weight=self.delta_t * self.lamb,
            clipping=self.costs_clipping,
            gamma=self.gamma,
        )
        metrics = metrics_of(cost, e_loss, penalty, grid, jnp.isfinite(jnp.asarray(action)).all())
        # After a collapse lanes go on in lockstep with the others, so what came of the step is not taken.
        ended = state.terminated
        return self._state(
            key=state.key,
            grid=replace(grid, mismatch=jnp.where(ended, state.grid.mismatch, grid.mismatch)),
            d=d,
            aux=aux,
            t=state.t + 1,
            reward=jnp.where(ended, 0, reward),
            terminated=ended | ~solved,
            metrics=jax.tree.map(lambda x: jnp.where(ended, jnp.zeros_like(x), x), metrics),
            costs=jnp.where(ended, 0, state_costs(net, cost, solved)),
        )

    def exogenous(self, state: State) -> tuple[jax.Array, jax.Array, jax.Array]:
        """What the next step brings, whatever the action.

        Args:
          state: current state of the lane.

        Returns:
          (n_load,) p.u., demand of the loads; (n_generator,) p.u., P that the non-slack generators could
          give; (K,) auxiliary variables.
        """
        # By time and not by splitting: the key of a state says all that is to come, and ``exogenous`` asked
        # before a step, as a safety layer does, tells what the step will bring.
        net, key = self.network, jax.random.fold_in(state.key, state.t)
        n_load, n_generator = len(net.loads), len(net.generators)
        variables = jnp.asarray(self.next_vars(key, self.state_vector(state.grid, state.aux)), net.dtype)
        check_next_vars(variables, type(self).__name__, n_load, n_generator, self.K)
        powers = variables[: n_load + n_generator] / net.base_mva
        return powers[:n_load], powers[n_load:], variables[n_load + n_generator :]

    def state_vector(self, grid: GridState, aux: jax.Array) -> jax.Array:
        """The state vector, (n_state,) in MW, MVAr, MWh."""
        owed = [] if grid.owed is None else [grid.owed]
        electrical = jnp.concatenate([grid.p, grid.q, grid.soc, grid.p_potential, *owed])
        return jnp.concatenate([electrical * self.network.base_mva, aux])

    @property
    def simulator(self) -> SimulatorNames:
        """Sizes and devices under gym-anm's names, for tasks ported from it."""
        return SimulatorNames(self.network)

    @property
    def action_space(self) -> Box:
        """Bounds of the action vector, in its units; infinite where a device has no limit."""
        return Box(*action_bounds(self.network))

    @property
    def observation_space(self) -> Box:
        """Bounds of the observation vector, in its units."""
        if callable(self._observed):
            size = sum(sizes_of_state(self.network, self.K).values())
            vector = jax.ShapeDtypeStruct((size,), self.network.dtype)
            shape = jax.eval_shape(self._observed, vector).shape
            return Box(*(jnp.full(shape, side, self.network.dtype) for side in (-jnp.inf, jnp.inf)))
        aux_bounds = np.tile([-np.inf, np.inf], (self.K, 1)) if self.aux_bounds is None else self.aux_bounds
        net = unlimited(self.network) if self._control else self.network
        return Box(*bounds(self._observed, net, aux_bounds))

    def _observe(self, grid: GridState, d: jax.Array, aux: jax.Array) -> jax.Array:
        if callable(self._observed):
            return jnp.asarray(self._observed(self.state_vector(grid, aux)), self.network.dtype)
        box, at = self.observation_space, Point(settled(self.network, grid.settings), grid, d, aux)
        return jnp.clip(observe(self._observed, at), box.low, box.high)

    def _simulate(self, soc: jax.Array, wanted: Setpoints) -> Simulated:
        run = simulation(self.delta_t, self.num_iters, self.tol, self._control)
        return run(self.network, soc, wanted)

    @property
    def _control(self) -> VoltageControl | None:
        return VoltageControl(self.enforce_q_lims) if self.voltage_control and self.network.pv else None

    def _state(
        self, *, grid: GridState, d: jax.Array, aux: jax.Array, terminated: jax.Array, **others: Any
    ) -> State:
        """Assembles a state; a terminal one is all zeros but for its flat voltages."""
        grid = grid.unless(terminated)
        obs = self._observe(grid, d, aux)
        state = State(
            obs=jnp.where(terminated, jnp.zeros_like(obs), obs),
            terminated=terminated,
            truncated=jnp.zeros((), bool),
            grid=grid,
            aux=jnp.where(terminated, jnp.zeros_like(aux), aux),
            **others,
        )
        # In ``jax.shard_map`` all leaves vary alike, constants among them: a state is the carry of loops.
        return as_varying(state, state)
