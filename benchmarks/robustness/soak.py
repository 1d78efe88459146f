"""Does the simulator keep its promises over a hundred million steps?

Random actions, some of them far outside the action box, under auto reset. At every step of every grid:
nothing is infinite or NaN, charges and injections are within their limits, observations are the state, cut to
their bounds (which the slack's injection may exceed, as in the reference simulator), a grid has collapsed
where and only where its power flow has no solution, the injections are those that the voltages drive through
the network (its Ybus built apart, in NumPy), losses are not negative, steps are counted, and storage makes no
energy: its charge falls by at least what it gives over its efficiency.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import anmjax
from benchmarks.harness import command_line, record
from benchmarks.power_flow.balance import PowerBalance

LANES = PartitionSpec("lanes")
# Actions reach this far beyond the box, in widths of it.
BEYOND = 0.5


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness.soak", description=__doc__)
    parser.add_argument(
        "--tasks", nargs="+", default=["IEEE33Easy-v0", "ANM6Easy-v0"], help="registered tasks"
    )
    parser.add_argument(
        "--steps", type=float, default=1e8, help="of all grids together (default: %(default)s)"
    )
    parser.add_argument("--batch", type=int, default=4096, help="grids a device (default: %(default)s)")
    parser.add_argument("--chunk", type=int, default=256, help="steps of one compiled call")
    command_line.add_devices(parser)
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.tasks, options.steps, options.batch, options.chunk = ["ANM6Easy-v0"], 1e4, 64, 16
    return options


def broken(env: Any, before: Any, after: Any) -> dict[str, jax.Array]:
    """Which promises one step of one grid breaks, as flags.

    Args:
      env: the environment, one that observes its state.
      before: state of the step's start.
      after: what ``AutoReset(env).step`` made of it.
    """
    net = env.network
    eps = float(jnp.finfo(net.dtype).eps)
    metrics, grid = after.metrics, after.grid
    going = ~after.terminated
    storage, generators = np.array(net.storage, int), np.array(net.generators, int)
    free = np.concatenate([generators, storage])
    numbers = [
        after.obs,
        after.reward,
        grid.p,
        grid.q,
        grid.soc,
        grid.v.real,
        grid.v.imag,
        metrics["final_obs"],
    ]
    finite = jnp.stack([jnp.isfinite(x).all() for x in numbers]).all()
    low, high = net.soc_min[storage], net.soc_max[storage]
    # What rounding makes of a sum of all injections, each of the size of the largest.
    slack = 64 * eps * net.n_device * jnp.abs(grid.p).max()
    p, spent = grid.p[storage], before.grid.soc - grid.soc
    most = jnp.where(p > 0, p * env.delta_t / net.eff[storage], p * env.delta_t * net.eff[storage])
    made = spent - most < -64 * eps * jnp.maximum(high, 1)
    # Injections are of the size of 1 p.u.; the projection onto their limits rounds some times.
    near = 64 * eps
    beyond = (grid.p[free] < net.p_min[free] - near) | (grid.p[free] > net.p_max[free] + near)
    beyond |= (grid.q[free] < net.q_min[free] - near) | (grid.q[free] > net.q_max[free] + near)
    mega = jnp.concatenate([grid.p, grid.q, grid.soc, grid.p_potential]) * net.base_mva
    box = env.observation_space
    state = jnp.clip(jnp.concatenate([mega, after.aux]), box.low, box.high)
    surplus = (grid.p[generators] > grid.p_potential + near).any()
    return {
        "not_finite": ~finite,
        "charge_out_of_limits": ((grid.soc < low) | (grid.soc > high)).any(),
        "injection_out_of_limits": beyond.any() | (going & surplus),
        "observation_out_of_bounds": ~box.contains(after.obs),
        "observation_is_not_the_state": (jnp.abs(after.obs - state) > near * (1 + jnp.abs(state))).any(),
        "ended_though_converged": after.terminated & metrics["converged"],
        "went_on_though_collapsed": going & ~metrics["converged"],
        "power_out_of_balance": out_of_balance(env, grid),
        "steps_miscounted": after.t != jnp.where(going, before.t + 1, 0),
        "negative_losses": going & (grid.p.sum() < -slack - net.n_bus * metrics["mismatch"]),
        "storage_made_energy": going & made.any(),
        "reward_out_of_bounds": going & (jnp.abs(after.reward) > sum(env.costs_clipping)),
    }


def out_of_balance(env: Any, grid: Any) -> jax.Array:
    """() bool: at some bus, the slack included, the injections are not what the voltages drive."""
    net = env.network
    y_bus = PowerBalance(jax.tree.map(lambda x: np.asarray(x, float), net)).y_bus.toarray()
    conductance, susceptance = y_bus.real.astype(net.dtype), y_bus.imag.astype(net.dtype)
    at_bus = (np.arange(net.n_bus)[:, None] == np.array(net.device_bus)).astype(net.dtype)
    e, f = grid.v.real, grid.v.imag
    current_re, current_im = conductance @ e - susceptance @ f, susceptance @ e + conductance @ f
    p, q = e * current_re + f * current_im, f * current_re - e * current_im
    # The power flow's own tolerance; and voltages that are rounded to their last digit, and summed here.
    slack = env.tol + 8 * float(jnp.finfo(net.dtype).eps) * np.abs(y_bus).sum(1)
    error = jnp.maximum(jnp.abs(p - at_bus @ grid.p), jnp.abs(q - at_bus @ grid.q))
    return ~(error <= slack.astype(net.dtype)).all()


def soak(env: Any, mesh: Mesh, chunk: int) -> Callable[..., Any]:
    """Builds ``run(states, keys)``: steps of all grids; last states and counts of what was broken."""
    wrapped = anmjax.AutoReset(env)
    box = env.action_space
    reach = BEYOND * (box.high - box.low)

    def run(states: Any, keys: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        def step(carry: tuple[Any, dict[str, jax.Array]], key: jax.Array) -> tuple[Any, None]:
            states, counts = carry
            uniform = jax.random.uniform(key, (states.reward.shape[0], *box.shape), box.dtype)
            actions = box.low - reach + (box.high - box.low + 2 * reach) * uniform
            after = jax.vmap(wrapped.step)(states, actions)
            flags = jax.vmap(broken, (None, 0, 0))(env, states, after)
            flags["episodes_ended"] = after.terminated
            return (after, {name: counts[name] + flag.sum() for name, flag in flags.items()}), None

        names = [*jax.eval_shape(lambda s: broken(env, *2 * (jax.tree.map(lambda x: x[0], s),)), states)]
        zeros = {name: jnp.zeros_like(states.t[0]) for name in [*names, "episodes_ended"]}
        (states, counts), _ = jax.lax.scan(step, (states, zeros), jax.random.split(keys[0], chunk))
        return states, jax.tree.map(lambda x: x[None], counts)

    return jax.jit(jax.shard_map(run, mesh=mesh, in_specs=(LANES, LANES), out_specs=LANES), donate_argnums=0)


def measure(task: str, options: argparse.Namespace, mesh: Mesh) -> dict[str, Any]:
    """The row of a task."""
    env = anmjax.make(task)
    devices = mesh.devices.size
    lanes = NamedSharding(mesh, LANES)
    run = soak(env, mesh, options.chunk)
    keys = jax.device_put(jax.random.split(jax.random.key(0), devices * options.batch), lanes)
    reset = jax.vmap(anmjax.AutoReset(env).reset)
    states = jax.shard_map(reset, mesh=mesh, in_specs=LANES, out_specs=LANES)(keys)
    totals: dict[str, int] = {}
    calls = max(round(options.steps / (devices * options.batch * options.chunk)), 1)
    begun = time.perf_counter()
    for call in range(calls):
        keys = jax.device_put(jax.random.split(jax.random.key(1 + call), devices), lanes)
        states, counts = run(states, keys)
        totals = {name: totals.get(name, 0) + int(count.sum()) for name, count in counts.items()}
        if call % 16 == 0 or call == calls - 1:
            steps = (call + 1) * devices * options.batch * options.chunk
            bad = {name: count for name, count in totals.items() if count and name != "episodes_ended"}
            print(
                f"{task}: {steps:.3g} steps, {time.perf_counter() - begun:.0f} s, broken: {bad or 'none'}",
                flush=True,
            )
    steps = calls * devices * options.batch * options.chunk
    return {"task": task, "steps": steps, "dtype": str(env.network.dtype), **totals}


def main() -> None:
    """Runs the benchmark; leaves with 1 where a promise was broken."""
    options = parse()
    mesh = command_line.mesh_of(options.devices)
    rows = [measure(task, options, mesh) for task in options.tasks]
    if options.out or not options.smoke:
        record.write(record.make("robustness.soak", rows), options.out)
    counted = ("task", "steps", "dtype", "episodes_ended")
    if any(count for row in rows for name, count in row.items() if name not in counted):
        sys.exit("promises were broken")


if __name__ == "__main__":
    main()
