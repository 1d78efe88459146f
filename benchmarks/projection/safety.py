"""How many limits does the safety layer keep, of those that any action keeps, and what does it cost?

Days under random and do-nothing actions, without the layer and with it (knowing the step ahead, or taking the
loads and potentials to stay as they are), judged by the AC power flow of the environment. Whether a step had
an action within the limits at all is found out by a search of its own, the cross-entropy method on the
environment's step, which knows nothing of the layer; an action that kept the limits counts too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import anmjax
from anmjax.agents.baselines import do_nothing_policy
from anmjax.agents.violation import VIOLATION_TOLERANCE, violates
from benchmarks.env_step.speed import Lanes
from benchmarks.harness import command_line, record
from benchmarks.harness.timing import interleave

TASKS = ("ANM6Easy-v0", "IEEE33Easy-v0")
LAYERS = ("none", "perfect", "persistence")
POLICIES = ("random", "do-nothing")
# Of the search: actions a round, those of them that the next round is drawn around, rounds.
DRAWN, ELITE, ROUNDS = 256, 24, 25
# Least spread of a round, as a share of the action box.
LEAST_SPREAD = 1e-3


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.projection.safety", description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="registered tasks")
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--days", type=int, default=32, help="of each policy (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=96, help="of a day (default: %(default)s)")
    parser.add_argument(
        "--search-every", type=int, default=4, metavar="STEPS", help="search one step in so many"
    )
    parser.add_argument("--batches", type=int, nargs="*", default=[64, 256, 1536], help="grids of the timing")
    command_line.add_timing(parser, seconds=0.5, repeats=5)
    command_line.add_devices(parser)
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.tasks, options.layers = options.tasks[:1], ["perfect"]
        options.days, options.steps, options.batches = 2, 4, [4]
        options.seconds, options.repeats = 0.05, 2
    return options


def layered(env: Any, layer: str) -> Any:
    """The task with a layer around it, or as it is."""
    return env if layer == "none" else anmjax.SafeAction(env, forecast=layer)


def day(env: Any, steps: int, nothing: jax.Array, key: jax.Array, at_random: jax.Array) -> dict[str, Any]:
    """One day of random actions, or of always ``nothing``: every step with the state before it."""

    def step(state: Any, key: jax.Array) -> tuple[Any, dict[str, Any]]:
        after = env.step(state, jnp.where(at_random, env.action_space.sample(key), nothing))
        metrics, zero = after.metrics, jnp.zeros_like(after.reward)
        return after, {
            "before": (state.grid, state.aux, state.t, state.key),
            "going": ~state.terminated,
            "collapsed": after.terminated,
            "violates": violates(metrics) | after.terminated,
            "told": metrics.get("safe_violation", zero) > VIOLATION_TOLERANCE,
            "distance": metrics.get("safe_distance", zero),
        }

    key_reset, key_steps = jax.random.split(key)
    return jax.lax.scan(step, env.reset(key_reset), jax.random.split(key_steps, steps))[1]


def least_violation(env: Any, blank: Any, before: tuple[Any, ...], key: jax.Array) -> jax.Array:
    """The least violation of limits that the search finds an action for, p.u.; infinite where all collapse.

    Args:
      env: the task, without a layer.
      blank: a state of it, whatever it says.
      before: grid, auxiliary variables, time and key of the state that the step is taken from.
      key: of the search.
    """
    grid, aux, t, own_key = before
    state = blank.replace(grid=grid, aux=aux, t=t, key=own_key, terminated=jnp.array(False))
    box = env.action_space
    size = box.high - box.low

    def violation(action: jax.Array) -> jax.Array:
        after = env.step(state, action)
        total = after.metrics["voltage_violation"] + after.metrics["branch_violation"]
        return jnp.where(after.terminated, jnp.inf, total)

    def search(around: Any, key: jax.Array) -> tuple[Any, None]:
        mean, spread, best, least = around
        normal = jax.random.normal(key, (DRAWN, *mean.shape), mean.dtype)
        drawn = jnp.clip(mean[None] + spread[None] * normal, box.low[None], box.high[None])
        drawn = drawn.at[0].set(best)
        found = jax.vmap(violation)(drawn)
        elite = drawn[jnp.argsort(found)[:ELITE]]
        first = jnp.argmin(found)
        better = found[first] < least
        best, least = jnp.where(better, drawn[first], best), jnp.minimum(least, found[first])
        return (elite.mean(0), elite.std(0) + LEAST_SPREAD * size, best, least), None

    middle = (box.low + box.high) / 2
    begin = middle, size / 2, middle, jnp.full((), jnp.inf, middle.dtype)
    return jax.lax.scan(search, begin, jax.random.split(key, ROUNDS))[0][3]


def measure_days(task: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of all layers and policies of a task."""
    env = anmjax.make(task)
    keys = jax.random.split(jax.random.key(0), options.days)
    blank, nothing = jax.jit(env.reset)(keys[0]), do_nothing_policy(env).action
    search = jax.jit(jax.vmap(partial(least_violation, env, blank)))
    rows = []
    for layer in options.layers:
        run = jax.jit(jax.vmap(partial(day, layered(env, layer), options.steps, nothing), in_axes=(0, None)))
        for policy in POLICIES:
            days = run(keys, jnp.array(policy == "random"))
            searched = jax.tree.map(lambda x: x[:, :: options.search_every].reshape(-1, *x.shape[2:]), days)
            search_keys = jax.random.split(jax.random.key(1), len(searched["going"]))
            least = np.asarray(search(searched["before"], search_keys))
            rows.append(
                {"task": task, "layer": layer, "policy": policy, **summary(days, searched, least)}
                | {"days": options.days, "steps": options.steps, "dtype": str(least.dtype)}
            )
            print(line(rows[-1]), flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    """A row for people."""
    where = row["violates_where_feasible"]
    return (
        f"{row['task']} {row['policy']:10s} {row['layer']:11s}: {row['violates']:6.1%} of steps violate, "
        f"{'none' if where is None else f'{where:.2%}'} of those with an action within limits; "
        f"moved {row['distance_pu']:.3f} p.u."
    )


def summary(days: dict[str, Any], searched: dict[str, Any], least: np.ndarray) -> dict[str, Any]:
    """Shares of steps.

    Args:
      days: every step, (days, steps).
      searched: those that were searched, (searched,).
      least: (searched,) p.u., least violation that the search found.

    Returns:
      Shares that violate a limit or collapse, that the layer says it cannot help, mean distance moved (p.u.);
      of the steps searched: the share with an action within the limits, and how many of those violate one.
    """
    going = np.asarray(days["going"])
    of_all = {name: np.asarray(days[name])[going] for name in ("violates", "collapsed", "told", "distance")}
    kept = np.asarray(searched["going"])
    violated = np.asarray(searched["violates"])[kept]
    feasible = (least[kept] <= VIOLATION_TOLERANCE) | ~violated
    return {
        "violates": float(of_all["violates"].mean()),
        "collapsed": float(of_all["collapsed"].mean()),
        "told_out_of_reach": float(of_all["told"].mean()),
        "distance_pu": float(of_all["distance"].mean()),
        "searched": int(kept.sum()),
        "feasible": float(feasible.mean()),
        "violates_where_feasible": float(violated[feasible].mean()) if feasible.any() else None,
    }


def measure_rates(task: str, options: argparse.Namespace, mesh: Mesh) -> list[dict[str, Any]]:
    """Steps a second with random actions, with and without the layer in turn."""
    env = anmjax.make(task)
    rows = []
    for batch in options.batches:
        lanes = {
            layer: Lanes(anmjax.AutoReset(layered(env, layer)), batch, mesh, options.seconds)
            for layer in ("none", "perfect")
        }
        rates = interleave({name: lane.steps_per_s for name, lane in lanes.items()}, options.repeats)
        for layer, lane in lanes.items():
            rows.append(
                {
                    "task": task,
                    "layer": layer,
                    "batch": batch,
                    "dtype": str(env.action_space.dtype),
                    "steps_per_s": rates[layer].to_dict(),
                    "trace_s": lane.program.trace_s,
                    "compile_s": lane.program.compile_s,
                }
            )
            print(f"{task} {batch:6d} {layer:8s}: {rates[layer].median:14,.0f} steps/s", flush=True)
    return rows


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    load = os.getloadavg()[0]
    mesh = command_line.mesh_of(options.devices)
    print(f"safety on {record.machine()}", flush=True)
    rates = [row for task in options.tasks for row in measure_rates(task, options, mesh)]
    rows = [row for task in options.tasks for row in measure_days(task, options)]
    if options.out or not options.smoke:
        made = record.make("projection.safety", rows, load_average_before=load, rates=rates)
        record.write(made, options.out)


if __name__ == "__main__":
    main()
