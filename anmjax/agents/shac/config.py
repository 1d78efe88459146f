"""SHACConfig: every option of the learner, its range, and the line that the command line shows for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from anmjax.agents.config import AgentConfig, cost_limit, multiplier_gains, option
from anmjax.agents.ranges import Number, OneOf, Switch, Whole, Wholes

# Counters on the device are int32: updates, gradient steps, steps of a window on all grids.
MAX_COUNT = 2**31 - 1
_COUNT = Whole(1, 2**20)
_SHARE = Number(0, 1)
# Beyond 1e30, float32 is not far from its end at 3e38: squares and sums overflow.
_POSITIVE = Number(0, 1e30, above=True)
_NOT_NEGATIVE = Number(0, 1e30)


@dataclass(frozen=True)
class SHACConfig(AgentConfig):
    """Options of the short-horizon actor-critic; one set of defaults for all tasks.

    They were found on ANM6Easy-v0 and IEEE33Easy-v0 together, see ``benchmarks/training``.

    Raises:
      ValueError: an option is outside its range; the message lists every fault.

    References: see ``anmjax.agents.shac.update``.
    """

    total_steps: int = option(
        20_000_000, Whole(1, 10**15), "environment steps to train for, all lanes together"
    )
    num_envs: int = option(128, _COUNT, "grids that run side by side")
    horizon: int = option(32, _COUNT, "steps of a window, through which the gradient goes")
    max_episode_steps: int = option(
        192, Whole(0, 2**20), "steps until a grid begins anew, in whole windows; 0: never"
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
    td_lambda: float = option(0.95, _SHARE, "weight of long over short returns in the critic's targets")
    learning_rate: float = option(2e-3, _POSITIVE, "step size of the policy's Adam, at the start")
    final_learning_rate: float = option(
        0.02, _SHARE, "what is left of the step size at the end, as a share; falls as a cosine"
    )
    critic_learning_rate: float = option(1e-3, _POSITIVE, "step size of the critic's Adam")
    max_grad_norm: float = option(1.0, _POSITIVE, "the policy's gradient is scaled down to this norm")
    average_rate: float = option(
        0.02, Number(0, 1, above=True), "share of an update's policy in the running average, which acts"
    )
    actor: str = option(
        "deterministic",
        OneOf(("deterministic", "gaussian")),
        "'deterministic' with noise that fades, or 'gaussian': squashed, with a learned deviation",
    )
    noise: float = option(
        0.02, _NOT_NEGATIVE, "deviation of the first actions' noise, in half box widths ('deterministic')"
    )
    noise_until: float = option(0.3, _SHARE, "share of the training over which the noise fades to 0")
    initial_log_std: float = option(
        -2.0, Number(-20, 2), "log standard deviation of the first actions, before squashing ('gaussian')"
    )
    entropy_coefficient: float = option(0.0, _NOT_NEGATIVE, "weight of the entropy bonus ('gaussian')")
    pass_through: bool = option(
        False, Switch(), "differentiate as if actions beyond their box were not clipped to it"
    )
    num_critics: int = option(
        1, Whole(1, 16), "critics: the policy follows their mean, their targets the least of them"
    )
    num_epochs: int = option(4, _COUNT, "passes of the critic over a window")
    num_minibatches: int = option(4, _COUNT, "gradient steps of the critic a pass; divides num_envs")
    target_rate: float = option(
        0.2, Number(0, 1, above=True), "share of the critic in its slow copy, which values the last states"
    )
    collapse_clip: float = option(
        10.0, _POSITIVE, "what a collapse costs at most, in standard deviations of the return"
    )
    cost_limit: float | None = cost_limit()
    multiplier_gains: tuple[float, ...] = multiplier_gains()
    normalize_observations: bool = option(
        True, Switch(), "scale observations by their running mean and deviation"
    )
    observation_clip: float = option(10.0, _POSITIVE, "bound on scaled observations")
    hidden_sizes: tuple[int, ...] = option(
        (64, 64), Wholes(Whole(1, 2**16), 64), "width of each hidden layer, of policy and critic alike"
    )
    layer_norm: bool = option(True, Switch(), "normalise the activations of every hidden layer")
    updates_per_chunk: int = option(25, _COUNT, "updates in one compiled call; progress is shown after each")

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
                f"num_envs times horizon is {self.steps_per_update:,}, but must be at most {MAX_COUNT:,}"
            )
        if self.num_updates > MAX_COUNT:
            faults.append(
                f"total_steps is {self.total_steps:,}, which takes {self.num_updates:,} updates, "
                f"but there may be at most {MAX_COUNT:,}"
            )
        return faults

    @property
    def steps_per_update(self) -> int:
        """Environment steps of one window, all lanes together."""
        return self.num_envs * self.horizon

    @property
    def gradient_steps_per_update(self) -> int:
        """Steps of the policy's optimizer in one update."""
        return 1
