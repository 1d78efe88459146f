"""Benchmark records: what was measured, where, with what, and how to measure it again."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

import anmjax

POWER_FLOW_PACKAGES = ("lightsim2grid", "power-grid-model", "pandapower", "numba")
ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
# Where the plots of records belong: beside the pages that show them.
PLOTS = ROOT / "docs" / "performance"
# What sets the allocator that makes the arrays on a CPU: part of the command where it is set.
ALLOCATOR = ("GLIBC_TUNABLES", "LD_PRELOAD")
PROJECTION_PACKAGES = ("clarabel", "osqp", "cvxpy", "cvxpylayers", "diffcp", "qpax")
COMPILER_PACKAGES = ("jax-cuda12-plugin", "jax-cuda13-plugin", "nvidia-cuda-nvcc-cu12", "libtpu")
PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "numpy", "gym-anm"),
    *COMPILER_PACKAGES,
    *PROJECTION_PACKAGES,
    *POWER_FLOW_PACKAGES,
)


def cpu_model() -> str:
    """Name of the processor, as the operating system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if named:
            return named.group(1)
    return platform.processor() or platform.machine()


def num_cores() -> int:
    """Cores open to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """The machine: processor, cores, and JAX's devices."""
    devices = jax.devices()
    return {
        "cpu": cpu_model(),
        "cores": num_cores(),
        "platform": devices[0].platform,
        "device_kind": devices[0].device_kind,
        "num_devices": len(devices),
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that matter here."""
    found = {"python": platform.python_version(), "anmjax": anmjax.__version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> dict[str, Any]:
    """The commit measured, and whether the working tree differed from it (both None outside a checkout)."""

    def git(*args: str) -> str | None:
        try:
            done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True)
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # A record that is being rewritten does not make the code any different.
    changed = git("status", "--porcelain", "--", ":/", ":!/benchmarks/results", ":!/docs", ":!/*.md")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if changed is None else bool(changed)}


def peak_memory_bytes() -> dict[str, int | None]:
    """Peak memory so far: of this process (host), and of the first device where it keeps count."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stats = jax.local_devices()[0].memory_stats() or {}
    host = peak if sys.platform == "darwin" else peak * 1024
    return {"host": host, "device": stats.get("peak_bytes_in_use")}


def command(benchmark: str) -> str:
    """The command line, to be run anywhere: with the allocator's settings, without the paths of records."""
    settings = [f"{name}={os.environ[name]}" for name in ALLOCATOR if os.environ.get(name)]
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out")
    parser.add_argument("--resume", nargs="+")
    _, arguments = parser.parse_known_args(sys.argv[1:])
    return " ".join([*settings, "python -m", f"benchmarks.{benchmark}", *map(shlex.quote, arguments)])


def make(benchmark: str, rows: Sequence[dict[str, Any]], **summary: Any) -> dict[str, Any]:
    """Builds a record.

    Args:
      benchmark: its module below ``benchmarks``, as ``python -m`` takes it: ``power_flow.accuracy``.
      rows: one dictionary for each thing measured.
      **summary: further entries, of the run as a whole.

    Returns:
      The record, ready for ``json.dump``.
    """
    return {
        "benchmark": benchmark,
        "command": command(benchmark),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        **commit(),
        "peak_memory_bytes": peak_memory_bytes(),
        **summary,
        "rows": list(rows),
    }


def gone_on_with(path: Path | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of a record that a run goes on with, and where they came from; nothing of none.

    Returns:
      Its rows; ``command``, ``commit``, ``date`` and ``machine`` of it and of what it went on with itself,
      oldest first.
    """
    if path is None:
        return [], []
    made = json.loads(path.read_text(encoding="utf-8"))
    told = {name: made[name] for name in ("command", "commit", "date", "machine")}
    return made["rows"], [*made.get("earlier", []), told]


def default_path(benchmark: str) -> Path:
    """Where the record of a benchmark on this machine's device belongs: git keeps the earlier ones."""
    here = machine()
    kind = here["cpu"] if here["platform"] == "cpu" else here["device_kind"]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{kind} {here['cores']}-core".lower()).strip("-")
    return RESULTS / f"{benchmark}-{slug}.json"


def write(record: dict[str, Any], path: Path | None = None) -> None:
    """Writes a record as JSON, by default where it belongs, creating the folder where needed."""
    path = path or default_path(record["benchmark"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"record: {path}")


def latest(benchmark: str, platform_name: str) -> dict[str, Any] | None:
    """The newest record of a benchmark on a platform ('cpu', 'gpu', ...), or None without any.

    A part of a record of ``benchmarks.all`` is as good as a record of its own.
    """
    records = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{benchmark}-*.json"))]
    for path in sorted(RESULTS.glob("all-*.json")):
        parts = [row["record"] for row in json.loads(path.read_text())["rows"]]
        records += [part for part in parts if part and part["benchmark"] == benchmark]
    matching = [record for record in records if record["machine"]["platform"] == platform_name]
    return max(matching, key=lambda record: record["date"], default=None)
