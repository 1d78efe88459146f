"""What a chunk of a training says of itself: rows of metrics, and whether it still computes numbers."""

from __future__ import annotations

import jax

from anmjax.agents.config import AgentConfig
from anmjax.agents.metrics import Metrics


class DivergedError(ValueError):
    """A training computes numbers that are not finite, and will never leave them."""

    def __init__(self, message: str, options: type[AgentConfig]) -> None:
        super().__init__(message)
        self.options = options  # some of which the message may name


def of_each(sums: Metrics, num_seeds: int) -> list[Metrics]:
    """Metrics of every seed, as plain numbers."""
    values = jax.device_get(sums)
    return [jax.tree.map(lambda x: float(x[i]), values) for i in range(num_seeds)]  # noqa: B023


def check_finite(each: list[Metrics], config: AgentConfig, done: int) -> None:
    """Stops when no training learns any more, before a checkpoint of that replaces the last good one."""
    if all(sums.diverged for sums in each):
        hint = "; a smaller learning_rate may help" if hasattr(config, "learning_rate") else ""
        steps = done * config.steps_per_update
        message = f"the training diverged: after {steps:,} steps its losses are not finite{hint}."
        raise DivergedError(message, type(config))


def row_of(
    sums: Metrics, config: AgentConfig, count: int, done: int, took: float, seconds: float
) -> dict[str, float]:
    """A row of metrics of a chunk.

    Args:
      sums: of its updates.
      config: the options of the agent.
      count: updates in the chunk.
      done: updates since the training began.
      took: s, of the chunk.
      seconds: s, since the training began.
    """
    steps = count * config.steps_per_update
    return {
        "env_steps": done * config.steps_per_update,
        "updates": done,
        "seconds": seconds,
        "steps_per_second": steps / took,
        **sums.row(count, steps),
    }
