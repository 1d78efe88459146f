"""Steps of exact gym-anm on random networks, stacked for one vectorised call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from gym_anm.envs.anm_env import ANMEnv
from gym_anm.simulator.components import StorageUnit
from gymnasium import spaces

from tests.oracle.exact_gym_anm import StepOutcome, exact_gym_anm, stack, step
from tests.oracle.random_networks import Case, Settings, random_case

# What gym-anm gets right on any network. Bounds of Q are left out, since it cannot build them for a load with
# negative Q/P, and angles, which mean nothing where no current flows.
OBSERVATION = [
    ("dev_p", "all", "MW"),
    ("bus_p", "all", "pu"),
    ("bus_v_magn", "all", "kV"),
    ("bus_i_magn", "all", "pu"),
    ("des_soc", "all", "pu"),
    ("gen_p_max", "all", "pu"),
    ("branch_p", "all", "pu"),
    ("branch_q", "all", "MVAr"),
    ("branch_s", "all", "MVA"),
]


class ScriptedEnv(ANMEnv):
    """A gym-anm task whose next loads and potentials are set from outside, without auxiliary variables."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.network, list(OBSERVATION), 0, **asdict(case.settings))
        self.script = np.zeros(0)
        # Set-points from outside the box are projected as any other, but for this check.
        size = self.action_space.shape
        self.action_space = spaces.Box(-np.inf, np.inf, size, np.float64)

    def next_vars(self, s_t: np.ndarray) -> np.ndarray:
        """The scripted loads and potentials (MW)."""
        return self.script

    def start(self, soc: np.ndarray) -> None:
        """Puts the environment before a step with storage at ``soc`` (p.u.h), whatever came before."""
        self.terminated, self.timestep, self.state = False, 0, np.zeros(self.state_N)
        storage = [d for d in self.simulator.devices.values() if isinstance(d, StorageUnit)]
        for device, energy in zip(storage, soc, strict=True):
            device.soc = energy


@dataclass(frozen=True)
class Batch:
    """Steps on networks of one structure, leading axis n: every step on every network."""

    labels: list[str]  # (n,) where a step comes from
    networks: list[dict[str, Any]]  # gym-anm network dicts, of one structure
    network: np.ndarray  # (n,) index into ``networks``
    settings: Settings
    soc: np.ndarray  # (n, n_storage) MWh, before the step
    p_load: np.ndarray  # (n, n_load) MW
    p_potential: np.ndarray  # (n, n_generator) MW
    p_set: np.ndarray  # (n, n_generator + n_storage) MW
    q_set: np.ndarray  # (n, n_generator + n_storage) MVAr
    expected: StepOutcome  # every field with a leading axis n
    num_iters: np.ndarray  # (n,) Newton iterations that gym-anm took
    negative_magnitude: np.ndarray  # (n,) its Newton went through |V| < 0

    @property
    def action(self) -> np.ndarray:
        """The set-points as an action, (n, n_action)."""
        n = self.p_potential.shape[1]
        return np.concatenate([self.p_set[:, :n], self.q_set[:, :n], self.p_set[:, n:], self.q_set[:, n:]], 1)


def transitions(structure: int, numbers: Iterable[int], num_transitions: int = 5) -> Batch:
    """Runs the steps of ``random_case(structure, i)`` for i in ``numbers``, carrying the charge along.

    Args:
      structure: seed of the topology, the devices' kinds and the task's scalars.
      numbers: seeds of the networks' numbers.
      num_transitions: steps on each network; a collapse does not end them.

    Returns:
      Inputs and outcomes of all of them.
    """
    rows: list[tuple[Any, ...]] = []
    networks: list[dict[str, Any]] = []
    outcomes: list[StepOutcome] = []
    with exact_gym_anm() as log:
        for number in numbers:
            case = random_case(structure, number, num_transitions)
            env = ScriptedEnv(case)
            base, n = env.simulator.baseMVA, case.p_potential.shape[1]
            soc = case.soc / base
            for k in range(num_transitions):
                drawn = case.p_load[k], case.p_potential[k], case.p_set[k], case.q_set[k]
                p_set, q_set = drawn[2:]
                env.script = np.concatenate(drawn[:2])
                env.start(soc)
                outcomes.append(step(env, np.concatenate([p_set[:n], q_set[:n], p_set[n:], q_set[n:]])))
                rows.append((f"{case.label} step {k}", len(networks), soc * base, *drawn))
                soc = outcomes[-1].grid.soc
            networks.append(case.network)
    labels, network, *inputs = zip(*rows, strict=True)
    return Batch(
        list(labels),
        networks,
        np.array(network),
        case.settings,
        *map(np.array, inputs),
        expected=stack(outcomes),
        num_iters=np.array(log.num_iters),
        negative_magnitude=np.array(log.negative_magnitude),
    )
