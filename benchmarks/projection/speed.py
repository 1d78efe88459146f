"""How many projections a second, against batch size and beside other solvers of quadratic programs?

Set-points onto regions of devices in closed form, and dense quadratic programs by ``solve_qp``, every lane
with matrices of its own. Lanes are spread over all devices with ``shard_map``; on a CPU every core is made a
JAX device of its own. Peers solve the same problems in turn with ours, CLARABEL, OSQP and cvxpy one after the
other on one core, cvxpylayers a few at a time, qpax in batches.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from anmjax.projection import DeviceLimits, project_to_device_region
from anmjax.qp import solve_qp
from benchmarks.harness import command_line, record
from benchmarks.harness.timing import interleave
from benchmarks.projection.peers import Batched, Solver, missing, peers
from benchmarks.projection.problems import Known, judge, random_programs, random_regions

BATCHES = (1, 64, 1024, 16384)
POINTS = (1, 1024, 32_768, 1_000_000)
# By number of variables: these, inequalities and equalities.
SIZES = {6: (6, 39, 0), 20: (20, 60, 6), 60: (60, 120, 10)}
# Numbers in the data of one call at most: beyond it a batch is left out.
MAX_NUMBERS = 5_000_000
# Problems that a solver of one after the other is given: its rate does not depend on their number.
FEW = 32
# Set-points whose projections are judged.
JUDGED = 4096
DTYPES = ("float64", "float32")
# Ours is wrong if the objective of a lane said to have converged is further off, of 1 + |objective|.
SAME_OBJECTIVE = {"float64": 1e-7, "float32": 1e-3}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.projection", description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES), metavar="LANES")
    parser.add_argument(
        "--variables", type=int, nargs="*", default=list(SIZES), choices=SIZES, help="of a qp"
    )
    parser.add_argument("--points", type=int, nargs="*", default=list(POINTS), help="set-points in one call")
    parser.add_argument(
        "--max-numbers", type=int, default=MAX_NUMBERS, help="in the data of one call at most"
    )
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES), help="of ours")
    command_line.add_timing(parser, seconds=0.2, repeats=3)
    command_line.add_devices(parser)
    command_line.add_budget(parser)
    parser.add_argument("--no-peers", action="store_true", help="leave other solvers out")
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    options.few = FEW
    if options.smoke:
        options.variables, options.few, options.batches, options.points = [6], 2, [4], [1024]
        options.seconds, options.repeats, options.dtypes = 0.01, 2, ["float64"]
    return options


def region_projection(p: jax.Array, q: jax.Array, *rest: jax.Array) -> Any:
    """Projects set-points: P and Q, (batch,) p.u. each; ``rest`` are the limits, p_low and p_high."""
    *limits, p_low, p_high = rest
    return project_to_device_region(p, q, DeviceLimits(*limits), p_low, p_high)


def region_gradient(p: jax.Array, q: jax.Array, *rest: jax.Array) -> Any:
    """Projects set-points, and gives the gradient of the sum of all P and Q in the set-points too."""

    def total(p: jax.Array, q: jax.Array) -> Any:
        found = region_projection(p, q, *rest)
        return found[0].sum() + found[1].sum(), found

    (_, found), gradient = jax.value_and_grad(total, (0, 1), has_aux=True)(p, q)
    return *found, gradient


def forward(*data: jax.Array, **options: Any) -> Any:
    """Solves one quadratic program: x, and whether it converged."""
    found = solve_qp(*data, **options)
    return found.x, found.converged


def with_gradient(
    P: jax.Array, q: jax.Array, A: jax.Array, b: jax.Array, G: jax.Array, h: jax.Array, **options: Any
) -> Any:
    """Solves one quadratic program, and gives the gradient of the sum of x in q and h too."""

    def total(q: jax.Array, h: jax.Array) -> Any:
        x, converged = forward(P, q, A, b, G, h, **options)
        return x.sum(), (x, converged)

    (_, found), gradient = jax.value_and_grad(total, (0, 1), has_aux=True)(q, h)
    return *found, gradient


OF_REGIONS: dict[str, Callable[..., Any]] = {"forward": region_projection, "with gradient": region_gradient}
OF_PROGRAMS: dict[str, Callable[..., Any]] = {"forward": forward, "with gradient": with_gradient}
# As accurate as a package that stops at 1e-6 asks for, and no more.
SHORT = {"num_iters": 10, "refinements": 0, "tol": 1e-6}
OURS: dict[str, dict[str, Any]] = {"anmjax": {}, "anmjax, 10 steps": SHORT}


def measure_regions(batch: int, mesh: Mesh, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures projections onto ``batch`` regions of devices at once, and peers on a few of them."""
    regions = random_regions(batch)
    known = regions.programs(JUDGED)
    data = [x.astype(np.float32) for x in regions.data]
    ours = {
        ("anmjax", what, "float32"): Batched(call, data, mesh, options.seconds)
        for what, call in OF_REGIONS.items()
    }

    def judged(solver: Solver) -> dict[str, Any]:
        x = np.stack(solver.answers()[:2], 1)[: len(known.x)]
        return judge(known, x, np.isfinite(x).all(1))

    return measured("device region", known, ours, judged, mesh, options)


