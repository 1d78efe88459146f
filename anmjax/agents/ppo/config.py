"""PPOConfig: every option of the learner, its range, and the line that the command line shows for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from anmjax.agents.config import AgentConfig, cost_limit, multiplier_gains, option
from anmjax.agents.ranges import Number, OneOf, Switch, Whole, Wholes

# Counters on the device are int32: updates, gradient steps, steps in a batch.
MAX_COUNT = 2**31 - 1
_COUNT = Whole(1, 2**20)
_SHARE = Number(0, 1)
# Beyond 1e30, float32 is not far from its end at 3e38: squares and sums overflow.
_POSITIVE = Number(0, 1e30, above=True)
_NOT_NEGATIVE = Number(0, 1e30)


@dataclass(frozen=True)
class PPOConfig(AgentConfig):
    """Options of proximal policy optimization; the defaults are chosen for ANM6Easy-v0 on two CPU cores.

    Raises:
      ValueError: an option is outside its range; the message lists every fault.

    Reference: Schulman et al., "Proximal policy optimization algorithms", arXiv:1707.06347; for the details
    that matter in practice, Huang et al., "The 37 implementation details of PPO", ICLR blog track, 2022.
    """

    total_steps: int = option(
        30_000_000, Whole(1, 10**15), "environment steps to train for, all lanes together"
    )
    num_envs: int = option(512, _COUNT, "grids that run side by side")
    num_steps: int = option(32, _COUNT, "steps of every grid between two updates")
    num_epochs: int = option(2, _COUNT, "passes over the collected steps in an update")
    num_minibatches: int = option(4, _COUNT, "gradient steps a pass; divides num_envs")
    max_episode_steps: int = option(
        96, Whole(0, 2**20), "steps until an episode is truncated and begins anew; 0: never"
    )
    exploring_starts: float = option(
        0.5, _SHARE, "share of the episodes that begin where random actions led to"
    )
    renew_starts: int = option(
        250, Whole(0, 2**31 - 1), "updates after which other starts are drawn; 0: the same for ever"
    )
    gamma: float | None = option(
        None, Number(0, 1, below=True, optional=True), "discount factor; default: the task's own"
    )
    gae_lambda: float = option(0.98, _SHARE, "weight of long over short returns in the advantage, 0 to 1")
    learning_rate: float = option(3e-3, _POSITIVE, "step size of Adam")
    anneal_learning_rate: bool = option(True, Switch(), "lower the step size linearly to 0 over the training")
    max_grad_norm: float = option(0.5, _POSITIVE, "the gradient is scaled down to this norm")
    clip_epsilon: float = option(
        0.2, _POSITIVE, "how far the probability ratio may leave 1 before its gradient is cut"
    )
    value_clip: float | None = option(
        None,
        Number(0, 1e30, above=True, optional=True),
        "how far a value may move in an update; default: freely",
    )
    value_coefficient: float = option(0.5, _NOT_NEGATIVE, "weight of the value loss")
    entropy_coefficient: float = option(0.0, _NOT_NEGATIVE, "weight of the entropy bonus")
    mean_coefficient: float = option(
        0.01, _NOT_NEGATIVE, "weight of the pull of actions towards the middle of their box"
    )
    normalize_advantages: bool = option(
        True, Switch(), "scale the advantages of a minibatch to mean 0, variance 1"
    )
    normalize_observations: bool = option(
        True, Switch(), "scale observations by their running mean and deviation"
    )
    normalize_rewards: bool = option(
        True, Switch(), "scale rewards by the running deviation of the discounted return"
    )
    reward_horizon: float = option(
        3e5, _POSITIVE, "steps after which the scale of the rewards begins to forget"
    )
    cost_limit: float | None = cost_limit()
    multiplier_gains: tuple[float, ...] = multiplier_gains()
    observation_clip: float = option(10.0, _POSITIVE, "bound on scaled observations")
    reward_clip: float = option(10.0, _POSITIVE, "bound on scaled rewards")
    hidden_sizes: tuple[int, ...] = option(
        (64, 64), Wholes(Whole(1, 2**16), 64), "width of each hidden layer, of actor and critic alike"
    )
    layer_norm: bool = option(True, Switch(), "normalise the activations of every hidden layer")
    network_dtype: str | None = option(
        None,
        OneOf(("bfloat16", "float16", "float32", "float64")),
        "type that the networks compute in, bfloat16 say; default: that of the observations",
    )
    initial_log_std: float = option(
        -1.0, Number(-20, 2), "log standard deviation of the first actions, in half box widths"
    )
    updates_per_chunk: int = option(10, _COUNT, "updates in one compiled call; progress is shown after each")

    lanes_unit: ClassVar[str | None] = "num_minibatches"

    def faults_together(self) -> list[str]:
        """See ``AgentConfig``."""
        faults = []
        if self.num_envs % self.num_minibatches:
            faults.append(
                f"num_minibatches is {self.num_minibatches}, but must divide num_envs, {self.num_envs}"
            )
        if self.steps_per_update > MAX_COUNT:
            faults.append(
                f"num_envs times num_steps is {self.steps_per_update:,}, but must be at most {MAX_COUNT:,}"
            )
        gradient_steps = self.num_updates * self.gradient_steps_per_update
        if gradient_steps > MAX_COUNT:
            faults.append(
                f"total_steps is {self.total_steps:,}, which takes {gradient_steps:,} gradient steps, "
                f"but there may be at most {MAX_COUNT:,}"
            )
        return faults

    @property
    def steps_per_update(self) -> int:
        """Environment steps collected for one update."""
        return self.num_envs * self.num_steps

    @property
    def gradient_steps_per_update(self) -> int:
        """Steps of the optimizer in one update."""
        return self.num_epochs * self.num_minibatches
