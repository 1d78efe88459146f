"""Metrics: what an update tells of itself, and the row of the learning curve that several make."""

from __future__ import annotations

import math
from typing import Any

import jax
from flax import struct


@struct.dataclass
class Metrics:
    """Numbers of an update by name, each () and of the lanes of all devices; a column each. No flags.

    Over the updates of a chunk all are added up; what each is divided by then is where it stands here.
    """

    # Means over the update; a training of which one is nan learns no more, and is stopped.
    losses: dict[str, jax.Array] = struct.field(default_factory=dict)
    means: dict[str, jax.Array] = struct.field(default_factory=dict)  # other means over the update
    per_step: dict[str, jax.Array] = struct.field(default_factory=dict)  # sums over its environment steps
    per_episode: dict[str, jax.Array] = struct.field(default_factory=dict)  # sums over episodes that ended
    episodes: jax.Array | None = None  # () how many ended
    totals: dict[str, jax.Array] = struct.field(default_factory=dict)  # counts, shown as they are

    def row(self, num_updates: int, num_steps: int) -> dict[str, Any]:
        """The columns of a row, from the sums over updates.

        Args:
          num_updates: updates that were added up.
          num_steps: environment steps in them.

        Returns:
          Numbers by name; nan for what is per episode where none ended.
        """
        return {
            **{
                name: x / self.episodes if self.episodes else math.nan for name, x in self.per_episode.items()
            },
            **{name: x / num_steps for name, x in self.per_step.items()},
            **self.totals,
            **{name: x / num_updates for name, x in {**self.losses, **self.means}.items()},
        }

    @property
    def diverged(self) -> bool:
        """Whether a loss is not a number."""
        return any(math.isnan(loss) for loss in self.losses.values())
