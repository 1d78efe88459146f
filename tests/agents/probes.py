"""Probe environments: a few lines each, with a value function or an optimal action that is known exactly."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from anmjax.envs.records import GridState, InitialState, State
from anmjax.envs.spaces import Box

METRICS = ("e_loss", "penalty", "voltage_violation", "branch_violation", "curtailment", "mismatch")


def no_grid() -> GridState:
    """A grid of nothing, in JAX's default float."""
    none, zero = jnp.zeros(0), jnp.zeros(())
    return GridState(
        p=none,
        q=none,
        soc=none,
        p_potential=none,
        v=none.astype(complex),
        mismatch=zero,
        converged=jnp.array(True),
    )


@struct.dataclass
class Probe:
    """One number in, one number out; `length` steps to a termination, 0 for none."""

    gamma: float = struct.field(pytree_node=False, default=0.9)
    length: int = struct.field(pytree_node=False, default=0)
    delta_t: float = struct.field(pytree_node=False, default=0.25)
    low: float = struct.field(pytree_node=False, default=-1.0)
    high: float = struct.field(pytree_node=False, default=1.0)

    @property
    def action_space(self) -> Box:
        return Box(jnp.full(1, self.low, float), jnp.full(1, self.high, float))

    @property
    def observation_space(self) -> Box:
        return Box(jnp.full(2, -np.inf), jnp.full(2, np.inf))

    def reset(self, key):
        key, draw = jax.random.split(key)
        return self.reset_to(key, self.initial(self.next_signal(draw, jnp.zeros(1))))

    def initial(self, signal):
        none = jnp.zeros(0)
        return InitialState(p_dev=none, q_dev=none, soc=none, p_max=none, aux=jnp.append(signal, 0.0))

    def reset_to(self, key, initial):
        zero = jnp.zeros(())
        return State(
            obs=self.observe(initial.aux, jnp.zeros((), jnp.int32)),
            reward=zero,
            terminated=jnp.array(False),
            truncated=jnp.array(False),
            metrics=dict.fromkeys(METRICS, zero) | {"converged": jnp.array(True)},
            grid=no_grid(),
            aux=initial.aux,
            t=jnp.zeros((), jnp.int32),
            key=key,
        )

    def step(self, state, action):
        key, draw = jax.random.split(state.key)
        t = state.t + 1
        aux = jnp.append(self.next_signal(draw, action), action)
        ended = (t >= self.length) if self.length else jnp.array(False)
        dead = state.terminated
        obs = jnp.where(ended | dead, jnp.zeros(2), self.observe(aux, t))
        return state.replace(
            metrics=state.metrics | {"voltage_violation": self.violation(state)},
            obs=obs,
            reward=jnp.where(dead, 0.0, self.reward(state, action)),
            terminated=ended | dead,
            aux=aux,
            t=t,
            key=key,
        )

    # aux is (signal, last action); the observation is (signal, 7): the second entry never changes.
    def observe(self, aux, t):
        return jnp.stack([aux[0], jnp.full_like(aux[0], 7.0)])

    def next_signal(self, key, action):
        return jnp.zeros(1)

    def violation(self, state):
        return jnp.zeros(())

    def reward(self, state, action):
        raise NotImplementedError


@struct.dataclass
class Constant(Probe):
    """Reward 1 whatever is done: value 1/(1 - gamma) for ever, a finite sum before a termination."""

    def observe(self, aux, t):
        # Modulo 5, so that what is seen at a truncation after 5 steps is seen, and learned, elsewhere too.
        return jnp.stack([(t % 5).astype(aux.dtype), jnp.full_like(aux[0], 7.0)])

    def reward(self, state, action):
        return jnp.ones(())


@struct.dataclass
class Signal(Probe):
    """Reward equal to the random +-1 that was observed: value = the observation, plus nothing on average."""

    def next_signal(self, key, action):
        return jax.random.rademacher(key, (1,)).astype(action.dtype)

    def reward(self, state, action):
        return state.aux[0]


@struct.dataclass
class TwoSteps(Probe):
    """The action of the first step is paid for in the second: -(a - 0.5)^2; two steps an episode."""

    length: int = struct.field(pytree_node=False, default=2)

    def observe(self, aux, t):
        return jnp.stack([t.astype(aux.dtype), jnp.full_like(aux[0], 7.0)])

    def reward(self, state, action):
        return jnp.where(state.t == 1, -((state.aux[1] - 0.5) ** 2), 0.0)


@struct.dataclass
class Match(Probe):
    """Reward -(a - (1 + s))^2 for an observed s uniform in [-1, 1]: optimal a = 1 + s, box [-1, 3]."""

    low: float = struct.field(pytree_node=False, default=-1.0)
    high: float = struct.field(pytree_node=False, default=3.0)

    def next_signal(self, key, action):
        return jax.random.uniform(key, (1,), action.dtype, -1.0, 1.0)

    def reward(self, state, action):
        return -((action[0] - 1.0 - state.aux[0]) ** 2)


@struct.dataclass
class Capped(Probe):
    """Reward a, cost a^2: of all that cost c on average, always a = sqrt(c) is best, by Jensen's inequality.

    Lagrange: a - m a^2 is greatest at a = 1/(2 m), so that the multiplier is m = 1/(2 sqrt(c)).
    """

    cost_names = ("square",)

    def reset_to(self, key, initial):
        return super().reset_to(key, initial).replace(costs=jnp.zeros(1))

    def step(self, state, action):
        return super().step(state, action).replace(costs=jnp.where(state.terminated, 0.0, action**2))

    def reward(self, state, action):
        return action[0]


@struct.dataclass
class Bare:
    """An environment of four members alone: nothing of a grid, no metrics, no discount, no hours."""

    task: Match = struct.field(default_factory=Match)

    @property
    def action_space(self):
        return self.task.action_space

    @property
    def observation_space(self):
        return self.task.observation_space

    def reset(self, key):
        return self.task.reset(key).replace(metrics={}, grid=None)

    def step(self, state, action):
        return self.task.step(state, action).replace(metrics={}, grid=None)
