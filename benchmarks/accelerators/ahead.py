"""What do the programs come to on a GPU and a TPU, compiled ahead of time on a machine without either?

Kernels and bytes a lane are counted from the optimized programs, registers by NVIDIA's assembler. The rate
is an estimate, of nothing that ran: what launches and memory, one after the other, allow at a million lanes.
Every program is compiled in a process of its own; of one that does not compile the name is told, and the
benchmark fails.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax

from benchmarks.accelerators import loops, registers
from benchmarks.accelerators.programs import ANM6, PROGRAMS
from benchmarks.accelerators.targets import INSTALL, TARGETS, Target
from benchmarks.accelerators.traffic import bytes_moved
from benchmarks.harness import command_line, record
from benchmarks.harness.compiled_text import launches, parse, turns_by_data
from benchmarks.harness.timing import compile_program

MANY = 1 << 20  # lanes that the bounds are for
LIMIT = 1800.0  # s, for a program
SMOKE = (f"step, {ANM6}", "h200")


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerators", description=__doc__)
    parser.add_argument("--programs", nargs="+", default=list(PROGRAMS), choices=PROGRAMS)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, help="default: all with a compiler here")
    parser.add_argument("--limit", type=float, default=LIMIT, help="s for a program (default: %(default)s)")
    parser.add_argument("--resume", type=Path, help="record whose other rows stand")
    command_line.add_record(parser)
    options = parser.parse_args(arguments)
    if options.smoke:
        options.programs = list(SMOKE[:1])
    return options


def apart(program: str, target: Target, limit: float = LIMIT) -> dict[str, Any]:
    """``compiled`` in a process of its own, which a compiler may end or keep for good.

    Returns:
      The row; that of a program that does not compile within ``limit`` seconds says why in ``error``.
    """
    spawning = multiprocessing.get_context("spawn")
    receiver, sender = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_send, args=(sender, program, target))
    process.start()
    sender.close()
    try:
        if not receiver.poll(limit):
            return not_compiled(program, target, TimeoutError(f"not done within {limit:g} s"))
        row: dict[str, Any] = receiver.recv()
        return row
    except EOFError:
        return not_compiled(program, target, RuntimeError("the compiler ended the process"))
    finally:
        process.kill()
        process.join()


def _send(sender: Connection, program: str, target: Target) -> None:
    try:
        sender.send(compiled(program, target))
    except Exception as error:
        sender.send(not_compiled(program, target, error))


def not_compiled(program: str, target: Target, error: Exception) -> dict[str, Any]:
    """The row of a program that does not compile."""
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    return {"program": program, "target": target.name, "error": said}


def compiled(program: str, target: Target) -> dict[str, Any]:
    """Compiles a program for a target, and counts what it comes to.

    The first thing that its process does with JAX: a GPU's own driver is never asked for.
    """
    jax.config.update("jax_platforms", "cpu")
    work = PROGRAMS[program](target.device())
    moved = {}
    if target.platform == "cuda":
        found = loops.moved_by_kernels(work.function, work.arguments)
        moved = {name: one.total(work.updates + 1) for name, one in found.items()}
    with tempfile.TemporaryDirectory() as folder:
        dump = {"xla_dump_to": folder} if target.platform == "cuda" else {}
        made = compile_program(work.function, *work.arguments, compiler_options=dump)
        used = registers.of_ptx(sorted(Path(folder).glob("*.ptx")))
    return {
        "program": program,
        "target": target.name,
        "lanes": work.lanes,
        "steps": work.steps,
        "updates": work.updates if moved else None,
        **counted(made.text, work.lanes * work.steps, work.steps, target, moved),
        "registers": used and used.most,
        "spilled_bytes": used and used.spilled_bytes,
        "temp_bytes": made.temp_bytes,
        "trace_s": made.trace_s,
        "compile_s": made.compile_s,
    }


def counted(
    text: str, lane_steps: int, steps: int, target: Target, moved: Mapping[str, float] = MappingProxyType({})
) -> dict[str, Any]:
    """Kernels a step, bytes of a lane's step and the bounds of an optimized program.

    Args:
      text: optimized HLO.
      lane_steps: steps of lanes that a run of it makes.
      steps: steps of one lane.
      target: the device it is for.
      moved: bytes of a launch of those kernels, by name, of which the text does not show the loops.
    """
    program = parse(text)
    found = launches(program)
    kernels = sum(kernel.times for kernel in found.kernels) / steps
    each = (kernel.times * bytes_moved(program, kernel, moved) for kernel in found.kernels)
    bytes_a_lane = sum(each) / lane_steps
    waits = {"plain": target.launch_s, "graph": target.graph_launch_s}
    return {
        "kernels": kernels,
        "open_loops": found.open_loops,
        "open_loops_in_kernels": sum(turns_by_data(kernel.instruction) for kernel in found.kernels),
        "bytes_a_lane": bytes_a_lane,
        "bound_per_s": {
            name: MANY / (kernels * wait + MANY * bytes_a_lane / target.bandwidth)
            for name, wait in waits.items()
        },
    }


def line(row: dict[str, Any]) -> str:
    """A row for people."""
    name = f"{row['target']:5s} {row['program']:26s}"
    if "error" in row:
        return f"{name}: DOES NOT COMPILE, {row['error']}"
    used = f"{row['registers']} registers, {row['spilled_bytes']} B spilled, " if row["registers"] else ""
    return (
        f"{name}: {row['kernels']:8,.1f} kernels, {row['bytes_a_lane']:11,.0f} B a lane, {used}"
        f"{row['temp_bytes'] / row['lanes']:9,.0f} B of temporaries a lane, {row['trace_s']:.1f} + "
        f"{row['compile_s']:.1f} s, at most {row['bound_per_s']['graph'] / 1e6:,.3g} M/s"
    )


def main() -> None:
    """Runs the benchmark."""
    options = options_of()
    jax.config.update("jax_platforms", "cpu")  # of the devices compiled for none is here
    load = os.getloadavg()[0]
    installed = [name for name, target in TARGETS.items() if target.installed()]
    if options.smoke and not options.targets:
        installed = [name for name in (SMOKE[1], *installed) if name in installed][:1]
    targets = [TARGETS[name] for name in options.targets or installed]
    if not targets:
        print(f"no compiler for any of {', '.join(TARGETS)} is installed: {INSTALL}")
        return
    chosen = [(program, target) for target in targets for program in options.programs]
    kept, earlier = record.gone_on_with(options.resume)
    anew = {(program, target.name) for program, target in chosen}
    rows = [row for row in kept if (row["program"], row["target"]) not in anew]
    for program, target in chosen:
        rows.append(apart(program, target, options.limit))
        print(line(rows[-1]), flush=True)
        if options.out or not options.smoke:  # after each: all of them take an hour
            summary = {"load_average_before": load, "many": MANY, "earlier": earlier}
            record.write(record.make("accelerators", rows, **summary), options.out)
    if failed := [f"{row['program']} for {row['target']}" for row in rows if "error" in row]:
        sys.exit(f"not compiled: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
