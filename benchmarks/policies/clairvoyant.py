"""What is the best known return from each start of ANM6Easy-v0? A reference to measure policies by.

The actions of some days, known in advance, are improved by projected gradient descent through the simulator,
from those of a planner with a day's foresight (``MPCPerfect`` by the AC power flow, 96 steps); then the last
settled day is repeated to step 3,000. The score is what the simulator says of these actions, so that it is a
return that can be had; whether more can be had is not known.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import anmjax
from anmjax.agents.evaluation import HORIZON, starts_of
from anmjax.agents.mpc import MPCPerfect
from anmjax.projection.control_layout import ControlLayout
from anmjax.projection.controls import as_action
from benchmarks.harness import command_line, record

TASK, DAY, EVERY = "ANM6Easy-v0", 96, 6  # steps a day; of the task's starts, every so many
# Share of the action box that Adam moves an action by at first.
STEP_SIZE = 2e-3
# Days in the end that lack a future: the last to repeat is the one before.
UNSETTLED = 2


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies.clairvoyant", description=__doc__)
    parser.add_argument("--days", type=int, default=8, help="days whose actions are free")
    parser.add_argument("--foresight", type=int, default=DAY, help="steps that the first planner looks ahead")
    parser.add_argument("--iterations", type=int, default=200, help="steps of gradient descent")
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    options.every, options.horizon = EVERY, HORIZON
    if options.smoke:
        options.days, options.foresight, options.iterations = 3, 2, 2
        options.every, options.horizon = 48, 4 * DAY
    return options


def controlled(env: Any, grid: Any) -> jax.Array:
    """The set-points that devices were at, as an action."""
    devices = ControlLayout.of(env.network).devices
    return as_action(env.network, grid.p[devices], grid.q[devices])


def planned(env: Any, starts: Any, foresight: int, days: int) -> jax.Array:
    """Actions of the planner, (lanes, days * DAY, n_action), its second day repeated."""
    policy = MPCPerfect(env, planning_steps=foresight, safety_margin=0.995, ac=True)

    def step(states: Any, _: None) -> Any:
        actions = jax.vmap(policy.act, (None, 0))(jax.random.key(0), states)
        return jax.vmap(env.step)(states, actions), actions

    actions = jnp.swapaxes(jax.jit(lambda s: jax.lax.scan(step, s, None, 2 * DAY)[1])(starts), 0, 1)
    return jnp.concatenate([actions, *[actions[:, DAY:]] * (days - 2)], 1)


def follow(env: Any, start: Any, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Costs of every step, (T,), and the actions as the devices could follow them, (T, n_action)."""

    def step(state: Any, action: jax.Array) -> Any:
        after = env.step(state, action)
        return after, (-after.reward, controlled(env, after.grid))

    return jax.lax.scan(step, start, actions)[1]


def improve(env: Any, starts: Any, actions: jax.Array, iterations: int) -> jax.Array:
    """Projected gradient descent by Adam; the best actions met by each lane."""
    size = (env.action_space.high - env.action_space.low)[None, None]
    weight = env.gamma ** jnp.arange(actions.shape[1])
    schedule = optax.cosine_decay_schedule(STEP_SIZE, max(iterations, 1))
    adam = optax.adam(schedule, b1=0.9, b2=0.99)

    def cost(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        costs, done = jax.vmap(lambda start, own: follow(env, start, own))(starts, x * size)
        lanes = costs @ weight
        return lanes.sum(), (lanes, done / size)

    def descend(carry: Any, _: None) -> Any:
        x, memory, best, best_x = carry
        (_, (lanes, done)), slope = jax.value_and_grad(cost, has_aux=True)(x)
        better = lanes < best
        best, best_x = jnp.where(better, lanes, best), jnp.where(better[:, None, None], done, best_x)
        change, memory = adam.update(slope, memory)
        return (done + change, memory, best, best_x), best.mean()

    @jax.jit
    def some(carry: Any) -> Any:
        return jax.lax.scan(descend, carry, None, max(1, min(50, iterations)))

    x = actions / size
    carry: Any = (x, adam.init(x), jnp.full(len(x), jnp.inf), x)
    for done in range(0, iterations, 50):
        start = time.perf_counter()
        carry, means = some(carry)
        print(f"{done + 50:5d} steps: {means[-1]:.5f} ({time.perf_counter() - start:.0f} s)", flush=True)
    return carry[3] * size


def score(env: Any, starts: Any, actions: jax.Array, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns to the horizon with the last settled day repeated, and the cost of that day, (lanes,) each."""
    settled = actions[:, : actions.shape[1] - UNSETTLED * DAY]
    again = -(-horizon // DAY)
    whole = jnp.concatenate([settled, *[settled[:, -DAY:]] * again], 1)[:, :horizon]
    costs = jax.jit(jax.vmap(lambda start, own: follow(env, start, own)[0]))(starts, whole)
    weight = env.gamma ** jnp.arange(horizon)
    return np.asarray(-(costs @ weight)), np.asarray(costs[:, -DAY:].sum(1))


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    load, begun = os.getloadavg()[0], time.perf_counter()
    jax.config.update("jax_enable_x64", True)
    env: Any = anmjax.make(TASK, dtype="float64")
    starts = jax.tree.map(lambda x: x[:: options.every], starts_of(env, jax.random.key(0))[0])
    first = planned(env, starts, options.foresight, options.days)
    before, _ = score(env, starts, first, options.horizon)
    print(f"planner: {before.mean():.4f} ({time.perf_counter() - begun:.0f} s)", flush=True)
    found, day = score(env, starts, improve(env, starts, first, options.iterations), options.horizon)
    print(f"improved: {found.mean():.4f}, {day.mean():.4f} a day", flush=True)
    hours = np.asarray(starts.aux[:, 0]).astype(int)
    rows = [
        {"t0": int(hour), "return": float(best), "planner_return": float(plan), "cost_per_day": float(cost)}
        for hour, best, plan, cost in zip(hours, found, before, day, strict=True)
    ]
    made = record.make(
        "policies.clairvoyant",
        rows,
        task=TASK,
        horizon=options.horizon,
        mean_return=float(found.mean()),
        minutes=(time.perf_counter() - begun) / 60,
        load_average_before=load,
    )
    if options.out or not options.smoke:
        record.write(made, options.out)


if __name__ == "__main__":
    main()
