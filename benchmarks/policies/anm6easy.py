"""The table of policies on ANM6Easy-v0: baselines, planners, learners by one protocol, with published values.

Three parts. ``all``: every policy from all 96 starts of the task. ``ac``: planning by the AC power flow, from
16 of these, t0 = 0, 6, .., 90, as it is slower, and all others from the same. ``grid``: both of gym-anm's
planners over horizons and safety margins, from these 16 too. Learned policies are those that come with the
package, unless ``--checkpoints`` names others.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import anmjax
from anmjax.agents.baselines import BASELINES
from anmjax.agents.evaluation import HORIZON, Evaluation, evaluate, paired_difference, starts_of
from anmjax.agents.mpc import MPCPerfect
from anmjax.agents.policies import made, shipped
from anmjax.agents.registry import AGENTS
from anmjax.agents.training.checkpoint import load as load_checkpoint
from anmjax.agents.training.checkpoint import restore_policy
from anmjax.envs.records import State
from benchmarks.harness import command_line, record
from benchmarks.policies import trees

TASK = "ANM6Easy-v0"
POLICIES, BY_AC = ("random", "do-nothing", "mpc-constant", "mpc-perfect"), "mpc-perfect-ac"
PARTS = ("all", "ac", "grid")
STEPS, MARGINS = (8, 16, 32, 64, 128), (0.92, 0.94, 0.96, 0.98, 1.0)
GRID = {"mpc-constant": False, "mpc-perfect": True}  # whether the forecast is perfect
GRID_HORIZON = 384  # steps, four days: a planner repeats its day from the second on
EVERY = 6  # of the task's starts, for the parts ``ac`` and ``grid``


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies.anm6easy", description=__doc__)
    parser.add_argument(
        "--checkpoints", nargs="+", type=Path, help="trained policies (default: the package's)"
    )
    parser.add_argument("--trees", type=Path, help="published decision trees, see benchmarks.policies.trees")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float32")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--resume", type=Path, help="record whose parts stand, but for those of --parts")
    parser.add_argument(
        "--anew",
        nargs="+",
        metavar="POLICY",
        help="of part all, the policies that do not stand in the record",
    )
    command_line.add_devices(parser)
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    options.horizon, options.grid_horizon, options.steps, options.margins = (
        HORIZON,
        GRID_HORIZON,
        STEPS,
        MARGINS,
    )
    options.policies, options.grid = POLICIES, GRID
    if options.smoke:
        # Neither PPO nor the AC power flow, which take longest to begin.
        options.checkpoints, options.parts = options.checkpoints or [], ["all", "grid"]
        options.policies, options.grid = ("do-nothing",), {"mpc-constant": False}
        options.horizon, options.grid_horizon, options.steps, options.margins = 4, 2, (2,), (0.92, 1.0)
    return options


class Planner(MPCPerfect):
    """``MPCPerfect`` or ``MPCConstant``, as one compiled program."""

    perfect: jax.Array  # () bool

    def __init__(self, env: Any, perfect: bool, **options: Any) -> None:
        """Builds the policy; ``options`` as in ``MPC``."""
        super().__init__(env, **options)
        self.perfect = jnp.asarray(perfect)

    def forecast(self, state: State) -> tuple[jax.Array, jax.Array]:
        """What is coming, or what is."""
        coming_load, coming_potential = super().forecast(state)
        load = state.grid.p[np.array(self.env.network.loads, int)][:, None]
        potential = state.grid.p_potential[:, None]
        return (
            jnp.where(self.perfect, coming_load, load),
            jnp.where(self.perfect, coming_potential, potential),
        )


class Table:
    """Rows as they are measured."""

    def __init__(self, dtype: str) -> None:
        """Builds the task and its starts."""
        self.env: Any = anmjax.make(TASK, dtype=dtype)
        self.starts, self.described = starts_of(self.env, jax.random.key(0))
        self.begun = time.perf_counter()
        self.rows: list[dict[str, Any]] = []

    def score(
        self, part: str, name: str, policy: Any, *, every: int, horizon: int, **said: Any
    ) -> Evaluation:
        """Evaluates a policy from every so many of the task's starts."""
        starts = jax.tree.map(lambda x: x[::every], self.starts)
        described = self.described if every == 1 else f"{self.described}, every {every}th"
        start = time.perf_counter()
        result = evaluate(self.env, policy, starts, horizon=horizon, described=described)
        now = time.perf_counter()
        self.rows.append(
            {"part": part, "policy": name, **said, "seconds": now - start, "evaluation": result.to_dict()}
        )
        settings = "".join(f" {key} {value:g}" for key, value in said.items())
        print(
            f"[{now - self.begun:4.0f} s] {part:5s}{name}{settings}: {result.discounted_return:.3f} "
            f"+- {result.standard_error:.3f}, {result.cost_per_day or float('nan'):.4f} a day",
            flush=True,
        )
        return result


