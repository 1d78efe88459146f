"""Wall-clock timing of compiled JAX programs: compile and run apart, repeats interleaved."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np


@dataclass(frozen=True)
class Compiled:
    """A program ready to run, and what it took to get there."""

    call: Callable[..., Any]
    trace_s: float  # tracing and lowering to StableHLO
    compile_s: float  # XLA
    temp_bytes: int | None  # scratch memory that XLA plans for, None where it does not say
    text: str  # optimized HLO


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one rate."""

    values: tuple[float, ...]  # per second, one a repeat

    @property
    def median(self) -> float:
        """Median of the repeats."""
        return float(np.median(self.values))

    def to_dict(self) -> dict[str, float | int]:
        """The entry for a record."""
        return {
            "median": self.median,
            "low": min(self.values),
            "high": max(self.values),
            "repeats": len(self.values),
        }


def compile_program(
    function: Callable[..., Any],
    *args: Any,
    donated: tuple[int, ...] = (),
    compiler_options: dict[str, Any] | None = None,
) -> Compiled:
    """Traces and compiles ``jax.jit(function)`` for these arguments, timing each part.

    Args:
      function: a jittable function.
      *args: arguments (or their ``jax.ShapeDtypeStruct``) that fix the shapes.
      donated: which of the arguments a call uses up, see ``jax.jit``.
      compiler_options: XLA's, for this program alone.

    Returns:
      The compiled program with the seconds it took.
    """
    start = time.perf_counter()
    lowered = jax.jit(function, donate_argnums=donated).lower(*args)
    traced = time.perf_counter()
    compiled = lowered.compile(compiler_options)
    done = time.perf_counter()
    memory = compiled.memory_analysis()
    temp = getattr(memory, "temp_size_in_bytes", None)
    return Compiled(compiled, traced - start, done - traced, temp, compiled.as_text() or "")


def run_seconds(call: Callable[[], Any]) -> float:
    """Seconds from calling to having the result: waits for the device."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def interleave(measurements: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, Spread]:
    """Measures several rates in turn, so that a drift of the machine meets them all alike.

    Args:
      measurements: by name, functions that run their thing once and return its rate, per second.
      repeats: rounds; each round calls every one once.

    Returns:
      By name, the rates of all rounds.
    """
    rates: dict[str, list[float]] = {name: [] for name in measurements}
    for _ in range(repeats):
        for name, measure in measurements.items():
            rates[name].append(measure())
    return {name: Spread(tuple(values)) for name, values in rates.items()}
