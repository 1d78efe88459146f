"""What is the best known return from each start of a task? A reference to measure policies by.

The actions of some days, known in advance, are improved by ``anmjax.plan`` from several beginnings: from what
planners by the AC power flow do (``MPCPerfect``), from the middle of the action box, and from what trained
policies of the package do. Each ends with its last settled day repeated to step 3,000; the best of all is
kept, start by start. Beginnings that an earlier record has (``--resume``) stand as they are. The score is
what the simulator says of these actions, so that it is a return that can be had; whether more can be had is
not known.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import anmjax
from anmjax.agents.acting import actions_of
from anmjax.agents.evaluation import HORIZON, starts_of
from anmjax.agents.mpc import MPCPerfect
from benchmarks.harness import command_line, record

TASKS, DAY, EVERY = (
    ("ANM6Easy-v0", "IEEE33Easy-v0"),
    96,
    6,
)  # steps a day; of the task's starts, every so many
# Days in the end that lack a future: the last to repeat is the one before.
UNSETTLED = 2
# Of one descent after the other, each from the best so far: far from it at first, then close by.
STEP_SIZES = (2e-2, 2e-3, 2e-4)
BEGINNINGS = ("shac", "planner 32", "planner 96", "middle")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies.clairvoyant", description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="registered tasks of 96 steps a day")
    parser.add_argument("--days", type=int, default=8, help="days whose actions are free")
    parser.add_argument(
        "--beginnings",
        nargs="+",
        default=list(BEGINNINGS),
        metavar="NAME",
        help="'planner N', looking N steps ahead, 'middle', 'shac' or 'ppo' (default: %(default)s)",
    )
    parser.add_argument("--resume", type=Path, help="record whose beginnings stand")
    parser.add_argument("--anew", nargs="+", default=[], metavar="NAME", help="beginnings that do not stand")
    parser.add_argument("--iterations", type=int, default=400, help="iterates of a descent")
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    options.every, options.horizon, options.step_sizes = EVERY, HORIZON, STEP_SIZES
    if options.smoke:
        options.tasks, options.beginnings = [TASKS[0]], ["planner 2"]
        options.days, options.iterations = 3, 2
        options.every, options.horizon, options.step_sizes = 48, 4 * DAY, STEP_SIZES[:1]
    return options


def done_by(env: Any, policy: Any, starts: Any, steps: int) -> jax.Array:
    """What a policy does from every start, (lanes, steps, n_action)."""
    keys = jax.random.split(jax.random.key(0), len(starts.reward))

    def step(states: Any, _: None) -> Any:
        actions = actions_of(policy, keys, states)
        return jax.vmap(env.step)(states, actions), actions

    return jnp.swapaxes(jax.jit(lambda starts: jax.lax.scan(step, starts, None, steps)[1])(starts), 0, 1)


def begun(env: Any, task: str, starts: Any, name: str, days: int) -> jax.Array:
    """Actions of the free days, (lanes, days * DAY, n_action), of a beginning."""
    if name == "middle":
        box = env.action_space
        return jnp.broadcast_to((box.low + box.high) / 2, (len(starts.reward), days * DAY, len(box.low)))
    if not name.startswith("planner"):
        return done_by(env, anmjax.load_policy(task, name), starts, days * DAY)
    planner = MPCPerfect(env, planning_steps=int(name.split()[1]), safety_margin=0.995, ac=True)
    # A planner repeats its day from the second on.
    two = done_by(env, planner, starts, 2 * DAY)
    return jnp.concatenate([two, *[two[:, DAY:]] * (days - 2)], 1)


@functools.partial(jax.jit, static_argnames="iterations")
def descend(env: Any, starts: Any, actions: jax.Array, step_size: float, iterations: int) -> Any:
    """Improved actions from every start, and their returns over the free days."""

    def lane(start: Any, own: jax.Array) -> Any:
        plan = anmjax.plan(env, start, len(own), start=own, num_iters=iterations, step_size=step_size)
        return plan.actions, plan.discounted_return

    return jax.vmap(lane)(starts, actions)


@functools.partial(jax.jit, static_argnames="horizon")
def score(env: Any, starts: Any, actions: jax.Array, horizon: int) -> tuple[jax.Array, jax.Array]:
    """Returns to the horizon with the last settled day repeated, and the cost of that day, (lanes,) each."""
    settled = actions[:, : actions.shape[1] - UNSETTLED * DAY]
    again = -(-horizon // DAY)
    whole = jnp.concatenate([settled, *[settled[:, -DAY:]] * again], 1)[:, :horizon]

    def step(state: Any, action: jax.Array) -> Any:
        after = env.step(state, action)
        return after, after.reward

    rewards = jax.vmap(lambda start, own: jax.lax.scan(step, start, own)[1])(starts, whole)
    return rewards @ (env.gamma ** jnp.arange(horizon)), -rewards[:, -DAY:].sum(1)


def improved(
    env: Any, starts: Any, actions: jax.Array, options: argparse.Namespace
) -> list[dict[str, float]]:
    """What actions return from each start, before and after their improvement."""
    before, day = score(env, starts, actions, options.horizon)
    for step_size in options.step_sizes:
        actions, free = descend(env, starts, actions, step_size, options.iterations)
        print(f"  step size {step_size:g}: {free.mean():.5f} over the free days", flush=True)
    after, day_after = score(env, starts, actions, options.horizon)
    # Better over the free days is not always better with one of them repeated.
    best, day = jnp.maximum(before, after), jnp.where(after > before, day_after, day)
    columns = (np.asarray(x, float) for x in (before, best, day))
    return [
        dict(zip(("before", "return", "cost_per_day"), map(float, row), strict=True))
        for row in zip(*columns, strict=True)
    ]


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    load_before, clock = os.getloadavg()[0], time.perf_counter()
    jax.config.update("jax_enable_x64", True)
    rows, earlier = record.gone_on_with(options.resume)
    for task in options.tasks:
        env: Any = anmjax.make(task, dtype="float64")
        starts = jax.tree.map(lambda x: x[:: options.every], starts_of(env, jax.random.key(0))[0])
        hours = np.asarray(starts.aux[:, -1]).astype(int)
        for name in options.beginnings:
            had = any(
                row["task"] == task and any(one["beginning"] == name for one in row["from"]) for row in rows
            )
            if had and name not in options.anew:
                continue
            found = improved(env, starts, begun(env, task, starts, name, options.days), options)
            rows = with_beginning(rows, task, hours, name, found)
            mean = {key: fmean(one[key] for one in found) for key in ("before", "return")}
            minutes = (time.perf_counter() - clock) / 60
            print(f"{task}, {name}, {minutes:.0f} min: {mean['before']:.5f}, improved {mean['return']:.5f}")
            if options.out or not options.smoke:  # what there is, should it be stopped
                told = {"minutes": minutes, "load_average_before": load_before, "earlier": earlier}
                made = record.make("policies.clairvoyant", rows, horizon=options.horizon, **told)
                record.write(made, options.out)


def with_beginning(
    rows: list[dict[str, Any]], task: str, hours: np.ndarray, name: str, found: list[dict[str, float]]
) -> list[dict[str, Any]]:
    """Rows, one a start, with what came of one more beginning of a task, or of one again.

    What came of a beginning before stands where it is better.

    Args:
      rows: those there are.
      task: the task.
      hours: (lanes,) steps into the day at which its starts are.
      name: of the beginning.
      found: from each start, what its actions returned before and after, and the cost of the last day.
    """
    own = {row["t0"]: row["from"] for row in rows if row["task"] == task}
    made = []
    for hour, one in zip(hours.tolist(), found, strict=True):
        known = own.get(hour, [])
        for same in (same for same in known if same["beginning"] == name):
            one |= {key: same[key] for key in ("return", "cost_per_day") if same["return"] > one["return"]}
        every = [*(other for other in known if other["beginning"] != name), {"beginning": name, **one}]
        best = max(every, key=lambda one: one["return"])
        made.append({"task": task, "t0": hour, "begun_from": best["beginning"], "return": best["return"]})
        made[-1] |= {"cost_per_day": best["cost_per_day"], "from": every}
    return [row for row in rows if row["task"] != task] + made


if __name__ == "__main__":
    main()
