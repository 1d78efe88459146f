"""Options that benchmarks share, and the devices they run on."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from benchmarks.harness import record


def add_timing(parser: argparse.ArgumentParser, *, seconds: float, repeats: int) -> None:
    """Adds ``--seconds`` and ``--repeats``, with the benchmark's own defaults."""
    parser.add_argument("--seconds", type=float, default=seconds, help="length of one timed run")
    parser.add_argument("--repeats", type=int, default=repeats, help="timed runs of each thing")


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Adds ``--devices``."""
    parser.add_argument("--devices", type=int, help="JAX devices to make of a CPU (default: one a core)")


def add_budget(parser: argparse.ArgumentParser) -> None:
    """Adds ``--budget``."""
    parser.add_argument("--budget", type=float, default=math.inf, help="seconds after which no more is begun")


def add_record(parser: argparse.ArgumentParser) -> None:
    """Adds ``--smoke`` and ``--out``."""
    parser.add_argument("--smoke", action="store_true", help="seconds long, to see that it works; no record")
    parser.add_argument("--out", type=Path, help="where to write the record")


def mesh_of(devices: int | None) -> Mesh:
    """One axis ``lanes`` of so many devices of a CPU, or one a core; of all there are elsewhere.

    Has to come before anything touches a device: after that the number of CPU devices is fixed, and
    ``jax.devices()`` is a touch.
    """
    jax.config.update("jax_num_cpu_devices", devices or record.num_cores())
    return Mesh(np.array(jax.devices()), ("lanes",))
