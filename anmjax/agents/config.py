"""AgentConfig: options of an agent, each a field with its range and its help in one line."""

from __future__ import annotations

import dataclasses
import reprlib
from typing import Any, ClassVar

from anmjax.agents.ranges import Number, Numbers, Range


def option(default: Any, allowed: Range, text: str) -> Any:
    """A field of an ``AgentConfig``.

    Args:
      default: its value where none is given.
      allowed: what it may be.
      text: what it does, as the command line shows it.
    """
    return dataclasses.field(default=default, metadata={"allowed": allowed, "help": text})


def cost_limit() -> Any:
    """The option of a learner that keeps a limit on costs, see ``anmjax.agents.constraint``."""
    return option(
        None,
        Number(0, 1e30, above=True, optional=True),
        "limit on the mean over steps of the sum of the task's costs (p.u.), kept by a Lagrange multiplier; "
        "default: none",
    )


def multiplier_gains() -> Any:
    """The option that goes with ``cost_limit``."""
    return option(
        (1.0, 0.02, 1.0),
        Numbers(Number(0, 100), 3),
        "proportional, integral and derivative gain of the logarithm of that multiplier",
    )


class AgentConfig:
    """Base of the options of an agent: a frozen dataclass, all of whose fields are made by ``option``.

    The command line and checkpoints read the names, ranges and texts from the fields. Every agent has the
    four below among its own. No option has JAX in it: they are read before JAX starts.

    Raises:
      ValueError: an option is outside its range; the message lists every fault.
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    total_steps: int  # environment steps to train for, all lanes together
    num_envs: int  # lanes
    max_episode_steps: int  # steps until an episode is truncated; 0: never
    updates_per_chunk: int  # updates in one compiled call

    # The option that the lanes of each device are a multiple of; None: of 1.
    lanes_unit: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        faults = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list) and isinstance(field.default, tuple):  # as JSON has them
                value = tuple(value)
                object.__setattr__(self, field.name, value)
            if not field.metadata["allowed"].holds(value):
                allowed = field.metadata["allowed"]
                faults.append(f"{field.name} is {reprlib.repr(value)}, but must be {allowed}")
        if faults := faults or self.faults_together():
            raise ValueError(f"{type(self).__name__}: " + "; ".join(faults) + ".")

    def faults_together(self) -> list[str]:
        """What is wrong with options that are right one by one."""
        return []

    @property
    def steps_per_update(self) -> int:
        """Environment steps taken for one update, all lanes together."""
        raise NotImplementedError(f"{type(self).__name__} must define steps_per_update")

    @property
    def gradient_steps_per_update(self) -> int:
        """Steps that a learner's ``optimizer`` counts in one update, if it has one."""
        return 0

    @property
    def num_updates(self) -> int:
        """Updates in a training: ``total_steps`` rounded up to whole updates."""
        return -(-self.total_steps // self.steps_per_update)

    def to_dict(self) -> dict[str, Any]:
        """The options by name, ready for JSON."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
