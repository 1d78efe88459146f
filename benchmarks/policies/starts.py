"""Does a learned policy hold wherever a day may begin? It is compared with others start by start.

Parts: ``charges``, all starts of ANM6Easy-v0 with eleven charges of its battery each; ``charges planned``,
every fourth of them, with a planner, which is slow; ``drawn``, starts that the task draws; ``feeder``, all
starts of IEEE33Easy-v0; ``feeder ac``, every sixth of them, with planning by the AC power flow that is told
the future. The first policy of a part is compared with each of the others: differences of discounted returns
from the same start, with a 95 % interval.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import anmjax
from anmjax.agents.baselines import BASELINES
from anmjax.agents.evaluation import HORIZON, evaluate, paired_difference, starts_of
from benchmarks.harness import command_line, record


class Part(NamedTuple):
    """What is compared from which starts."""

    task: str
    policies: tuple[str, ...]  # as for anmjax evaluate; agents' are those that come with the package
    charges: tuple[float, ...] | None = None  # MWh
    drawn: int = 0  # starts to draw; 0: the task's own
    every: int = 1  # of the starts


CHARGES = tuple(range(0, 101, 10))
PARTS = {
    "charges": Part("ANM6Easy-v0", ("shac", "ppo"), charges=CHARGES),
    "charges planned": Part("ANM6Easy-v0", ("shac", "mpc-perfect"), charges=CHARGES, every=4),
    "drawn": Part("ANM6Easy-v0", ("shac", "ppo", "mpc-perfect"), drawn=256),
    "feeder": Part("IEEE33Easy-v0", ("shac", "mpc-perfect", "do-nothing")),
    "feeder ac": Part("IEEE33Easy-v0", ("shac", "mpc-perfect-ac"), every=6),
}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies.starts", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--horizon", type=int, default=HORIZON, help="steps a start (default: %(default)s)")
    parser.add_argument("--resume", type=Path, help="record whose rows stand")
    parser.add_argument("--anew", nargs="+", default=[], metavar="POLICY", help="policies that do not stand")
    command_line.add_devices(parser)
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.parts, options.horizon = ["charges"], 2
    return options


def measure(
    name: str, part: Part, horizon: int, stood: dict[str, dict[str, Any]], *, smoke: bool
) -> list[dict[str, Any]]:
    """The rows of one part, one a policy: those that stand, by policy, and the others."""
    env: Any = anmjax.make(part.task)
    starts, described = starts_of(
        env,
        jax.random.key(0),
        num_starts=part.drawn or 96,
        drawn=part.drawn > 0,
        soc_mwh=part.charges and (part.charges[:1] if smoke else part.charges),
    )
    starts = jax.tree.map(lambda x: x[:: part.every], starts)
    if part.every > 1:
        described += f", every {part.every}th"
    rows: list[dict[str, Any]] = []
    for policy in part.policies[: 1 if smoke else None]:
        if policy in stood:
            rows.append(compared(stood[policy], rows))
            continue
        made: Any = BASELINES[policy](env) if policy in BASELINES else anmjax.load_policy(part.task, policy)
        begun = time.perf_counter()
        result = evaluate(env, made, starts, horizon=horizon, described=described)
        found: dict[str, Any] = {
            "part": name,
            "task": part.task,
            "policy": policy,
            "evaluation": result.to_dict(),
        }
        found["seconds"] = time.perf_counter() - begun
        returns = np.asarray(result.returns)
        if part.charges and not smoke:
            means = returns.reshape(len(part.charges), -1).mean(1)
            found["by_charge"] = dict(zip(map(str, part.charges), map(float, means), strict=True))
        rows.append(compared(found, rows))
        print(f"{name}: {policy}: {result.discounted_return:.3f}, {found['seconds']:.0f} s", flush=True)
    return rows


def compared(row: dict[str, Any], before: list[dict[str, Any]]) -> dict[str, Any]:
    """A row with its difference from the first of its part, from the same starts."""
    if not before:
        return row
    ours, theirs = (one["evaluation"]["returns"] for one in (before[0], row))
    return row | {"first_less_this": asdict(paired_difference(ours, theirs))}


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    command_line.mesh_of(options.devices)
    rows, earlier = record.gone_on_with(options.resume)
    for name in options.parts:
        own = [row for row in rows if row["part"] == name]
        stood = {row["policy"]: row for row in own if row["policy"] not in options.anew}
        found = measure(name, PARTS[name], options.horizon, stood, smoke=options.smoke)
        at = rows.index(own[0]) if own else len(rows)
        rows = [row for row in rows if row not in own]
        rows[at:at] = found
        if options.out or not options.smoke:  # what there is, should it be stopped
            made = record.make("policies.starts", rows, horizon=options.horizon, earlier=earlier)
            record.write(made, options.out)


if __name__ == "__main__":
    main()
