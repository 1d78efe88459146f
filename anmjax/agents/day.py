"""A day under a policy, step by step, in engineering units."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from anmjax.agents.acting import actions_of
from anmjax.envs.protocol import GridEnvironment
from anmjax.envs.records import State
from anmjax.powerflow.quantities import branch_loading


class Day(NamedTuple):
    """What happened in each of T steps; a collapse leaves zeros behind it."""

    load: Any  # (T,) MW, demand of all loads, positive
    potential: Any  # (T,) MW, what the non-slack generators could give
    generated: Any  # (T,) MW, what they gave
    soc: Any  # (T, n_storage) MWh, at the end of the step
    loading: Any  # (T,) largest apparent power of a branch over its rating
    vm_min: Any  # (T,) p.u., least voltage
    vm_max: Any  # (T,) p.u., greatest voltage
    e_loss: Any  # (T,) p.u.h, as in the reward
    penalty: Any  # (T,) p.u.h, as in the reward


def a_day(
    env: GridEnvironment, policy: Any, start: State, *, key: jax.Array | None = None, after_days: int = 1
) -> Day:
    """Follows a policy from one start through a day.

    Args:
      env: the bare environment.
      policy: as for ``evaluate``.
      start: state of one lane.
      key: PRNG key of a random policy; None: a fixed one.
      after_days: days to let pass first.

    Returns:
      The day after these.
    """
    steps = max(1, round(24 / float(env.delta_t)))
    keys = jax.random.split(jax.random.key(0) if key is None else key, (after_days + 1) * steps)
    days = jax.device_get(_follow(env, policy, start, keys))
    return Day(*(np.asarray(x)[-steps:] for x in days))


@jax.jit
def _follow(env: GridEnvironment, policy: Any, start: State, keys: jax.Array) -> Day:
    net = env.network
    loads, generators = np.array(net.loads, int), np.array(net.generators, int)

    def step(states: State, key: jax.Array) -> tuple[State, Day]:
        states = jax.vmap(env.step)(states, actions_of(policy, key[None], states))
        state = jax.tree.map(lambda x: x[0], states)
        grid, vm = state.grid, jnp.abs(state.grid.v)
        return states, Day(
            load=-grid.p[loads].sum() * net.base_mva,
            potential=grid.p_potential.sum() * net.base_mva,
            generated=grid.p[generators].sum() * net.base_mva,
            soc=grid.soc * net.base_mva,
            loading=branch_loading(net, grid.v).max(),
            vm_min=vm.min(),
            vm_max=vm.max(),
            e_loss=state.metrics["e_loss"],
            penalty=state.metrics["penalty"],
        )

    return jax.lax.scan(step, jax.tree.map(lambda x: x[None], start), keys)[1]
