"""lightsim2grid as a peer: batches of injections and of outages, Newton with KLU in C++, over threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anmjax import Network

MAX_ITERATIONS = 30


class LightSim2Grid:
    """lightsim2grid's batch of independent injections: Newton with KLU in C++, over threads."""

    def __init__(
        self,
        net: Network,
        p: np.ndarray,
        q: np.ndarray,
        *,
        tol: float,
        threads: int,
        warm: bool,
        every: int = 1,
    ):
        """Loads the scenarios.

        Args:
          net: network.
          p: (batch, n_bus) p.u., active injections.
          q: (batch, n_bus) p.u., reactive injections.
          tol: p.u., largest mismatch of a solution.
          threads: threads to solve on.
          warm: start each scenario from the solution of the case itself instead of from equal angles.
          every: Newton iterations that share a factorization.
        """
        from lightsim2grid.algorithm import AlgorithmType, RefactorPolicyType
        from lightsim2grid.injectionSweep import InjectionSweepCPP

        free = np.setdiff1d(np.arange(net.n_bus), [net.slack, *net.pv])
        held = np.array([net.slack, *net.pv])
        self.loads = [np.ascontiguousarray(-x[:, free]) for x in (p, q)]
        self.generation = np.ascontiguousarray(np.where(held == net.slack, 0.0, p[:, held]))
        self.start, self.tol = np.full(net.n_bus, np.exp(1j * net.slack_angle[0])), tol
        self.sweep = InjectionSweepCPP(_lightsim2grid_model(net, free, held))
        self.sweep.change_algorithm(AlgorithmType.NRSing_KLU)  # Newton with a single slack
        config = self.sweep.get_algo_config()
        # [scaling policy, refactorization policy, line search iterations, iterations a factorization]
        policy = RefactorPolicyType.EveryN if every > 1 else RefactorPolicyType.AlwaysRefactor
        config.int_params = [config.int_params[0], int(policy), config.int_params[2], every]
        self.sweep.set_algo_config(config)
        self.sweep.nb_thread = threads
        self.sweep.init_from_n_powerflow = warm
        self.batch, self.threads = len(p), threads
        self.settings = {"start": "warm" if warm else "flat", "iterations_a_factorization": every}

    def solve(self) -> None:
        """Solves all scenarios."""
        self.sweep.modify_load_p(self.loads[0])
        self.sweep.modify_load_q(self.loads[1])
        self.sweep.modify_gen_p(self.generation)
        self.sweep.compute(self.start, MAX_ITERATIONS, self.tol)

    def voltages(self) -> np.ndarray:
        """(batch, n_bus) complex p.u."""
        converged = np.array(self.sweep.converged_mask())
        return np.where(converged[:, None], self.sweep.get_voltages(), np.nan)


class LightSim2GridOutages:
    """lightsim2grid's contingency analysis: every branch out once, the injections those of the case."""

    def __init__(self, net: Network, *, tol: float, threads: int):
        """Loads the outages.

        Args:
          net: network, all of its branches in service.
          tol: p.u., largest mismatch of a solution.
          threads: threads to solve on.
        """
        from lightsim2grid.algorithm import AlgorithmType
        from lightsim2grid.contingencyAnalysis import ContingencyAnalysisCPP

        held = np.array([net.slack, *net.pv])
        free = np.setdiff1d(np.arange(net.n_bus), held)
        self.start, self.tol = np.full(net.n_bus, np.exp(1j * net.slack_angle[0])), tol
        self.analysis = ContingencyAnalysisCPP(_lightsim2grid_model(net, free, held))
        self.analysis.change_algorithm(AlgorithmType.NRSing_KLU)
        self.analysis.nb_thread = threads
        self.analysis.init_from_n_powerflow = True
        self.analysis.add_all_n1()
        # It numbers lines before transformers.
        self.order = np.argsort(_is_transformer(net), kind="stable")
        self.batch, self.threads, self.settings = net.n_branch, threads, {"start": "warm"}

    def solve(self) -> None:
        """Solves all outages."""
        self.analysis.clear_results_only()
        self.analysis.compute(self.start, MAX_ITERATIONS, self.tol)

    def voltages(self) -> np.ndarray:
        """(n_branch, n_bus) complex p.u., by the branch that is out; NaN where the network is split."""
        outages = [self.order[outage[0]] for outage in self.analysis.my_defaults()]
        converged = np.array(self.analysis.converged_mask())
        found = np.full((self.batch, len(self.start)), np.nan, complex)
        found[outages] = np.where(converged[:, None], self.analysis.get_voltages(), np.nan)
        return found


def _is_transformer(net: Network) -> np.ndarray:
    """Branches that lightsim2grid has to model as transformers, (n_branch,) bool."""
    return (net.tap != 1) | (net.shift != 0)


def _lightsim2grid_model(net: Network, free: np.ndarray, held: np.ndarray) -> Any:
    """lightsim2grid's model of a network: a load at each PQ bus, a generator at each held one."""
    from lightsim2grid.network import init_from_powermodels

    def numbered(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {str(i + 1): row for i, row in enumerate(rows)}

    transformer = _is_transformer(net)
    kind = {net.slack: 3, **dict.fromkeys(net.pv, 2)}
    shunted = np.flatnonzero((net.g_shunt != 0) | (net.b_shunt != 0))
    limits = {"pmin": -1e6, "pmax": 1e6, "qmin": -1e6, "qmax": 1e6}
    model = {
        "baseMVA": 1.0,
        "bus": numbered(
            [
                {
                    "bus_i": i + 1,
                    "bus_type": kind.get(i, 1),
                    "base_kv": 1.0,
                    "vmin": 0.0,
                    "vmax": 2.0,
                    "vm": 1.0,
                    "va": float(net.slack_angle[0]),
                }
                for i in range(net.n_bus)
            ]
        ),
        "load": numbered(
            [{"load_bus": i + 1, "pd": -net.p[i], "qd": -net.q[i], "status": 1} for i in free.tolist()]
        ),
        "gen": numbered(
            [
                {
                    "gen_bus": i + 1,
                    "pg": 0.0 if i == net.slack else net.p[i],
                    "qg": 0.0,
                    "vg": net.v_set[i],
                    "mbase": 1.0,
                    "gen_status": 1,
                    **limits,
                }
                for i in held.tolist()
            ]
        ),
        "shunt": numbered(
            [
                {"shunt_bus": i + 1, "gs": net.g_shunt[i], "bs": net.b_shunt[i], "status": 1}
                for i in shunted.tolist()
            ]
        ),
        "branch": numbered(
            [
                {
                    "f_bus": net.from_bus[k] + 1,
                    "t_bus": net.to_bus[k] + 1,
                    "br_r": net.r[k],
                    "br_x": net.x[k],
                    "g_fr": net.g[k] / 2,
                    "g_to": net.g[k] / 2,
                    "b_fr": net.b[k] / 2,
                    "b_to": net.b[k] / 2,
                    "tap": net.tap[k],
                    "shift": net.shift[k],
                    "transformer": bool(transformer[k]),
                    "rate_a": 0.0,
                    "br_status": int(net.in_service[k]),
                }
                for k in range(net.n_branch)
            ]
        ),
    }
    return init_from_powermodels(model)
