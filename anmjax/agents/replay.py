"""A rollout kept whole: what every bus, branch and device did in each step, to be looked at."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.agents.acting import actions_of
from anmjax.envs.protocol import GridEnvironment
from anmjax.envs.records import State
from anmjax.grid.network import Network
from anmjax.powerflow.quantities import branch_quantities
from anmjax.projection.control_layout import ControlLayout
from anmjax.projection.settings import settled


class Series(NamedTuple):
    """What happened in each of T steps, in engineering units; a collapse leaves zeros behind it."""

    vm: Any  # (T, n_bus) p.u., voltage magnitudes
    va_deg: Any  # (T, n_bus) degrees, voltage angles
    p_mw: Any  # (T, n_device) MW, injections
    q_mvar: Any  # (T, n_device) MVAr, injections
    potential_mw: Any  # (T, n_generator) MW, what the non-slack generators could give
    soc_mwh: Any  # (T, n_storage) MWh, at the end of the step
    p_from_mw: Any  # (T, n_branch) MW, entering at the from end
    q_from_mvar: Any  # (T, n_branch) MVAr, entering at the from end
    s_mva: Any  # (T, n_branch) MVA, larger apparent power of the two ends
    # What the action asks of each controlled device, before the projection; nan before the first action.
    asked_mw: Any  # (T, n_controlled) MW, in the order of ``ControlLayout.devices``
    asked_mvar: Any  # (T, n_controlled) MVAr
    e_loss: Any  # (T,) p.u.h, as in the reward
    penalty: Any  # (T,) p.u.h, as in the reward
    reward: Any  # (T,)
    terminated: Any  # (T,) bool, the network has collapsed


class Replay(NamedTuple):
    """A rollout, with all that is needed to draw it."""

    network: Network  # NumPy, p.u.
    delta_t: float  # h, length of a step
    start_hour: float | None  # h after midnight, when the first step begins; None: the task has no clock
    series: Series  # of NumPy arrays


def replay(
    env: GridEnvironment,
    policy: Any,
    start: State,
    *,
    steps: int,
    skip: int = 0,
    key: jax.Array | None = None,
) -> Replay:
    """Follows a policy from one start.

    Args:
      env: the bare environment.
      policy: as for ``evaluate``.
      start: state of one lane.
      steps: T, how many steps to keep, at least 1.
      skip: steps to let pass before them.
      key: PRNG key of a random policy; None: a fixed one.

    Returns:
      The rollout, without the start itself.

    Raises:
      ValueError: ``steps`` is less than 1, or ``skip`` less than 0.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}, but must be at least 1")
    if skip < 0:
        raise ValueError(f"skip is {skip}, but must be at least 0")
    keys = jax.random.split(jax.random.key(0) if key is None else key, skip + steps)
    series = jax.device_get(_follow(env, policy, start, keys))
    hour = hour_of(env, start)
    return Replay(
        network=jax.tree.map(np.asarray, env.network),
        delta_t=float(env.delta_t),
        start_hour=None if hour is None else (hour + skip * float(env.delta_t)) % 24,
        series=Series(*(np.asarray(x)[skip:] for x in series)),
    )


def hour_of(env: Any, state: State) -> float | None:
    """The time of day of a state of one lane, h; None where the task has no clock, no method ``hour``."""
    clock = getattr(env, "hour", None)
    return None if clock is None else float(clock(state))


def moment_of(net: Network, state: State, action: Any = None) -> Series:
    """What every element does in a state: the fields of ``Series`` without their axis of time.

    Args:
      net: network.
      state: of one lane.
      action: (n_action,) MW and MVAr, what was asked for in the step to it; None: nothing, it is a start.
    """
    if action is None:
        action = np.full(ControlLayout.of(net).n_action, np.nan, state.reward.dtype)
    return _moment_of(net, state, action)


@jax.jit
def _moment_of(net: Network, state: State, action: jax.Array) -> Series:
    asked_p, asked_q = ControlLayout.of(net).split(action)
    grid, alive, base = state.grid, ~state.terminated, net.base_mva
    flows = branch_quantities(settled(net, grid.settings), grid.v)
    after = Series(
        vm=jnp.abs(grid.v),
        va_deg=jnp.angle(grid.v) * (180 / np.pi),
        p_mw=grid.p * base,
        q_mvar=grid.q * base,
        potential_mw=grid.p_potential * base,
        soc_mwh=grid.soc * base,
        p_from_mw=flows.p_from_mw,
        q_from_mvar=flows.q_from_mvar,
        s_mva=jnp.maximum(flows.s_from_mva, flows.s_to_mva),
        asked_mw=asked_p,
        asked_mvar=asked_q,
        e_loss=state.metrics["e_loss"],
        penalty=state.metrics["penalty"],
        reward=state.reward,
        terminated=state.terminated,
    )
    # The voltages of a collapse are flat: they are no voltages of the grid.
    dark = {name: jnp.where(alive, getattr(after, name), 0) for name in ("vm", "va_deg")}
    return after._replace(**dark)


@jax.jit
def _follow(env: GridEnvironment, policy: Any, start: State, keys: jax.Array) -> Series:
    def step(states: State, key: jax.Array) -> tuple[State, Series]:
        actions = actions_of(policy, key[None], states)
        states = jax.vmap(env.step)(states, actions)
        return states, moment_of(env.network, jax.tree.map(lambda x: x[0], states), actions[0])

    return jax.lax.scan(step, jax.tree.map(lambda x: x[None], start), keys)[1]