def paired(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The return of the planner by the AC power flow less that of each other policy, from its starts."""
    return [
        {"policy": BY_AC, "less": row["policy"], "their_return": fmean(theirs), **asdict(less)}
        for best in rows
        if best["part"] == "ac"
        for row in rows
        if row["part"] == "all"
        for theirs in [row["evaluation"]["returns"][::EVERY]]
        for less in [paired_difference(best["evaluation"]["returns"], theirs)]
    ]


def main() -> None:
    """Runs the benchmark."""
    options = parse(sys.argv[1:])
    load, begun = os.getloadavg()[0], time.perf_counter()
    jax.config.update("jax_enable_x64", options.dtype == "float64")
    command_line.mesh_of(options.devices)
    table = Table(options.dtype)
    if options.checkpoints is None:
        checkpoints = [shipped(TASK, agent) for agent in AGENTS if f"{agent}@{TASK}" in made()]
    else:
        checkpoints = [load_checkpoint(path) for path in options.checkpoints]
    titles = [AGENTS[checkpoint.agent].title for checkpoint in checkpoints]
    learned = {
        title if titles.count(title) == 1 else f"{title} {k}": restore_policy(checkpoint, table.env)
        for k, (title, checkpoint) in enumerate(zip(titles, checkpoints, strict=True))
    }
    known = {name: BASELINES[name](table.env) for name in options.policies}
    if options.trees:
        learned = {"decision trees": trees.read(options.trees, table.env), **learned}
    summary: dict[str, Any] = {"task": TASK, "dtype": options.dtype, "load_average_before": load}
    stood, summary["earlier"] = record.gone_on_with(options.resume)
    kept = [row for row in stood if row["part"] not in options.parts]
    if "all" in options.parts and options.anew is not None:
        kept += [row for row in stood if row["part"] == "all" and row["policy"] not in options.anew]
    if "all" in options.parts:
        for name, policy in {**known, **learned}.items():
            if not any((row["part"], row["policy"]) == ("all", name) for row in kept):
                table.score("all", name, policy, every=1, horizon=options.horizon)
    if "ac" in options.parts:
        table.score("ac", BY_AC, BASELINES[BY_AC](table.env), every=EVERY, horizon=options.horizon)
    if "grid" in options.parts:
        for steps in options.steps:
            for name, perfect in options.grid.items():
                for margin in options.margins:
                    policy = Planner(table.env, perfect, planning_steps=steps, safety_margin=margin)
                    settings = {"planning_steps": steps, "safety_margin": margin}
                    table.score("grid", name, policy, every=EVERY, horizon=options.grid_horizon, **settings)
    summary["minutes"] = (time.perf_counter() - begun) / 60
    order = [*known, "decision trees", *learned]
    rows = table.rows + kept
    rows.sort(key=lambda row: (PARTS.index(row["part"]), row["part"] == "all" and order.index(row["policy"])))
    summary["paired"] = paired(rows)
    finished = record.make("policies.anm6easy", rows, **summary)
    if options.out or not options.smoke:
        record.write(finished, options.out)


if __name__ == "__main__":
    main()
