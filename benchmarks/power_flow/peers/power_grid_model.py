"""power-grid-model as a peer: batches of injections in C++, over threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from anmjax import Network
from benchmarks.power_flow.balance import PowerBalance

MAX_ITERATIONS = 30
# Loosest first. power-grid-model bounds the last voltage step, which says little about the mismatch.
STEP_TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)


class PowerGridModel:
    """power-grid-model's batch calculation in C++, over threads; it has no buses of given voltage."""

    base_va, base_v = 1e6, 1e3  # the model's own bases, which leave p.u. values as they are

    def __init__(self, net: Network, p: np.ndarray, q: np.ndarray, *, tol: float, threads: int, method: str):
        """Loads the scenarios, and finds the loosest of its tolerances that keeps the mismatch within ours.

        Args:
          net: network without PV buses.
          p: (batch, n_bus) p.u., active injections.
          q: (batch, n_bus) p.u., reactive injections.
          tol: p.u., largest mismatch of a solution.
          threads: threads to solve on.
          method: 'newton_raphson' or 'iterative_current'.

        Raises:
          ValueError: the network has PV buses, or no tolerance keeps the mismatch within ``tol``.
        """
        from power_grid_model import PowerGridModel as Model
        from power_grid_model import initialize_array

        if net.pv:
            raise ValueError(f"bus {net.bus_ids[net.pv[0]]} is a PV bus: power-grid-model has none")
        tables = _power_grid_model_input(net, self.base_va, self.base_v)
        self.model = Model(tables)
        loads = tables["sym_load"]
        self.update = initialize_array("update", "sym_load", (len(p), len(loads)))
        self.update["id"] = loads["id"]
        self.update["p_specified"] = -p[:, loads["node"]] * self.base_va
        self.update["q_specified"] = -q[:, loads["node"]] * self.base_va
        self.method, self.threads = method, threads if threads > 1 else -1  # -1: no pool of threads
        balance = PowerBalance(net)
        for self.step_tol in STEP_TOLERANCES:
            self.solve()
            if balance.mismatch(self.voltages(), p, q).max() <= tol:
                self.batch, self.threads = len(p), threads
                self.settings = {"start": "its own", "step_tol": self.step_tol}
                return
        raise ValueError(f"power-grid-model's {method} leaves a mismatch above {tol:g} p.u.")

    def solve(self) -> None:
        """Solves all scenarios."""
        self.result: Any = self.model.calculate_power_flow(
            calculation_method=self.method,
            error_tolerance=self.step_tol,
            max_iterations=MAX_ITERATIONS,
            update_data={"sym_load": self.update},
            threading=self.threads,
            output_component_types=["node"],
        )

    def voltages(self) -> np.ndarray:
        """(batch, n_bus) complex p.u."""
        node = self.result["node"]
        return node["u_pu"] * np.exp(1j * node["u_angle"])


def _power_grid_model_input(net: Network, base_va: float, base_v: float) -> dict[Any, np.ndarray]:
    """power-grid-model's tables of a network: generic branches, a stiff source, a load at each bus."""
    from power_grid_model import initialize_array

    shunted = np.flatnonzero((net.g_shunt != 0) | (net.b_shunt != 0))
    free = np.delete(np.arange(net.n_bus), net.slack)
    sizes = {"node": net.n_bus, "generic_branch": net.n_branch, "source": 1, "sym_load": net.n_bus - 1}
    sizes |= {"shunt": len(shunted)} if len(shunted) else {}
    tables: dict[Any, np.ndarray] = {
        name: initialize_array("input", name, size) for name, size in sizes.items()
    }
    first = np.cumsum([0, *sizes.values()])
    for start, table in zip(first, tables.values(), strict=False):
        table["id"] = start + np.arange(len(table))
    siemens = base_va / base_v**2

    tables["node"]["u_rated"] = base_v
    branch = tables["generic_branch"]
    branch["from_node"], branch["to_node"] = net.from_bus, net.to_bus
    branch["from_status"] = branch["to_status"] = net.in_service
    branch["r1"], branch["x1"] = net.r / siemens, net.x / siemens
    branch["g1"], branch["b1"] = net.g * siemens, net.b * siemens
    branch["k"], branch["theta"] = net.tap, net.shift
    source = tables["source"]
    source["node"], source["status"] = net.slack, 1
    source["u_ref"], source["u_ref_angle"] = net.v_set[net.slack], net.slack_angle[0]
    source["sk"], source["rx_ratio"] = 1e14 * base_va, 0.1  # held to 14 digits
    load = tables["sym_load"]
    load["node"], load["status"], load["type"] = free, 1, 0  # 0: constant power
    load["p_specified"], load["q_specified"] = -net.p[free] * base_va, -net.q[free] * base_va
    if len(shunted):
        shunt = tables["shunt"]
        shunt["node"], shunt["status"] = shunted, 1
        shunt["g1"], shunt["b1"] = net.g_shunt[shunted] * siemens, net.b_shunt[shunted] * siemens
    return tables
