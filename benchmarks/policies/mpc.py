"""How many plans a second, against the horizon, and beside gym-anm's own MPC agent on the same states?

ANM6Easy-v0 at random times of day and charges, known profiles, branches at 94 % of their rating. gym-anm's
agent solves its problem by cvxpy, as it comes; how good our plans are is judged by that problem's optimal
value, solved anew by CLARABEL to 1e-9.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import anmjax
from anmjax.agents.mpc import MPCPerfect
from benchmarks.env_step import gym_anm
from benchmarks.harness import command_line, record
from benchmarks.harness.timing import interleave
from benchmarks.power_flow.lanes import Lanes

MARGIN = 0.94
STEPS = (8, 16, 32, 64, 128)
# Horizons at which gym-anm is measured, and states that it is given.
PEER_STEPS, FEW = (8, 32), 8


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies.mpc", description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS), help="planning steps")
    parser.add_argument("--batch", type=int, default=1024, help="grids planned for at once")
    parser.add_argument("--dtypes", nargs="+", choices=("float64", "float32"), default=["float64", "float32"])
    parser.add_argument("--no-peer", action="store_true", help="leave gym-anm out")
    command_line.add_timing(parser, seconds=0.5, repeats=5)
    command_line.add_devices(parser)
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    options.few, options.peer_steps = FEW, PEER_STEPS
    if options.smoke:
        options.steps, options.batch, options.dtypes = [2], 4, ["float64"]
        options.seconds, options.repeats, options.few, options.peer_steps = 0.01, 2, 2, (2,)
    return options


def situations(batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Times of day, (batch,), and charges, (batch,) MWh from empty to full."""
    rng = np.random.default_rng(batch)
    return rng.integers(0, 96, batch), rng.uniform(0, 100, batch)


class Peer:
    """gym-anm's agent on the first of the states."""

    def __init__(self, steps: int, few: int, batch: int, seconds: float):
        """Sets up its problem, and each state in its environment."""
        from gym_anm.agents import MPCAgentPerfect
        from gym_anm.envs import ANM6Easy

        self.seconds, self.envs = seconds, []
        for hour, soc in list(zip(*situations(batch), strict=True))[:few]:
            env = ANM6Easy()
            env.reset(seed=0)
            env.state[-1] = hour
            env.simulator.state["des_soc"]["pu"] = dict.fromkeys(
                env.simulator.state["des_soc"]["pu"], soc / env.simulator.baseMVA
            )
            self.envs.append(env)
        first = self.envs[0]
        self.agent = MPCAgentPerfect(
            first.simulator, first.action_space, first.gamma, safety_margin=MARGIN, planning_steps=steps
        )
        self.agent.act(first)

    def plans_per_s(self) -> float:
        """Lets it act on the states one after the other."""
        start, done = time.perf_counter(), 0
        while (took := time.perf_counter() - start) < self.seconds or not done:
            self.agent.act(self.envs[done % len(self.envs)])
            done += 1
        return done / took

    def optimal_values(self) -> np.ndarray:
        """The optimal value of every state, p.u."""
        values = []
        for env in self.envs:
            loads, potentials = self.agent.forecast(env)
            self.agent._update_parameters(env.simulator, loads, potentials)
            tight = {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9}
            values.append(self.agent.dc_opf.solve(solver="CLARABEL", **tight))
        return np.array(values)


def planner(steps: int, dtype: str) -> Callable[..., Any]:
    """A function of times of day and charges, (batch,) each, that gives costs and flags."""
    env: Any = anmjax.make("ANM6Easy-v0", dtype=dtype)
    policy = MPCPerfect(env, planning_steps=steps, safety_margin=MARGIN)
    blank = jax.jit(env.reset)(jax.random.key(0))

    def plan(hour: jax.Array, soc: jax.Array) -> tuple[jax.Array, ...]:
        grid = blank.grid.replace(soc=soc[None] / env.network.base_mva)
        made = policy.plan(blank.replace(grid=grid, aux=hour[None]))
        return made.cost, made.converged, made.p_storage[:, 0]

    return jax.vmap(plan)


def measure(steps: int, mesh: Mesh, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of one horizon, all solvers measured in turn."""
    data = situations(options.batch)
    ours = {
        dtype: Lanes(planner(steps, dtype), [jnp.asarray(x, dtype) for x in data], mesh, options.seconds)
        for dtype in options.dtypes
    }
    with_peer = not options.no_peer and gym_anm.installed() and steps in options.peer_steps
    peer = Peer(steps, options.few, options.batch, options.seconds) if with_peer else None
    runs: dict[str, Callable[[], float]] = {dtype: lanes.solves_per_s for dtype, lanes in ours.items()}
    if peer:
        runs["gym-anm"] = peer.plans_per_s
    rates = interleave(runs, options.repeats)
    optimum = peer.optimal_values() if peer else None
    rows = []
    for name, rate in rates.items():
        row: dict[str, Any] = {
            "steps": steps,
            "solver": "gym-anm" if name == "gym-anm" else "anmjax",
            "plans_per_s": rate.to_dict(),
        }
        if name in ours:
            cost, converged, _ = jax.device_get(ours[name].program.call(*ours[name].inputs))
            row |= {"dtype": name, "batch": options.batch, "converged": float(np.mean(converged))}
            row |= ours[name].to_dict()
            if optimum is not None:
                off = np.abs(cost[: len(optimum)] - optimum) / np.maximum(np.abs(optimum), 1e-3)
                row["max_value_error"] = float(off.max())
        rows.append(row)
        said = f", value off by {row['max_value_error']:.0e}" if "max_value_error" in row else ""
        print(f"N = {steps:3d} {name:8s}: {rate.median:12,.1f} plans/s{said}", flush=True)
    return rows


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    load = os.getloadavg()[0]
    jax.config.update("jax_enable_x64", True)
    mesh = command_line.mesh_of(options.devices)
    print(f"mpc on {record.machine()}", flush=True)
    rows = [row for steps in options.steps for row in measure(steps, mesh, options)]
    if options.out or not options.smoke:
        made = record.make("policies.mpc", rows, load_average_before=load)
        record.write(made, options.out)


if __name__ == "__main__":
    main()
