"""Policies that learn nothing: what a learner is compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.agents.mpc import MPCConstant, MPCPerfect
from anmjax.envs.protocol import Environment, GridEnvironment
from anmjax.envs.spaces import Box
from anmjax.projection.control_layout import ControlLayout
from anmjax.projection.controls import end_of_action


@struct.dataclass
class RandomPolicy:
    """Draws every action uniformly from the action box."""

    box: Box

    def __call__(self, key: jax.Array, obs: jax.Array) -> jax.Array:
        """An action, independent of the observation."""
        return self.box.sample(key)


@struct.dataclass
class ConstantPolicy:
    """Always the same action."""

    action: jax.Array  # (n_action,) in the task's units

    def __call__(self, key: jax.Array, obs: jax.Array) -> jax.Array:
        """The action, whatever the observation."""
        return self.action


def random_policy(env: Environment) -> RandomPolicy:
    """Uniform over the action box of ``env``."""
    return RandomPolicy(env.action_space)


def do_nothing_policy(env: GridEnvironment) -> ConstantPolicy:
    """Leaves the grid alone: generators give all they can, with Q = 0, and storage rests at P = Q = 0.

    Flexible loads and chargers are served at once, and what can be set of the network, such as taps, stays as
    in the case. P of the generators is set to its upper bound, so that the projection cuts it to the
    potential of the moment. Where 0 lies outside the bounds of an entry, the nearest bound is taken.

    Args:
      env: an environment with a ``network``, whose action has the order of ``ControlLayout``.

    Returns:
      The policy.
    """
    low, high = np.asarray(env.action_space.low), np.asarray(env.action_space.high)
    asked = np.zeros_like(high)
    layout = ControlLayout.of(env.network)
    of_generators = layout.groups["p", "generators"]
    asked[of_generators] = high[of_generators]
    if rest := end_of_action(env.network):
        asked[layout.n_power :] = np.concatenate(rest)
    return ConstantPolicy(jnp.asarray(np.clip(asked, low, high)))


def mpc_constant_policy(env: GridEnvironment) -> MPCConstant:
    """Plans 16 steps ahead as if nothing changed, with branches at 92 % of their rating.

    The settings of Henry & Ernst, "Gym-ANM", Energy and AI 5 (2021), sec. 5.
    """
    return MPCConstant(env, planning_steps=16, safety_margin=0.92)


def mpc_perfect_policy(env: GridEnvironment) -> MPCPerfect:
    """Plans 32 steps ahead knowing what comes, with branches at 94 % of their rating.

    The settings of Henry & Ernst, "Gym-ANM", Energy and AI 5 (2021), sec. 5.
    """
    return MPCPerfect(env, planning_steps=32, safety_margin=0.94)


def mpc_constant_ac_policy(env: GridEnvironment) -> MPCConstant:
    """Plans 16 steps ahead as if nothing changed, by the AC power flow, branches at 99.5 % of the rating."""
    return MPCConstant(env, planning_steps=16, safety_margin=0.995, ac=True)


def mpc_perfect_ac_policy(env: GridEnvironment) -> MPCPerfect:
    """Plans 32 steps ahead knowing what comes, by the AC power flow, branches at 99.5 % of the rating."""
    return MPCPerfect(env, planning_steps=32, safety_margin=0.995, ac=True)


BASELINES: dict[str, Callable[[Any], Any]] = {
    "random": random_policy,
    "do-nothing": do_nothing_policy,
    "mpc-constant": mpc_constant_policy,
    "mpc-perfect": mpc_perfect_policy,
    "mpc-constant-ac": mpc_constant_ac_policy,
    "mpc-perfect-ac": mpc_perfect_ac_policy,
}
