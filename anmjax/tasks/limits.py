"""Limits that a network of a task lacks: of devices those of their profiles, of the rest a warning."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from anmjax.grid import tables
from anmjax.grid.network import Network
from anmjax.tasks.time_series import Profiles


class MissingLimitsWarning(UserWarning):
    """Warns of buses and branches of a task that nothing can violate, since they have no limits."""


def with_limits_of(net: Network, series: Profiles, most: float) -> Network:
    """The network with limits of devices that have none: the extremes of the profiles, a reach of slacks.

    Args:
      net: network.
      series: of its loads and generators.
      most: times its profile that a load may draw.
    """
    p_min, p_max = (np.array(x, float) for x in (net.p_min, net.p_max))
    q_min, q_max = (np.array(x, float) for x in (net.q_min, net.q_max))
    plus, minus = np.array(net.p_plus, float), np.array(net.p_minus, float)
    ratio, values = np.asarray(net.qp_ratio, float), np.asarray(series.values) / float(net.base_mva)
    for k, column in zip((*net.loads, *net.generators), values.T, strict=True):
        if np.isinf(p_min[k]):
            p_min[k] = column.min(initial=0) * (most if net.device_kind[k] in tables.DEMANDS else 1)
        if np.isinf(p_max[k]):
            p_max[k] = max(column.max(initial=0), p_min[k])
        plus[k], minus[k] = min(plus[k], p_max[k]), max(minus[k], p_min[k])
        if net.device_kind[k] in tables.DEMANDS:
            ends = ratio[k] * p_min[k] + 0.0, ratio[k] * p_max[k] + 0.0
            q_min[k], q_max[k] = min(ends), max(ends)
    q_plus, q_minus = np.minimum(net.q_plus, q_max), np.maximum(net.q_minus, q_min)
    of_loads = np.array(net.loads, int)
    q_plus[of_loads], q_minus[of_loads] = q_max[of_loads], q_min[of_loads]
    # A slack's: twice what all that is there could draw, give, charge or lose.
    slack = np.flatnonzero(np.array(net.device_kind) == tables.SLACK)
    sizes = np.hypot(np.maximum(-p_min, p_max), np.maximum(-q_min, q_max))
    of_case = net.p_fixed, net.q_fixed, net.p_current, net.q_current, net.g_shunt, net.b_shunt, net.g, net.b
    reach = 2 * (np.delete(sizes, slack).sum() + sum(np.abs(x).sum() for x in of_case if x is not None))
    for limit, most in (p_min, -reach), (q_min, -reach), (p_max, reach), (q_max, reach):
        limit[slack] = np.where(np.isinf(limit[slack]), most, limit[slack])
    loose: Any = net
    powers = {"p_min": p_min, "p_max": p_max, "q_min": q_min, "q_max": q_max}
    limited: Network = loose.replace(**powers, p_plus=plus, p_minus=minus, q_plus=q_plus, q_minus=q_minus)
    return limited


def warn_of_missing_limits(net: Network) -> None:
    """Says once what has no limits; pandapower's own stand for none are 0 and 2 p.u."""
    others = np.delete(np.arange(net.n_bus), net.slacks)
    names = net.bus_labels
    rows = net.branch_names or tuple(f"branch {i}" for i in range(net.n_branch))
    v_max, v_min = np.asarray(net.v_max)[..., others], np.asarray(net.v_min)[..., others]
    free = others[((v_max >= 2) | (v_min <= 0)).reshape(-1, len(others)).any(0)]
    unlimited = np.flatnonzero(np.isinf(net.rating).reshape(-1, net.n_branch).any(0))
    parts = []
    for found, called, what in ((free, names, "voltage limits"), (unlimited, rows, "rating")):
        if len(found):
            first = ", ".join(repr(called[int(k)]) for k in found[:4])
            more = f" and {len(found) - 4} more" if len(found) > 4 else ""
            parts.append(f"no {what} at {first}{more}")
    if parts:
        how = "Network.with_limits(v_min=0.95, v_max=1.05, rating=..)"
        message = f"the network has {', and '.join(parts)}: nothing is violated there; {how} gives them"
        # The caller of the task's constructor.
        warnings.warn(MissingLimitsWarning(message), stacklevel=3)
