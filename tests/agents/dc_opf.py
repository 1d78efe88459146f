"""gym-anm's own MPC problem, posed to any network, charge and forecast."""

from __future__ import annotations

import copy
import warnings
from typing import Any, NamedTuple

import cvxpy as cp
import numpy as np
from gym_anm.agents.mpc import MPCAgent
from gym_anm.simulator import simulator

from tests.oracle.random_networks import random_case


class Situation(NamedTuple):
    """What a plan starts from, p.u."""

    soc: np.ndarray  # (n_storage,)
    p_load: np.ndarray  # (n_load, N)
    p_potential: np.ndarray  # (n_generator, N)


class Reference:
    """gym-anm's problem of one network and horizon, set up once by its own code."""

    def __init__(
        self, network: dict[str, Any], *, delta_t: float, lamb: float, gamma: float, steps: int, margin: float
    ) -> None:
        """Builds the problem of ``MPCAgent``.

        It sets the angle to zero at the bus in the position of the slack device instead of the slack's, which
        moves the limits of the angles: here it is told the device in the position of the slack bus.
        """
        self.simulator = simulator.Simulator(copy.deepcopy(network), delta_t, lamb)
        self.agent = MPCAgent(self.simulator, None, gamma, safety_margin=margin, planning_steps=steps)
        bus = next(i for i, b in enumerate(self.simulator.buses.values()) if b.is_slack)
        self.agent.slack_dev_id = self.agent.device_ids[bus]
        self.agent.dc_opf = self.agent._create_optimization_problem()

    def solve(self, at: Situation) -> tuple[float, np.ndarray]:
        """The optimal value, p.u., and P of the first stage: generators, then storage units, p.u.

        By CLARABEL, which cvxpy chooses for linear programs too, with tolerances of 1e-9.
        """
        agent = self.agent
        agent.P_load_forecast.value, agent.P_gen_forecast.value = at.p_load, at.p_potential
        agent.init_soc.value = at.soc
        settings = {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9}
        value = agent.dc_opf.solve(solver="CLARABEL", **settings)
        assert agent.dc_opf.status == "optimal", agent.dc_opf.status
        devices = [agent.dev_id_mapping[i] for i in (*agent.non_slack_gen_ids, *agent.des_ids)]
        return float(value), agent.P_dev.value[devices]


def random_situation(net: Any, steps: int, rng: np.random.Generator) -> Situation:
    """Loads and potentials from light to heavy, and charges from empty to full."""
    loads, generators, storage = (np.array(x, int) for x in (net.loads, net.generators, net.storage))
    heavy = np.where(np.isfinite(net.p_min), net.p_min, net.p_max - 0.1)[loads]
    light = net.p_max[loads]
    p_load = light[:, None] + (heavy - light)[:, None] * rng.uniform(0, 1, (len(loads), steps))
    low = net.p_min[generators]
    high = np.where(np.isfinite(net.p_max), net.p_max, 2 * net.p_min + 0.1)[generators]
    share = rng.choice([0, 1], (len(generators), steps)) * rng.uniform(0, 1.3, (len(generators), steps))
    fill = rng.choice([0.0, 1.0, rng.random()], len(storage))
    soc = net.soc_min[storage] + fill * (net.soc_max - net.soc_min)[storage]
    return Situation(soc, p_load, low[:, None] + share * (high - low)[:, None])


def random_network(seed: int) -> tuple[dict[str, Any], Any]:
    """A network with something to control, and with a DC power flow: reactances; the settings of its task."""
    structure = seed
    while True:
        case = random_case(structure, 0)
        kinds = np.asarray(case.network["device"], object)[:, 2]
        if all(np.asarray(case.network["branch"], object)[:, 3]) and (kinds > 0).any():
            return case.network, case.settings
        structure += 1000


def first_stage_is_unique(
    reference: Reference, at: Situation, value: float, *, accuracy: float, seed: int = 0
) -> bool:
    """Whether all plans as good as the optimum have its first stage, by the widest along a random direction.

    As good: within the relative accuracy. False too where CLARABEL does not find out.
    """
    agent = reference.agent
    devices = [agent.dev_id_mapping[i] for i in (*agent.non_slack_gen_ids, *agent.des_ids)]
    direction = np.random.default_rng(seed).normal(size=len(devices))
    ends = []
    for sign in (1, -1):
        optimal = agent.dc_opf.objective.args[0] <= value + accuracy * max(1, abs(value))
        problem = cp.Problem(
            cp.Minimize(sign * direction @ agent.P_dev[devices]), [*agent.dc_opf.constraints, optimal]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an inaccurate solution is no proof
            try:
                problem.solve(solver="CLARABEL")
            except cp.SolverError:
                return False
        if problem.status != "optimal":
            return False
        ends.append(direction @ agent.P_dev.value[devices])
    return bool(abs(ends[0] - ends[1]) < 1e-5)
