"""PPOConfig: every option of the learner, with the line that the command line shows for it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


def _option(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class PPOConfig:
    """Options of proximal policy optimization; the defaults are chosen for ANM6Easy-v0 on two CPU cores.

    Raises:
      ValueError: an option is outside its range; the message lists every fault.

    Reference: Schulman et al., "Proximal policy optimization algorithms", arXiv:1707.06347; for the details
    that matter in practice, Huang et al., "The 37 implementation details of PPO", ICLR blog track, 2022.
    """

    total_steps: int = _option(30_000_000, "environment steps to train for, all lanes together")
    num_envs: int = _option(512, "grids that run side by side")
    num_steps: int = _option(32, "steps of every grid between two updates")
    num_epochs: int = _option(2, "passes over the collected steps in an update")
    num_minibatches: int = _option(4, "gradient steps a pass; divides num_envs")
    max_episode_steps: int = _option(96, "steps until an episode is truncated and begins anew; 0: never")
    exploring_starts: float = _option(0.5, "share of the episodes that begin where random actions led to")
    renew_starts: int = _option(250, "updates after which other starts are drawn; 0: the same for ever")
    gamma: float | None = _option(None, "discount factor; default: the task's own")
    gae_lambda: float = _option(0.98, "weight of long over short returns in the advantage, 0 to 1")
    learning_rate: float = _option(3e-3, "step size of Adam")
    anneal_learning_rate: bool = _option(True, "lower the step size linearly to 0 over the training")
    max_grad_norm: float = _option(0.5, "the gradient is scaled down to this norm")
    clip_epsilon: float = _option(0.2, "how far the probability ratio may leave 1 before its gradient is cut")
    value_clip: float | None = _option(None, "how far a value may move in an update; default: freely")
    value_coefficient: float = _option(0.5, "weight of the value loss")
    entropy_coefficient: float = _option(0.0, "weight of the entropy bonus")
    mean_coefficient: float = _option(0.01, "weight of the pull of actions towards the middle of their box")
    normalize_advantages: bool = _option(True, "scale the advantages of a minibatch to mean 0, variance 1")
    normalize_observations: bool = _option(True, "scale observations by their running mean and deviation")
    normalize_rewards: bool = _option(True, "scale rewards by the running deviation of the discounted return")
    reward_horizon: float = _option(3e5, "steps after which the scale of the rewards begins to forget")
    observation_clip: float = _option(10.0, "bound on scaled observations")
    reward_clip: float = _option(10.0, "bound on scaled rewards")
    hidden_sizes: tuple[int, ...] = _option((64, 64), "width of each hidden layer, of actor and critic alike")
    network_dtype: str | None = _option(
        None, "type that the networks compute in, bfloat16 say; default: that of the observations"
    )
    initial_log_std: float = _option(-1.0, "log standard deviation of the first actions, in half box widths")
    updates_per_chunk: int = _option(10, "updates in one compiled call; progress is shown after each")

    def __post_init__(self) -> None:
        # From JSON, the hidden sizes come as a list.
        object.__setattr__(self, "hidden_sizes", tuple(self.hidden_sizes))
        faults = [
            f"{name} is {getattr(self, name)!r}, but must be {allowed}"
            for name, (allowed, holds) in _RANGES.items()
            if not _holds(holds, getattr(self, name))
        ]
        if not faults and self.num_envs % self.num_minibatches:
            faults.append(
                f"num_minibatches is {self.num_minibatches}, but must divide num_envs, {self.num_envs}"
            )
        if faults:
            raise ValueError("PPOConfig: " + "; ".join(faults) + ".")

    @property
    def steps_per_update(self) -> int:
        """Environment steps collected for one update."""
        return self.num_envs * self.num_steps

    @property
    def num_updates(self) -> int:
        """Updates in a training: ``total_steps`` rounded up to whole updates."""
        return -(-self.total_steps // self.steps_per_update)

    def to_dict(self) -> dict[str, Any]:
        """The options by name, ready for JSON."""
        return dataclasses.asdict(self) | {"hidden_sizes": list(self.hidden_sizes)}


def _holds(rule: Any, value: Any) -> bool:
    try:
        return bool(rule(value))
    except TypeError:
        return False


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_FLOATS = ("bfloat16", "float16", "float32", "float64")
_COUNT = ("a whole number of at least 1", lambda x: _whole(x) and x >= 1)
_POSITIVE = ("a number above 0", lambda x: x > 0)
_NOT_NEGATIVE = ("a number of at least 0", lambda x: x >= 0)
_SHARE = ("a number from 0 to 1", lambda x: 0 <= x <= 1)
_SWITCH = ("True or False", lambda x: isinstance(x, bool))

_RANGES: dict[str, tuple[str, Any]] = {
    "total_steps": _COUNT,
    "num_envs": _COUNT,
    "num_steps": _COUNT,
    "num_epochs": _COUNT,
    "num_minibatches": _COUNT,
    "max_episode_steps": ("a whole number of at least 0", lambda x: _whole(x) and x >= 0),
    "renew_starts": ("a whole number of at least 0", lambda x: _whole(x) and x >= 0),
    "gamma": ("a number from 0 up to, but not including, 1", lambda x: x is None or 0 <= x < 1),
    "exploring_starts": _SHARE,
    "gae_lambda": _SHARE,
    "learning_rate": _POSITIVE,
    "anneal_learning_rate": _SWITCH,
    "max_grad_norm": _POSITIVE,
    "clip_epsilon": _POSITIVE,
    "value_clip": ("a number above 0, or None", lambda x: x is None or x > 0),
    "value_coefficient": _NOT_NEGATIVE,
    "entropy_coefficient": _NOT_NEGATIVE,
    "mean_coefficient": _NOT_NEGATIVE,
    "normalize_advantages": _SWITCH,
    "normalize_observations": _SWITCH,
    "normalize_rewards": _SWITCH,
    "reward_horizon": _POSITIVE,
    "observation_clip": _POSITIVE,
    "reward_clip": _POSITIVE,
    "hidden_sizes": ("whole numbers of at least 1", lambda x: all(_whole(n) and n >= 1 for n in x)),
    "network_dtype": (f"one of {', '.join(_FLOATS)}, or None", lambda x: x is None or x in _FLOATS),
    "initial_log_std": ("a number from -20 to 2", lambda x: -20 <= x <= 2),
    "updates_per_chunk": _COUNT,
}
