"""What is the best known return from each start of ANM6Easy-v0? A reference to measure policies by.

The actions of some days, known in advance, are improved by ``anmjax.plan`` from several beginnings: from what
planners by the AC power flow do (``MPCPerfect``), from the middle of the action box, and from what a trained
policy does (``--policy``). Each ends with its last settled day repeated to step 3,000; the best of all is
kept, start by start. The score is what the simulator says of these actions, so that it is a return that can
be had; whether more can be had is not known.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import anmjax
from anmjax.agents.evaluation import HORIZON, actions_of, starts_of
from anmjax.agents.mpc import MPCPerfect
from anmjax.agents.training.checkpoint import load, restore_policy
from benchmarks.harness import command_line, record

TASK, DAY, EVERY = "ANM6Easy-v0", 96, 6  # steps a day; of the task's starts, every so many
# Days in the end that lack a future: the last to repeat is the one before.
UNSETTLED = 2
# Of one descent after the other, each from the best so far: far from it at first, then close by.
STEP_SIZES = (2e-2, 2e-3, 2e-4)
MIDDLE = "middle"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies.clairvoyant", description=__doc__)
    parser.add_argument("--days", type=int, default=8, help="days whose actions are free")
    parser.add_argument(
        "--foresight", type=int, nargs="+", default=[32, DAY], help="steps that the planners look ahead"
    )
    parser.add_argument("--policy", type=Path, nargs="+", default=[], help="checkpoints to begin from too")
    parser.add_argument("--iterations", type=int, default=400, help="iterates of a descent")
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    options.every, options.horizon, options.step_sizes = EVERY, HORIZON, STEP_SIZES
    if options.smoke:
        options.days, options.foresight, options.iterations = 3, [2], 2
        options.every, options.horizon, options.step_sizes = 48, 4 * DAY, STEP_SIZES[:1]
    return options


def done_by(env: Any, policy: Any, starts: Any, steps: int) -> jax.Array:
    """What a policy does from every start, (lanes, steps, n_action)."""
    keys = jax.random.split(jax.random.key(0), len(starts.reward))

    def step(states: Any, _: None) -> Any:
        actions = actions_of(policy, keys, states)
        return jax.vmap(env.step)(states, actions), actions

    return jnp.swapaxes(jax.jit(lambda starts: jax.lax.scan(step, starts, None, steps)[1])(starts), 0, 1)


def beginnings(env: Any, starts: Any, options: argparse.Namespace) -> dict[str, jax.Array]:
    """Actions of the free days by where they come from, (lanes, days * DAY, n_action) each."""
    found = {}
    for foresight in options.foresight:
        planner = MPCPerfect(env, planning_steps=foresight, safety_margin=0.995, ac=True)
        # A planner repeats its day from the second on.
        two = done_by(env, planner, starts, 2 * DAY)
        found[f"planner {foresight}"] = jnp.concatenate([two, *[two[:, DAY:]] * (options.days - 2)], 1)
    box = env.action_space
    found[MIDDLE] = jnp.broadcast_to((box.low + box.high) / 2, (len(starts.reward), options.days * DAY, 6))
    for k, path in enumerate(options.policy):
        checkpoint = load(path)
        name = checkpoint.agent + (f" {k}" if len(options.policy) > 1 else "")
        found[name] = done_by(env, restore_policy(checkpoint, env), starts, options.days * DAY)
    return found


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


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    load_before, begun = os.getloadavg()[0], time.perf_counter()
    jax.config.update("jax_enable_x64", True)
    env: Any = anmjax.make(TASK, dtype="float64")
    starts = jax.tree.map(lambda x: x[:: options.every], starts_of(env, jax.random.key(0))[0])
    scores = {}
    for name, actions in beginnings(env, starts, options).items():
        before, day = score(env, starts, actions, options.horizon)
        for step_size in options.step_sizes:
            actions, free = descend(env, starts, actions, step_size, options.iterations)
            took = time.perf_counter() - begun
            print(f"[{took:4.0f} s] {name}: {free.mean():.5f} over the free days", flush=True)
        after, day_after = score(env, starts, actions, options.horizon)
        # Better over the free days is not always better with one of them repeated.
        after, day = jnp.maximum(before, after), jnp.where(after > before, day_after, day)
        scores[name] = tuple(np.asarray(x) for x in (before, after, day))
        print(f"  {before.mean():.5f}, improved {after.mean():.5f}, {day.mean():.5f} a day", flush=True)
    made = record.make(
        "policies.clairvoyant",
        rows_of(scores, np.asarray(starts.aux[:, 0]).astype(int)),
        task=TASK,
        horizon=options.horizon,
        mean_return=float(np.max([after for _, after, _ in scores.values()], 0).mean()),
        minutes=(time.perf_counter() - begun) / 60,
        load_average_before=load_before,
    )
    print(f"best: {made['mean_return']:.4f}")
    if options.out or not options.smoke:
        record.write(made, options.out)


def rows_of(scores: dict[str, tuple[np.ndarray, ...]], hours: np.ndarray) -> list[dict[str, Any]]:
    """A row for every start: the best return, and from each beginning those before and after.

    Args:
      scores: by beginning, returns before and after, and the cost of the last day after, (lanes,) each.
      hours: (lanes,) steps into the day at which the starts are.
    """
    rows = []
    for lane, hour in enumerate(hours):
        own = {name: tuple(float(x[lane]) for x in parts) for name, parts in scores.items()}
        best = max(own, key=lambda name: own[name][1])
        planners = [before for name, (before, _, _) in own.items() if name.startswith("planner")]
        rows.append(
            {
                "t0": int(hour),
                "return": own[best][1],
                "begun_from": best,
                "planner_return": max(planners),
                "cost_per_day": own[best][2],
                "from": [
                    {"beginning": name, "before": before, "return": after}
                    for name, (before, after, _) in own.items()
                ],
            }
        )
    return rows


if __name__ == "__main__":
    main()
