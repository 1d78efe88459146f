"""Where does the time of an environment step go, and how far is it from the hardware's floor?

The phases of a step by themselves, on one core, at states that a random rollout with auto reset has led to.
The operations of each are counted from its program, the bytes from the state that a step reads and writes.
The floor of a core is what a matrix product and a large sum reach on it, that of an H200 is its data sheet's.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import anmjax
from anmjax.envs.reward import costs
from anmjax.envs.transition import Setpoints, dispatch
from anmjax.lanes.schedule import AllAtOnce
from anmjax.powerflow import newton
from anmjax.powerflow.elimination.solver import linear_solver
from anmjax.powerflow.equations import Equations, voltage
from anmjax.powerflow.inputs import Inputs, branch_parameters, bus_shunts, equations_of, network_plan
from anmjax.powerflow.jacobian import factorise
from anmjax.powerflow.power_flow import solve_power_flow
from anmjax.powerflow.solve import Solution
from anmjax.projection.controls import by_bus, set_points
from benchmarks.env_step.speed import TASKS
from benchmarks.harness import command_line, record
from benchmarks.harness.timing import interleave, run_seconds

BATCH = 3072
H200_FLOPS, H200_BYTES = 60e12, 4.3e12  # float32 operations and bytes of memory a second
# Moving, converting and naming numbers is no operation.
FREE = {
    *("broadcast_in_dim", "reshape", "transpose", "slice", "concatenate", "gather", "convert_element_type"),
    *("squeeze", "rev", "iota", "pad", "dynamic_slice", "dynamic_update_slice", "copy", "split", "complex"),
    *("real", "imag", "stop_gradient", "optimization_barrier", "random_wrap", "random_unwrap"),
}

Phase = tuple[Callable[..., Any], tuple[Any, ...]]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.env_step.parts", description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="registered tasks")
    parser.add_argument("--batch", type=int, default=BATCH, help="grids (default: %(default)s)")
    command_line.add_timing(parser, seconds=0.1, repeats=7)
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.tasks, options.batch, options.seconds, options.repeats = options.tasks[:1], 64, 0.01, 2
    return options


def operations(jaxpr: Any) -> int:
    """Arithmetic operations of a program without loops: one for every number that a primitive makes."""
    total = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        inner = [x for x in equation.params.values() if hasattr(x, "eqns") or hasattr(x, "jaxpr")]
        if name == "cond":  # by platform: every branch computes the same
            total += min(operations(getattr(x, "jaxpr", x)) for x in equation.params["branches"])
        elif name in ("while", "scan"):
            raise ValueError("a loop's operations cannot be counted from its program alone")
        elif inner:
            total += operations(getattr(inner[0], "jaxpr", inner[0]))
        elif name.startswith("reduce_"):
            total += sum(math.prod(x.aval.shape) for x in equation.invars)
        elif name not in FREE:
            total += sum(math.prod(x.aval.shape) for x in equation.outvars)
    return total


def counted(phase: Phase) -> int:
    """Operations of a phase for one lane: the batch, the last axis of its arguments, is cut to one."""
    function, arguments = phase
    one = jax.tree.map(lambda x: x[..., :1] if x.ndim else x, arguments)
    return operations(jax.make_jaxpr(function)(*one).jaxpr)


def situation(task: str, batch: int) -> tuple[Any, Any, jax.Array]:
    """The environment under auto reset, states that it gets into, and actions."""
    env = anmjax.AutoReset(anmjax.make(task))
    key, space = jax.random.key(0), env.action_space

    def body(i: jax.Array, states: Any) -> Any:
        return jax.vmap(env.step)(states, actions_of(i))

    def actions_of(i: jax.Array | int) -> jax.Array:
        uniform = jax.random.uniform(jax.random.fold_in(key, i), (batch, *space.shape), space.dtype)
        return space.low + (space.high - space.low) * uniform

    states = jax.jit(jax.vmap(env.reset))(jax.random.split(key, batch))
    return env, jax.jit(lambda states: jax.lax.fori_loop(0, 50, body, states))(states), actions_of(99)


def phases(env: Any, states: Any, actions: jax.Array) -> tuple[dict[str, Phase], dict[str, Phase]]:
    """The phases to time, and those of them to count in a form without loops."""
    bare = env.env
    # Numbers of the network are arguments here, so that nothing is worked out beforehand.
    net = jax.tree.map(lambda x: jnp.asarray(x)[..., None], bare.network)
    turn = lambda tree: jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), tree)  # noqa: E731
    p_load, p_potential, _ = jax.vmap(bare.exogenous)(states)
    asked = jax.vmap(lambda a: set_points(bare.network, a))(actions)
    wanted = turn(Setpoints(p_load, p_potential, asked.p, asked.q))
    soc = turn(states.grid.soc)

    def injections(net: Any, p: jax.Array, q: jax.Array) -> tuple[jax.Array, jax.Array]:
        by = by_bus(net, jnp.stack([p, q]), 1)
        return by[0], by[1]

    done = jax.jit(lambda net: dispatch(net, soc, wanted, delta_t=bare.delta_t))(net)
    p, q = injections(net, done.p, done.q)

    def solve(net: Any, p: jax.Array, q: jax.Array) -> Solution:
        return solve_power_flow(net, p, q, num_iters=bare.num_iters, tol=bare.tol)[0]

    solution = jax.jit(solve)(net, p, q)
    grid = turn(jax.vmap(env.step)(states, actions).grid)
    d = solution.d
    plan = network_plan(bare.network)

    inputs = Inputs(branch_parameters(net), bus_shunts(net), net.v_set, p, q, None, None)
    equations = jax.jit(lambda inputs: equations_of(plan, inputs))(inputs)

    def update(equations: Equations, x: jax.Array) -> Any:
        linear = linear_solver(plan, AllAtOnce())
        at = newton.start_at(plan, equations, x)
        jac = factorise(plan, linear, equations.adm, voltage(at.d), at.sent)
        return newton.update(plan, linear, equations, at, jac, at.largest > 0)

    x = jnp.zeros((2, bare.network.n_bus - 1, len(actions)), d.dtype)
    timed: dict[str, Phase] = {
        "random numbers": (
            lambda key, like: jax.random.uniform(key, like.shape),
            (jax.random.key(1), actions),
        ),
        "exogenous": (jax.vmap(bare.exogenous), (states,)),
        "projection": (
            lambda net, soc, wanted: dispatch(net, soc, wanted, delta_t=bare.delta_t),
            (net, soc, wanted),
        ),
        "power flow": (solve, (net, p, q)),
        "reward": (lambda net, grid, at: costs(net, grid, at, delta_t=bare.delta_t), (net, grid, solution)),
        "observation": (jax.vmap(bare._observe), (states.grid, jnp.moveaxis(d, -1, 0), states.aux)),
        "step": (jax.vmap(bare.step), (env._inner(states), actions)),
        "step with auto reset": (jax.vmap(env.step), (states, actions)),
    }
    unlooped = {
        "projection": timed["projection"],
        "power flow, an update": (update, (equations, x)),
        "reward": timed["reward"],
        "observation": (
            lambda *lanes: bare._observe(*jax.tree.map(lambda x: x[..., 0], lanes)),
            turn(timed["observation"][1]),
        ),
    }
    return timed, unlooped


def measure(task: str, options: argparse.Namespace, floor: dict[str, float]) -> dict[str, Any]:
    """Measures a task: nanoseconds and operations a lane of every phase, and the floors."""
    env, states, actions = situation(task, options.batch)
    timed, unlooped = phases(env, states, actions)
    bare = env.env
    solution = jax.jit(timed["power flow"][0])(*timed["power flow"][1])
    updates = float(np.mean(np.asarray(solution.iterations)))

    def rate(phase: Phase) -> Callable[[], float]:
        function, inputs = phase
        run = jax.jit(function)
        jax.block_until_ready(run(*inputs))
        times = max(1, math.ceil(options.seconds / run_seconds(lambda: run(*inputs))))

        def once() -> float:
            def calls() -> Any:
                for _ in range(times):
                    out = run(*inputs)
                return out

            return times * options.batch / run_seconds(calls)

        return once

    rates = interleave({name: rate(phase) for name, phase in timed.items()}, options.repeats)
    ns = {name: 1e9 / spread.median for name, spread in rates.items()}
    ops = {name: counted(phase) for name, phase in unlooped.items()}
    each = ops.pop("power flow, an update")
    ops["power flow"] = round(updates * each)
    total = sum(ops.values())
    moved = sum(
        x.nbytes for x in jax.tree.leaves((states.replace(key=jax.random.key_data(states.key)), actions))
    )
    # The state is read and written, the action read.
    bytes_moved = (2 * moved - actions.nbytes) / options.batch
    floors = {
        "core_ns": 1e9 * max(total / floor["flops"], bytes_moved / floor["bytes"]),
        "h200_ns": 1e9 * max(total / H200_FLOPS, bytes_moved / H200_BYTES),
    }
    print(task, {name: f"{value:.0f} ns" for name, value in ns.items()}, f"{total:,} operations", flush=True)
    return {
        "task": task,
        "n_bus": bare.network.n_bus,
        "batch": options.batch,
        "updates": updates,
        "ns_a_lane": ns,
        "lanes_per_s": {name: spread.to_dict() for name, spread in rates.items()},
        "operations": ops,
        "operations_of_an_update": each,
        "bytes": bytes_moved,
        **floors,
    }


def core_floor() -> dict[str, float]:
    """What a core reaches here: operations a second of a matrix product, bytes a second through memory."""
    a, large = jnp.ones((2048, 64)), jnp.ones(1 << 25)
    product, total = jax.jit(lambda a: a @ a[:64]), jax.jit(jnp.sum)
    jax.block_until_ready((product(a), total(large)))
    product_s = min(run_seconds(lambda: product(a)) for _ in range(200))
    total_s = min(run_seconds(lambda: total(large)) for _ in range(20))
    return {"flops": 2 * 2048 * 64 * 64 / product_s, "bytes": large.nbytes / total_s}


def main() -> None:
    """Runs the benchmark."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    options = parse()
    load = os.getloadavg()[0]
    floor = core_floor()
    rows = [measure(task, options, floor) for task in options.tasks]
    made = record.make("env_step.parts", rows, load_average_before=load, core=floor)
    if options.out or not options.smoke:
        record.write(made, options.out)


if __name__ == "__main__":
    main()
