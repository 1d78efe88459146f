"""Batches of power flows, ours and other programs', ready to be measured again and again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from anmjax.lanes.empty import shard_map
from benchmarks.harness import record
from benchmarks.harness.compiled_text import count_kernels
from benchmarks.harness.timing import compile_program, run_seconds
from benchmarks.power_flow.balance import PowerBalance
from benchmarks.power_flow.peers import Peer

LANES = PartitionSpec("lanes")


class Lanes:
    """A compiled batch of power flows that can be measured again and again."""

    def __init__(
        self,
        call: Callable[..., Any],
        inputs: Sequence[Any],
        mesh: Mesh,
        seconds: float,
        *,
        check_vma: bool = True,
    ):
        """Compiles the program and finds how many calls last about ``seconds``.

        Args:
          call: function of a batch; gives voltages (batch, n_bus), flags (batch,) and perhaps more.
          inputs: its arguments, (batch, ...) each.
          mesh: devices to spread the batch over, on the axis ``lanes``.
          seconds: length of one measurement.
          check_vma: as in ``jax.shard_map``; not every other package passes its checks.
        """
        self.batch = len(inputs[0])
        # Fewer lanes than devices, or a number that cannot be shared out, stay on one device.
        mesh = mesh if self.batch % mesh.size == 0 else Mesh(mesh.devices[:1], mesh.axis_names)
        shards = NamedSharding(mesh, LANES)
        self.inputs = [jax.device_put(x, shards) for x in inputs]
        spread = shard_map(call, mesh=mesh, in_specs=LANES, out_specs=LANES, check_vma=check_vma)
        self.program = compile_program(spread, *self.inputs)
        self.kernels = count_kernels(self.program.text)
        start = time.perf_counter()
        jax.block_until_ready(self.program.call(*self.inputs))
        self.first_run_s = time.perf_counter() - start
        self.calls = max(1, math.ceil(seconds / run_seconds(lambda: self.program.call(*self.inputs))))

    def solves_per_s(self) -> float:
        """Solves the whole batch some times over."""
        start = time.perf_counter()
        for _ in range(self.calls):
            self.outcome = jax.block_until_ready(self.program.call(*self.inputs))
        return self.calls * self.batch / (time.perf_counter() - start)

    def solution(self) -> tuple[np.ndarray, np.ndarray]:
        """Gives the voltages (batch, n_bus) complex p.u. and the flags (batch,) of all lanes."""
        v, converged = jax.device_get(self.program.call(*self.inputs))[:2]
        return v, converged

    def to_dict(self) -> dict[str, Any]:
        """What a record says of the program."""
        return {
            "trace_s": self.program.trace_s,
            "compile_s": self.program.compile_s,
            "first_run_s": self.first_run_s,
            "kernels": self.kernels,
            "temp_bytes": self.program.temp_bytes,
            "peak_bytes": record.peak_memory_bytes()["device"],
        }


def peer_rate(peer: Peer, seconds: float) -> Callable[[], float]:
    """A function that lets a peer solve its scenarios over and over for some seconds, and gives its rate."""

    def rate() -> float:
        start, solved = time.perf_counter(), 0
        while True:
            peer.solve()
            solved += peer.batch
            if (elapsed := time.perf_counter() - start) >= seconds:
                return solved / elapsed

    return rate


def judge(
    balance: PowerBalance, v: np.ndarray, converged: np.ndarray, p: np.ndarray, q: np.ndarray
) -> dict[str, float | None]:
    """How good voltages are, in float64.

    Args:
      balance: of the network.
      v: (batch, n_bus) complex p.u., voltages of the first scenarios.
      converged: (batch,) bool, which are solutions.
      p: (batch or more, n_bus) p.u., active injections.
      q: (batch or more, n_bus) p.u., reactive injections.

    Returns:
      The largest mismatch of a solution, None where a bus is missing or nothing converged; the share that is.
    """
    mismatch = balance.mismatch(v[converged], p[: len(v)][converged], q[: len(v)][converged])
    worst = float(mismatch.max(initial=0)) if np.isfinite(mismatch).all() and mismatch.size else None
    return {"max_mismatch_pu": worst, "converged": float(np.mean(converged))}


def largest_gap(v: np.ndarray, theirs: np.ndarray, converged: np.ndarray) -> float:
    """Largest difference of complex voltages, p.u., over the scenarios and buses where both have one."""
    gap = np.abs(v - theirs)[converged]
    if not np.isfinite(gap).any():
        raise RuntimeError("no scenario has a solution in both programs")
    return float(np.nanmax(gap))
