"""Where does the time of a power flow go?

The parts of the solver by themselves, in blocks of lanes as long as the solver's, on one core: the power
balance (gathering and summing the currents), the substitutions with factors that all lanes share, and the
system of every lane by itself (its balance, factorisation and substitution), as the gradient needs it.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import anmjax
from anmjax.lanes.schedule import CPUBlocks
from anmjax.powerflow import jacobian, solve
from anmjax.powerflow.admittance import admittance
from anmjax.powerflow.elimination.solver import linear_solver
from anmjax.powerflow.equations import bus_power, voltage
from anmjax.powerflow.inputs import branch_parameters, bus_shunts, network_plan
from benchmarks.harness import command_line, record
from benchmarks.harness.timing import interleave, run_seconds
from benchmarks.power_flow import networks
from benchmarks.power_flow.speed import SMOKE, TOL, programs, scenarios

BATCH = 2048
SCHEDULE = CPUBlocks()
# Buses in one call at most: large networks are given fewer lanes.
MAX_BUSES = 600_000
WHOLE = ("forward", "with gradient")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.power_flow.parts", description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(networks.TIMED), choices=networks.FACTORIES)
    command_line.add_timing(parser, seconds=0.1, repeats=7)
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.networks, options.seconds, options.repeats = list(SMOKE), 0.01, 2
    return options


Part = tuple[Callable[..., Any], tuple[Any, ...], int]  # a function, its arguments, and its lanes


def parts(net: anmjax.Network, p: np.ndarray, q: np.ndarray) -> dict[str, Part]:
    """The parts of the solver, at the solutions of the first of the scenarios."""
    plan = network_plan(net, net.pv)
    linear = linear_solver(plan, SCHEDULE)
    shared = jax.tree.map(lambda x: jnp.asarray(x)[..., None], net)
    adm = admittance(plan, branch_parameters(shared), bus_shunts(shared))
    many = solve.chord_block(plan, SCHEDULE, jnp.asarray(p.T))
    few = solve.newton_block(plan, SCHEDULE, (jnp.asarray(p.T), adm))
    v = np.array(jax.jit(jax.vmap(lambda p, q: anmjax.power_flow(net, p, q).v))(p, q)).T
    v = v[np.asarray(plan.order)] * np.exp(-1j * float(net.slack_angle[0]))
    d = jnp.asarray(np.stack([v.real - 1, v.imag]))
    sent = bus_power(plan, adm, d)

    def factorise(d: jax.Array, sent: jax.Array) -> jacobian.Jacobian:
        return jacobian.factorise(plan, linear, adm, voltage(d), sent)

    def own_system(d: jax.Array, rhs: jax.Array) -> jax.Array:
        jac = factorise(d, bus_power(plan, adm, d))
        return jacobian.transposed_voltage_change(plan, linear, jac, rhs)

    base = jax.jit(factorise)(d[..., :1], sent[..., :1])
    return {
        "balance": (functools.partial(bus_power, plan, adm), (d[..., :many],), many),
        "shared_substitution": (
            functools.partial(jacobian.voltage_change, plan, linear),
            (base, sent[:, :-1, :many]),
            many,
        ),
        "own_system": (own_system, (d[..., :few], sent[:, :-1, :few]), few),
    }


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measures one network: microseconds a lane, of the whole calls and of their parts."""
    net = networks.load_timed(name)
    p, q = scenarios(net, max(min(BATCH, MAX_BUSES // net.n_bus), SCHEDULE.min_lanes_to_share))
    calls = programs(net, argparse.Namespace(dtype="float64", tol=TOL["float64"], num_iters=None, what=WHOLE))
    found = parts(net, p, q) | {what: (call, (p, q), len(p)) for what, call in calls.items()}
    updates = jax.jit(jax.vmap(lambda p, q: anmjax.power_flow(net, p, q, tol=TOL["float64"]).iterations))(
        p, q
    )

    def rate(part: Part) -> Callable[[], float]:
        function, inputs, num_lanes = part
        run = jax.jit(function)
        inputs = jax.tree.map(jnp.asarray, inputs)
        jax.block_until_ready(run(*inputs))
        times = max(1, math.ceil(options.seconds / run_seconds(lambda: run(*inputs))))

        def once() -> float:
            return times * num_lanes / run_seconds(lambda: [run(*inputs) for _ in range(times)])

        return once

    rates = interleave({what: rate(part) for what, part in found.items()}, options.repeats)
    us = {what: 1e6 / spread.median for what, spread in rates.items()}
    print(name, {what: f"{each:.3g} us" for what, each in us.items()}, flush=True)
    return {
        "network": name,
        "n_bus": net.n_bus,
        "n_branch": net.n_branch,
        "batch": len(p),
        "chord_lanes": found["balance"][2],
        "newton_lanes": found["own_system"][2],
        "updates": float(np.mean(updates)),
        "us_a_lane": us,
        "lanes_per_s": {what: spread.to_dict() for what, spread in rates.items()},
    }


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    jax.config.update("jax_enable_x64", True)
    rows = [measure(name, options) for name in options.networks]
    if options.out or not options.smoke:
        record.write(record.make("power_flow.parts", rows), options.out)


if __name__ == "__main__":
    main()
