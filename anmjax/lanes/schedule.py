"""How the lanes of a batch are worked through: all at once, or on a CPU in blocks that its caches hold.

The one place that chooses by platform. Nothing above this floor asks what it runs on: it is given a schedule,
and a reader who cares about GPUs alone may skip whatever belongs to ``CPUBlocks``. No result depends on the
choice, but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeVar

import jax

from anmjax.lanes.varying import as_varying

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Fit(NamedTuple):
    """How many lanes of some work a block takes, as measured."""

    share: float  # of a core's L2 cache, that may be filled by what a lane is counted with
    min_lanes: int  # below, loops over few lanes cost more than missing the cache


@dataclass(frozen=True)
class AllAtOnce:
    """Every operation goes over all lanes: for processors with thousands of arithmetic units.

    What takes few operations a lane is evaluated element by element, see ``anmjax.lanes.elements``.
    """

    # On elements of a lane's arrays; of a function that takes more the arrays stay whole.
    most_operations: int = 8192
    # Whether a kernel holds such a function where the platform has them, see ``anmjax.lanes.lane_kernel``.
    in_kernel: bool = True
    # The platform whose kernels are interpreted, on any other, which is slow; None: its own are compiled.
    interpreted: str | None = None
    # Lanes for each row from which on an NVIDIA GPU loops over rows in one kernel where there is one, see
    # ``anmjax.lanes.row_kernel``; None: never. A thread goes through its rows one after the other, for one
    # lane as long as for a hundred thousand: fewer lanes are done sooner in whole arrays, whose kernels go
    # over the rows at once. An estimate, by rows that take 0.3 us and launches that take 1.2 us.
    lanes_for_each_row: int | None = 16

    def in_rows(self, lanes: int, rows: int) -> bool:
        """Whether so many lanes of so many rows may be worked through in loops over the rows."""
        return self.lanes_for_each_row is not None and lanes >= self.lanes_for_each_row * rows

    def block(self, lanes: int, lane_bytes: int, fit: Fit) -> int:
        """One block of all lanes."""
        return lanes

    def chunk(self, lanes: int, lane_bytes: int, fit: Fit) -> int:
        """One chunk of all lanes."""
        return lanes


@dataclass(frozen=True)
class CPUBlocks:
    """Blocks of lanes that stay in a core's caches, one finished before the next begins.

    A lane that needs ten iterations does not make its neighbours wait: a block is left when few of its lanes
    still move, and these stragglers are gathered and finished apart.
    """

    l2_bytes: int = 1_000_000  # of a core's L2 cache
    line_bytes: int = 64  # of a cache line
    # A block is left when no more than one lane in so many still moves.
    straggler_share: int = 12
    # So few lanes wait for their slowest: a second, narrower copy of the method takes seconds to compile.
    max_lanes_together: int = 256
    # From so many lanes of one network on they share a Jacobian, that of its base case.
    min_lanes_to_share: int = 128
    # In place of what was measured, for whole functions and for the solvers inside them.
    min_chunk: int | None = None
    min_block: int | None = None

    def block(self, lanes: int, lane_bytes: int, fit: Fit) -> int:
        """Lanes of the blocks that a solver cuts ``lanes`` into, each counted with ``lane_bytes``."""
        return self._even(lanes, lane_bytes, fit, self.min_block)

    def chunk(self, lanes: int, lane_bytes: int, fit: Fit) -> int:
        """As ``block``, of a whole function, counted with its arguments."""
        return self._even(lanes, lane_bytes, fit, self.min_chunk)

    def stragglers(self, lanes: int, size: int) -> int:
        """Lanes that blocks of ``size`` are left with; 0: none, a block waits for its slowest."""
        share = size // self.straggler_share if lanes > self.max_lanes_together else 0
        return share - (share % self._line if share > self._line else 0)

    @property
    def _line(self) -> int:
        """float32 numbers of a cache line."""
        return self.line_bytes // 4

    def _even(self, lanes: int, lane_bytes: int, fit: Fit, least: int | None) -> int:
        """Blocks that are equally long.

        Whole cache lines, that rows begin at the start of one, and an odd number of them: rows of a power of
        two in bytes would compete for the same cache sets, at almost twice the time.
        """
        most = max(int(fit.share * self.l2_bytes) // max(lane_bytes, 1), least or fit.min_lanes)
        if lanes <= most:
            return lanes
        lines = -(-lanes // -(-lanes // most) // self._line)
        return min(self._line * (lines + 1 - lines % 2), lanes)


Schedule: TypeAlias = AllAtOnce | CPUBlocks


def scheduled(run: Callable[[Schedule, _In], _Out], args: _In, schedule: Schedule | None = None) -> _Out:
    """``run(schedule, args)``; None: in blocks where this is compiled for a CPU, all at once elsewhere."""
    if schedule is not None:
        return run(schedule, args)

    def on(schedule: Schedule) -> Callable[[_In], _Out]:
        # One may take a constant where the other takes what varies: their types have to agree.
        return lambda args: as_varying(run(schedule, args), args)

    return jax.lax.platform_dependent(args, cpu=on(CPUBlocks()), default=on(AllAtOnce()))


def with_lanes(run: Callable[[_In], _Out], args: _In, num_axes: int) -> _Out:
    """``run``, which wants an axis of lanes, of arguments that have one or, with no axes, are one lane."""
    if num_axes:
        return run(args)
    return jax.tree.map(lambda y: y[..., 0], run(jax.tree.map(lambda x: x[..., None], args)))
