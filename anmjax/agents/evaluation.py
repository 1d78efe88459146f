"""The evaluation protocol: one policy, stated starts, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from anmjax.agents.tally import PIECE, Clock, devices_for, go_on, start_tally
from anmjax.envs.protocol import Environment, GridEnvironment
from anmjax.envs.records import State
from anmjax.envs.reward import return_of_collapse

QUANTILES = {"low": 0.05, "median": 0.5}  # of margins
HORIZON = 3000  # steps; at a discount of 0.995, what comes after weighs 3e-7


@dataclass(frozen=True)
class Evaluation:
    """Outcome of an evaluation over n starts; means are over the starts.

    None stands for what a task without a grid, without its metrics or without a length of its steps has not.
    """

    starts: str  # where the starts come from
    num_starts: int  # n
    horizon: int  # steps from each start, unless the network collapses before
    gamma: float  # discount factor
    discounted_return: float  # mean of the discounted return
    standard_error: float  # of that mean: standard deviation over the starts / sqrt(n); nan for one start
    violation_share: float | None  # of the steps before a collapse and with it, those that violate limits
    voltage_share: float | None  # of those steps, the ones that violate a voltage limit
    branch_share: float | None  # of those steps, the ones that violate a branch rating
    cost_per_day: float | None  # undiscounted, over the last day; None: no start lasted, or horizon < a day
    energy_loss_per_step: float | None  # p.u.h, curtailment included, as clipped by the reward
    curtailment_per_step: float | None  # p.u., renewable power not used
    penalty_per_step: float | None  # p.u.h, for violated limits, as clipped by the reward
    collapses: int  # starts from which the network collapsed, or where it had already
    returns: tuple[float, ...]  # (n) discounted return from every start
    longest_violation: int | None = None  # steps, longest run of steps that violate limits from any start
    # Over the steps before a collapse, the value that 5 % or half of them are at most at; None: no limits.
    voltage_margin_low: float | None = None  # p.u., 5 %: least distance of a voltage from its limits
    voltage_margin_median: float | None = None  # p.u., half
    branch_margin_low: float | None = None  # 5 %: least share of its rating that a branch keeps free
    branch_margin_median: float | None = None  # half

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, ready for JSON (nan as None)."""
        return {name: None if value != value else value for name, value in asdict(self).items()}

    def less(self, other: Evaluation) -> PairedDifference:
        """The difference of the discounted returns from the same starts, this one's less the other's.

        Raises:
          ValueError: the starts, the horizon or the discount differ.
        """
        for name in ("starts", "num_starts", "horizon", "gamma"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                raise ValueError(f"the evaluations are not of the same {name}: {ours!r} and {theirs!r}")
        return paired_difference(self.returns, other.returns)


@dataclass(frozen=True)
class PairedDifference:
    """By how much one policy's discounted return exceeds another's, the mean over the same starts."""

    mean: float
    standard_error: float  # of the mean; nan for one start
    low: float  # of the 95 % confidence interval of the mean, by Student's t; nan for one start
    high: float


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> PairedDifference:
    """The difference of two policies' discounted returns from the same starts in the same order."""
    differences = np.subtract(ours, theirs)
    n, mean = len(differences), float(differences.mean())
    error = float(differences.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    half = float(stats.t.ppf(0.975, n - 1)) * error if n > 1 else np.nan
    return PairedDifference(mean, error, mean - half, mean + half)


def starts_of(
    env: Environment,
    key: jax.Array,
    *,
    num_starts: int = 96,
    drawn: bool = False,
    soc_mwh: Sequence[float] | None = None,
) -> tuple[State, str]:
    """The start states that a task is evaluated on, and a sentence that states them.

    A task may offer a method ``evaluation_starts()`` that returns a batch of ``InitialState`` (leading axis
    over the starts); the first line of its docstring states them. Otherwise ``env.reset`` draws them.

    Args:
      env: the bare environment.
      key: PRNG key, of the lanes and of the draws.
      num_starts: how many to draw, where the task offers none or ``drawn`` is set.
      drawn: draw them by ``env.reset`` even where the task offers some.
      soc_mwh: MWh, charges of every storage unit: the task's own starts with each of these, for a task whose
        ``evaluation_starts`` takes a charge. None: the task's own charge.

    Returns:
      State of all starts and the description.

    Raises:
      ValueError: ``soc_mwh`` is given, but the task offers no starts or they are to be drawn; or a charge is
        beyond a storage unit's limits.
    """
    task: Any = env  # one with starts of its own has a grid
    own = None if drawn else getattr(task, "evaluation_starts", None)
    if soc_mwh is not None and own is None:
        raise ValueError("soc_mwh is given, but the starts are drawn: only a task's own take a charge")
    if own is None:
        states = jax.jit(jax.vmap(env.reset))(jax.random.split(key, num_starts))
        return states, f"{num_starts} starts drawn by reset"
    charges = [None] if soc_mwh is None else [_within_limits(task, soc) for soc in soc_mwh]
    grids = [own(*([] if soc is None else [soc])) for soc in charges]
    initial = jax.tree.map(lambda *parts: jnp.concatenate(parts), *grids)
    count = jax.tree.leaves(initial)[0].shape[0]
    states = jax.jit(jax.vmap(task.reset_to))(jax.random.split(key, count), initial)
    if soc_mwh is not None:
        stated = f"the task's own with charges of {', '.join(f'{soc:g}' for soc in soc_mwh)} MWh"
        return states, f"{count} starts: {stated}"
    stated = (own.__doc__ or "the task's own starts").strip().splitlines()[0]
    return states, stated.rstrip(".")


def _within_limits(env: GridEnvironment, soc_mwh: float) -> float:
    net, storage = env.network, np.array(env.network.storage, int)
    low, high = (np.asarray(x)[storage] * float(net.base_mva) for x in (net.soc_min, net.soc_max))
    if not np.all((low <= soc_mwh) & (soc_mwh <= high)):
        raise ValueError(
            f"a charge of {soc_mwh:g} MWh is not within the limits of every storage unit, "
            f"{low.max(initial=0):g} to {high.min(initial=np.inf):g} MWh"
        )
    return float(soc_mwh)


def evaluate(
    env: Environment,
    policy: Callable[[jax.Array, jax.Array], jax.Array],
    starts: State,
    *,
    horizon: int = HORIZON,
    gamma: float | None = None,
    key: jax.Array | None = None,
    described: str = "given starts",
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Runs a policy from every start, side by side, by one program for all horizons.

    The starts are shared out evenly over JAX's devices in this process, over as many as their number can be.
    On a grid the margins of all steps are kept until the end: 8 bytes a step and start.

    Args:
      env: the bare environment: a collapse ends a lane.
      policy: a pytree that is called with a key and an observation and returns an action; or that has a
        method ``act(key, state)``, as planners have, which know the whole state.
      starts: State with a leading axis over the starts. One that is terminated counts as a collapse in the
        first step.
      horizon: steps from each start.
      gamma: discount factor; None: the environment's.
      key: PRNG key of random policies; None: a fixed one.
      described: where the starts come from, for the record.
      progress: called every 250 steps and at the end, with the number of steps taken from each start.

    Returns:
      The outcome.

    Raises:
      ValueError: no start has a solution of the power flow; or there is no discount factor.
    """
    if bool(starts.terminated.all()):
        raise ValueError("every start has already ended: its power flow has no solution.")
    gamma = getattr(env, "gamma", None) if gamma is None else gamma
    if gamma is None:
        raise ValueError("gamma is not given, and the environment has none.")
    gamma, hours = float(gamma), getattr(env, "delta_t", None)
    day = 0 if hours is None else max(1, round(24 / float(hours)))
    keys = jax.random.split(jax.random.key(0) if key is None else key, len(starts.reward))
    # What a lane that is dead from the start would have got in the step of its collapse.
    collapse, task = (0.0, 0.0, 0.0), cast(Any, env)
    if bool(starts.terminated.any()) and hasattr(task, "costs_clipping"):
        collapse = return_of_collapse(task.costs_clipping[1], task.gamma), *task.costs_clipping
    mesh = devices_for(len(keys))
    tally, rows = start_tally(starts, collapse, mesh), []
    clock = Clock(np.int32(0), np.int32(horizon), np.int32(day), np.asarray(gamma, starts.reward.dtype))
    for first in range(0, horizon, PIECE):
        tally, margins = go_on(env, policy, tally, keys, clock._replace(first=np.int32(first)), mesh=mesh)
        rows.append(jax.device_get(margins))
        if progress is not None:
            progress(min(first + PIECE, horizon))
    totals = jax.device_get(tally.totals)
    margins = {name: np.concatenate([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    returns = np.asarray(totals["discounted"], np.float64)
    steps = totals["steps"].sum()
    last_day = totals["last_day"][totals["collapsed"] == 0]

    def per_step(name: str) -> float | None:
        return float(totals[name].sum() / steps) if name in totals else None

    return Evaluation(
        starts=described,
        num_starts=len(returns),
        horizon=horizon,
        gamma=gamma,
        discounted_return=float(returns.mean()),
        standard_error=float(returns.std(ddof=1) / np.sqrt(len(returns))) if len(returns) > 1 else np.nan,
        violation_share=per_step("violations"),
        voltage_share=per_step("voltage"),
        branch_share=per_step("branch"),
        cost_per_day=float(last_day.mean()) if last_day.size and 0 < day <= horizon else None,
        energy_loss_per_step=per_step("e_loss"),
        curtailment_per_step=per_step("curtailment"),
        penalty_per_step=per_step("penalty"),
        collapses=int(totals["collapsed"].sum()),
        returns=tuple(map(float, returns)),
        longest_violation=int(totals["longest"].max()) if "longest" in totals else None,
        **{f"{name}_{part}": _quantile(x, q) for name, x in margins.items() for part, q in QUANTILES.items()},
    )


def _quantile(margins: np.ndarray, share: float) -> float | None:
    """The margin that a share of the steps are at most at; None where there are no steps or no limits."""
    values = margins[~np.isnan(margins)]
    # One of them, not a mean of two: those of a grid without limits are infinite.
    value = float(np.quantile(values, share, method="inverted_cdf")) if values.size else np.inf
    return value if np.isfinite(value) else None