def measure_programs(
    size: tuple[int, int, int], batch: int, mesh: Mesh, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Measures a batch of quadratic programs in both precisions, ours and the peers in turn."""
    known = random_programs(batch, *size)
    ours = {
        (name, what, dtype): Batched(
            jax.vmap(functools.partial(call, **settings)),
            [x.astype(dtype) for x in known.programs],
            mesh,
            options.seconds,
        )
        for dtype in options.dtypes
        for name, settings in OURS.items()
        for what, call in OF_PROGRAMS.items()
        if not settings or dtype == "float64"
    }
    return measured("qp", known, ours, lambda solver: judge(known, *solver.answers()), mesh, options)


def measured(
    problem: str,
    known: Known,
    ours: dict[tuple[str, str, str], Batched],
    judged: Callable[[Solver], dict[str, Any]],
    mesh: Mesh,
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Rows of ours and of the peers, all measured in turn.

    Args:
      problem: what is solved.
      known: the problems as quadratic programs, which peers are given.
      ours: by solver, what it does, and dtype.
      judged: says how good the answers of ours are.
      mesh: devices.
      options: of the command line.

    Raises:
      RuntimeError: an answer of ours is wrong.
    """
    found = {} if options.no_peers else peers(known, options.few, mesh, options.seconds)
    others = {(*key, "float64"): solver for key, solver in found.items()}
    quality = {key: judged(solver) for key, solver in ours.items()}
    for (name, what, dtype), entry in quality.items():
        if (entry["max_objective_gap"] or 0) > max(SAME_OBJECTIVE[dtype], OURS[name].get("tol", 0)):
            raise RuntimeError(
                f"{problem}, {what}, {dtype}: objective is {entry['max_objective_gap']:.1e} off"
            )
    quality |= {key: judge(known, *solver.answers()) for key, solver in others.items()}
    solvers: dict[tuple[str, str, str], Solver] = {**ours, **others}
    named = {str(key): solver.solves_per_s for key, solver in solvers.items()}
    rates = interleave(named, options.repeats)
    n, m, p = (x.shape[1] for x in (known.x, known.programs.h, known.programs.b))
    rows = []
    for key, solver in solvers.items():
        name, what, dtype = key
        row = {
            **{"problem": problem, "n": n, "m": m, "p": p, "dtype": dtype, "solver": name, "what": what},
            **{"batch": solver.batch, "solves_per_s": rates[str(key)].to_dict(), **quality[key]},
            **solver.about,
        }
        if key in ours:
            row["ratio"] = {
                other: rates[str(key)].median / rates[str(theirs)].median
                for theirs in others
                for other, does, _ in [theirs]
                if does == what
            }
        label = f"{problem} {n, m, p} {dtype} {solver.batch:,} {name}, {what}"
        print(f"{label:64s}: {rates[str(key)].median:14,.0f} solves/s", flush=True)
        rows.append(row)
    return rows


def plan(options: argparse.Namespace) -> list[tuple[tuple[int, int, int] | None, int]]:
    """What to measure, as size (None: regions of devices) and batch."""
    return [
        *((None, points) for points in options.points),
        *(
            (size, batch)
            for size in map(SIZES.__getitem__, options.variables)
            for batch in options.batches
            if batch * numbers(*size) <= options.max_numbers
        ),
    ]


def numbers(n: int, m: int, p: int) -> int:
    """Numbers in the data of a quadratic program."""
    return (n + m + p) * (n + 1)


def main() -> None:
    """Runs the benchmark."""
    start, options = time.perf_counter(), parse()
    load = os.getloadavg()[0]
    jax.config.update("jax_enable_x64", True)
    mesh = command_line.mesh_of(options.devices)
    print(f"projection on {record.machine()}", flush=True)
    rows: list[dict[str, Any]] = []
    left_out = [] if options.no_peers else [f"{name} (not installed)" for name in missing()]
    for size, batch in plan(options):
        if time.perf_counter() - start > options.budget:
            left_out.append(f"{size or 'device region'}, {batch}")
        elif size is None:
            rows += measure_regions(batch, mesh, options)
        else:
            rows += measure_programs(size, batch, mesh, options)
    print(f"left out: {left_out}" if left_out else "nothing left out", flush=True)
    if options.out or not options.smoke:
        made = record.make("projection", rows, load_average_before=load, left_out=left_out)
        record.write(made, options.out)


if __name__ == "__main__":
    main()
