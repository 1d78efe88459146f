"""gym-anm run live, with its cvxpy problems solved exactly and nothing else changed.

gym-anm hands each device's projection to cvxpy's default solver (OSQP, about 1e-5 from the optimum), so
two correct simulators agree with it, and with each other, to no more than that. Inside ``exact_gym_anm()``
the same problems go to CLARABEL at 1e-12 and the answer is polished on its active set (see
``exact_projection``), which leaves an error of a few 1e-16 p.u. gym-anm's Newton iterations, tolerances,
order of operations and reward are its own; they are only watched.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any
from unittest import mock

import cvxpy as cp
import numpy as np
from gym_anm.envs.anm_env import ANMEnv
from gym_anm.simulator import Simulator, solve_load_flow
from gym_anm.simulator.components import Generator, RenewableGen, StorageUnit, devices

from tests.oracle.exact_projection import project


class ExactProblem(cp.Problem):
    """``cp.Problem`` that is ``min sum_squares(x - point)`` subject to ``G @ x <= h``, solved exactly."""

    def solve(self, *args: Any, **kwargs: Any) -> None:
        """Sets the variable to the exact optimum."""
        (variable,) = self.variables()
        (inequality,) = self.constraints
        linear, bound = inequality.args
        normals, _ = linear.args
        variable.value = np.zeros(2)
        difference = self.objective.args[0].args[0].value  # x - point, at x = 0
        variable.value = project(-difference, normals.value, bound.value)


class _CvxpyWithExactProblems:
    """What ``gym_anm.simulator.components.devices`` sees as ``cp``: cvxpy, but for ``Problem``."""

    Problem = ExactProblem

    def __getattr__(self, name: str) -> Any:
        return getattr(cp, name)


@dataclass
class NewtonLog:
    """What gym-anm's Newton solver did, one entry a power flow."""

    num_iters: list[int] = field(default_factory=list)
    mismatch: list[float] = field(default_factory=list)  # p.u., largest, of the last iterate
    negative_magnitude: list[bool] = field(default_factory=list)  # an iterate had |V| < 0 at some bus


@contextmanager
def exact_gym_anm() -> Iterator[NewtonLog]:
    """Makes gym-anm project exactly, watches its Newton solver and silences it, within the context."""
    log = NewtonLog()
    newton, jacobian = solve_load_flow._newton_raphson_sparse, solve_load_flow._dfdx
    lowest = [np.inf]

    def watched_jacobian(guess: np.ndarray, Y: Any) -> Any:
        lowest[0] = min(lowest[0], float(np.min(guess[len(guess) // 2 :])))
        return jacobian(guess, Y)

    def watched_newton(*args: Any, **kwargs: Any) -> Any:
        lowest[0] = np.inf
        answer = newton(*args, **kwargs)
        log.num_iters.append(answer[1])
        log.mismatch.append(float(answer[2]))
        log.negative_magnitude.append(lowest[0] < 0)
        return answer

    with (
        mock.patch.object(devices, "cp", _CvxpyWithExactProblems()),
        mock.patch.object(devices.logger, "disabled", True),  # it announces each default it fills in
        mock.patch.object(solve_load_flow, "_newton_raphson_sparse", watched_newton),
        mock.patch.object(solve_load_flow, "_dfdx", watched_jacobian),
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
    ):
        # A diverging Newton overflows and meets singular matrices; both are collapse, and reported as such.
        warnings.simplefilter("ignore")
        yield log


@dataclass(frozen=True)
class GridOutcome:
    """The operating point of a gym-anm simulator, p.u. and radians; devices by id, branches in file order."""

    p: np.ndarray  # (n_device,)
    q: np.ndarray  # (n_device,)
    soc: np.ndarray  # (n_storage,)
    p_potential: np.ndarray  # (n_generator,)
    v: np.ndarray  # (n_bus,) complex, the last iterate after a collapse
    voltage_violation: np.ndarray  # () sum over buses
    branch_violation: np.ndarray  # () sum over branches
    curtailment: np.ndarray  # () sum over renewable generators of p_pot - P, where positive
    converged: np.ndarray  # () bool


@dataclass(frozen=True)
class StepOutcome:
    """What a gym-anm environment shows after a step."""

    grid: GridOutcome
    state: np.ndarray  # (n_state,) MW, MVAr, MWh
    obs: np.ndarray  # (n_obs,)
    reward: np.ndarray  # ()
    e_loss: np.ndarray  # () p.u.h, clipped as in the reward
    penalty: np.ndarray  # () p.u.h, clipped as in the reward
    terminated: np.ndarray  # () bool


def read_simulator(simulator: Simulator) -> GridOutcome:
    """Collects what the last ``Simulator.transition`` left behind."""
    units, buses, branches = simulator.devices.values(), simulator.buses.values(), simulator.branches.values()
    generators = [d for d in units if isinstance(d, Generator) and not d.is_slack]
    too_high = sum(max(0.0, abs(b.v) - b.v_max) for b in buses)
    too_low = sum(max(0.0, b.v_min - abs(b.v)) for b in buses)
    return GridOutcome(
        p=np.array([d.p for d in units]),
        q=np.array([d.q for d in units]),
        soc=np.array([d.soc for d in units if isinstance(d, StorageUnit)]),
        p_potential=np.array([d.p_pot for d in generators]),
        v=np.array([b.v for b in buses]),
        voltage_violation=np.array(too_high + too_low),
        branch_violation=np.array(sum(max(0.0, abs(b.s_apparent_max) - b.rate) for b in branches)),
        curtailment=np.array(sum(max(0.0, d.p_pot - d.p) for d in generators if isinstance(d, RenewableGen))),
        converged=np.array(simulator.pfe_converged),
    )


def reset_to(env: ANMEnv, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Resets ``env`` to the start state ``start`` (its ``init_state`` returns it) and gives (state, obs)."""
    with mock.patch.object(env, "init_state", return_value=np.array(start, dtype=float)):
        obs, _ = env.reset()
    return np.array(env.state), np.array(obs)


def step(env: ANMEnv, action: np.ndarray) -> StepOutcome:
    """One step of a gym-anm environment; call it within ``exact_gym_anm``."""
    obs, reward, terminated, _, _ = env.step(np.asarray(action, dtype=np.float64))
    return StepOutcome(
        grid=read_simulator(env.simulator),
        state=np.array(env.state),
        obs=np.array(obs),
        reward=np.array(reward),
        e_loss=np.array(env.e_loss),
        penalty=np.array(env.penalty),
        terminated=np.array(terminated),
    )


def stack(records: Sequence[Any]) -> Any:
    """One record of stacked arrays (leading axis: the records) from many."""
    first = records[0]
    columns = {f.name: [getattr(r, f.name) for r in records] for f in fields(first)}
    return type(first)(**{n: stack(c) if is_dataclass(c[0]) else np.array(c) for n, c in columns.items()})
