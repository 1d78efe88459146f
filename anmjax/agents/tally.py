"""What the steps of a policy add up to, from many starts side by side, some hundred steps a call.

A call returns to Python every ``PIECE`` steps: a caller can show how far it is and be stopped, and what XLA
keeps of a loop's passes while planners iterate within them is freed.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from anmjax.agents.acting import actions_of
from anmjax.agents.margins import branch_margin, voltage_margin
from anmjax.agents.violation import VIOLATION_TOLERANCE, has_limits, violates
from anmjax.envs.protocol import Environment
from anmjax.envs.records import State
from anmjax.lanes.empty import shard_map
from anmjax.lanes.varying import as_varying

PIECE = 250  # steps of a call
SUMS = ("e_loss", "penalty", "curtailment")  # of metrics
_COUNTS = ("steps", "collapsed")
_COUNTS_ON_GRID = ("violations", "voltage", "branch", "longest")
_SHARED, _EVERYWHERE = PartitionSpec("starts"), PartitionSpec()


class Clock(NamedTuple):
    """Which steps a call takes, and how they count; () each."""

    first: Any  # number of its first step
    horizon: Any  # steps in all: those after are not taken
    day: Any  # steps of a day
    gamma: Any  # discount factor


@struct.dataclass
class Tally:
    """Where n lanes stand; every array has a leading axis over them."""

    states: State
    # By name, (n,): discounted return, cost of the last day, sums of metrics; steps, collapses, violations.
    totals: dict[str, Any]
    run: Any  # (n,), length of the run of violating steps that goes on


def devices_for(count: int) -> Mesh:
    """As many of this process's devices as can take equal shares of the starts."""
    devices = jax.local_devices()
    size = max(k for k in range(1, len(devices) + 1) if count % k == 0)
    return Mesh(np.array(devices[:size]), ("starts",))


def start_tally(starts: State, collapse: tuple[float, float, float], mesh: Mesh) -> Tally:
    """The tally before the first step.

    Args:
      starts: State with a leading axis over the starts. One that is terminated collapsed in its first step.
      collapse: return, energy loss and penalty of such a start.
      mesh: the devices that share the starts.
    """
    dtype, dead = starts.reward.dtype, np.asarray(starts.terminated)
    on_grid = has_limits(starts.metrics)
    sums = "discounted", "last_day", *(name for name in SUMS if name in starts.metrics)
    of_dead: dict[str, float] = dict(zip(("discounted", "e_loss", "penalty"), collapse, strict=True))
    of_dead |= dict.fromkeys(("steps", "violations", "collapsed", "longest"), 1)
    types: dict[str, Any] = dict.fromkeys(sums, dtype)
    types |= dict.fromkeys((*_COUNTS, *(_COUNTS_ON_GRID if on_grid else ())), np.int32)
    totals = {name: np.where(dead, of_dead.get(name, 0), 0).astype(kind) for name, kind in types.items()}
    tally = Tally(states=starts, totals=totals, run=np.zeros(len(dead), np.int32))
    placed: Tally = jax.device_put(tally, NamedSharding(mesh, _SHARED))
    return placed


# The mesh is static; the environment and the policy are pytrees, so another checkpoint needs no compilation.
@functools.partial(jax.jit, static_argnames="mesh")
def go_on(
    env: Environment,
    policy: Any,
    tally: Tally,
    keys: jax.Array,
    clock: Clock,
    mesh: Mesh,
) -> tuple[Tally, dict[str, jax.Array]]:
    """At most ``PIECE`` steps of every lane.

    Args:
      env: the bare environment: a collapse ends a lane.
      policy: as for ``anmjax.agents.evaluation.evaluate``.
      tally: of the steps before.
      keys: (n,), keys of random policies.
      clock: which steps.
      mesh: the devices that share the starts.

    Returns:
      The tally, and margins by name, (PIECE, n), nan where a step has none.
    """
    return shard_map(
        _go_on,
        mesh=mesh,
        in_specs=(_EVERYWHERE, _EVERYWHERE, _SHARED, _SHARED, _EVERYWHERE),
        out_specs=(_SHARED, PartitionSpec(None, "starts")),
    )(env, policy, tally, keys, clock)


def _go_on(
    env: Environment, policy: Any, tally: Tally, keys: jax.Array, clock: Clock
) -> tuple[Tally, dict[str, jax.Array]]:
    net: Any = getattr(env, "network", None)
    count = len(tally.run)
    margins = {} if net is None else {"voltage_margin": voltage_margin, "branch_margin": branch_margin}
    none = {name: jnp.full((PIECE, count), jnp.nan, jnp.float32) for name in margins}

    def act(time: jax.Array, carry: tuple[Tally, Any]) -> tuple[Tally, Any]:
        before, rows = carry
        states = before.states
        actions = actions_of(policy, jax.vmap(jax.random.fold_in, (0, None))(keys, time), states)
        after = as_varying(jax.vmap(env.step)(states, actions), states)
        tally = _counted(before, after, time, clock)
        for name, margin in margins.items():
            found = jax.vmap(margin, (None, 0))(net, after.grid.v)
            row = jnp.where(after.terminated, jnp.nan, found).astype(jnp.float32)
            rows = rows | {name: rows[name].at[time - clock.first].set(row)}
        return tally, rows

    carry = as_varying((tally, none), (env, policy, tally, keys, clock))
    done: tuple[Tally, dict[str, jax.Array]] = jax.lax.fori_loop(
        clock.first, jnp.minimum(clock.first + PIECE, clock.horizon), act, carry
    )
    return done


def _counted(before: Tally, after: State, time: jax.Array, clock: Clock) -> Tally:
    """The tally with a step from each of its states to the one ``after``."""
    totals, run, metrics = before.totals, before.run, after.metrics
    alive = ~before.states.terminated
    terms = {
        "discounted": clock.gamma ** time.astype(after.reward.dtype) * after.reward,
        "last_day": jnp.where(time >= clock.horizon - clock.day, -after.reward, 0),
        "steps": alive,
        "collapsed": after.terminated & alive,
        **{name: jnp.where(alive, metrics[name], 0) for name in SUMS if name in totals},
    }
    if has_limits(metrics):
        broken = (violates(metrics) | after.terminated) & alive
        run = jnp.where(broken, run + 1, 0)
        terms |= {
            "violations": broken,
            "voltage": (metrics["voltage_violation"] > VIOLATION_TOLERANCE) & alive,
            "branch": (metrics["branch_violation"] > VIOLATION_TOLERANCE) & alive,
            "longest": jnp.maximum(run - totals["longest"], 0),
        }
    totals = {name: totals[name] + term.astype(totals[name].dtype) for name, term in terms.items()}
    return Tally(states=after, totals=totals, run=run)
