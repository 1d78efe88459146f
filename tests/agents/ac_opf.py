"""The AC optimal power flow of one stage by PYPOWER, as pandapower carries it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from pandapower.pypower.idx_brch import BR_B, BR_R, BR_STATUS, BR_X, F_BUS, RATE_A, T_BUS, branch_cols
from pandapower.pypower.idx_bus import PD, QD
from pandapower.pypower.opf import opf
from pandapower.pypower.ppoption import ppoption

SLACK_LIMIT = 1e3  # MW and MVAr, out of the way


class Optimum(NamedTuple):
    """What PYPOWER found."""

    found: bool
    cost: float  # p.u., active power of the slack device
    loading: np.ndarray  # (n_branch,) share of the rating


def optimal_power_flow(
    net: Any, p_load: np.ndarray, p_potential: np.ndarray, soc: np.ndarray, dt: float
) -> Optimum:
    """Minimises the slack's active power within the limits of devices, voltages and branches.

    Storage units give at most what they hold, and take what their own limit allows.

    Args:
      net: network without classical generators, shunts, taps and shifts.
      p_load: (n_load,) p.u.
      p_potential: (n_generator,) p.u.
      soc: (n_storage,) p.u.h.
      dt: h.
    """
    base = float(net.base_mva)
    bus = np.zeros((net.n_bus, 13))
    bus[:, 0], bus[:, 1], bus[:, 6:8], bus[:, 9], bus[:, 10] = np.arange(net.n_bus), 1, 1, 1, 1
    bus[:, 11], bus[:, 12] = net.v_max, net.v_min
    bus[net.slack, 1], bus[net.slack, 11:13] = 3, net.v_set[net.slack]
    for p, device in zip(p_load, net.loads, strict=True):
        bus[net.device_bus[device], PD] -= p * base
        bus[net.device_bus[device], QD] -= p * net.qp_ratio[device] * base

    eff, least = net.eff[list(net.storage)], net.soc_min[list(net.storage)]
    most = np.concatenate([p_potential, (soc - least) * eff / dt])
    generators = [[net.slack, *_box(-SLACK_LIMIT, SLACK_LIMIT, -SLACK_LIMIT, SLACK_LIMIT, base)]]
    for device, p_high in zip((*net.generators, *net.storage), most, strict=True):
        low, high, q_low, q_high, p_plus, q_plus, q_minus = (
            float(getattr(net, name)[device]) * base
            for name in ("p_min", "p_max", "q_min", "q_max", "p_plus", "q_plus", "q_minus")
        )
        # A unit that can only take power would count as a load of constant power factor.
        p_high = max(min(high, p_high * base), 1e-6)
        row = [net.device_bus[device], *_box(low, p_high, q_low, q_high, base)]
        row[10:16] = p_plus, high, q_low, q_high, q_minus, q_plus  # PC1, PC2, and Q within these P
        generators.append(row)
    costs = [[2, 0, 0, 2, float(k == 0), 0] for k in range(len(generators))]

    branch = np.zeros((net.n_branch, branch_cols))
    for column, values in (
        (F_BUS, net.from_bus), (T_BUS, net.to_bus), (BR_R, net.r), (BR_X, net.x), (BR_B, net.b),
        (RATE_A, net.rating * base), (BR_STATUS, 1), (11, -360), (12, 360),
    ):  # fmt: skip
        branch[:, column] = values
    case = {
        "baseMVA": base,
        "bus": bus,
        "gen": np.array(generators),
        "branch": branch,
        "gencost": np.array(costs),
    }
    tight = dict.fromkeys(("PDIPM_FEASTOL", "PDIPM_GRADTOL", "PDIPM_COMPTOL", "PDIPM_COSTTOL"), 1e-09)
    with pytest.MonkeyPatch.context() as patch:
        # SciPy 1.14 dropped the attribute that PYPOWER asks for.
        for kind in (sp.csr_matrix, sp.csc_matrix):
            patch.setattr(kind, "H", property(lambda x: x.conj().T), raising=False)
        result = opf(case, ppoption(VERBOSE=0, OUT_ALL=0, INIT="flat", **tight))
    flows = np.maximum(*(np.hypot(*result["branch"][:, ends].T) for ends in ([13, 14], [15, 16])))
    return Optimum(bool(result["success"]), float(result["f"]) / base, flows / branch[:, RATE_A])


def _box(p_low: float, p_high: float, q_low: float, q_high: float, base: float) -> list[float]:
    """A generator's row behind its bus."""
    return [(p_low + p_high) / 2, 0, q_high, q_low, 1, base, 1, p_high, p_low, *np.zeros(11)]
