"""Parts of a task beyond training and test: hard days, and a grid with a branch out of service."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from anmjax.grid import tables
from anmjax.grid.network import Network
from anmjax.grid.settings import branches_out
from anmjax.grid.topology import on_loops
from anmjax.powerflow.branches import branch_flows
from anmjax.powerflow.power_flow import power_flow
from anmjax.tasks.time_series import Profiles

HARD_SHARE = 0.1  # of the held-out starts that are the hard ones, at least one


def hard_starts(
    series: Profiles, net: Network, starts: tuple[int, ...], split: str, num_steps: int
) -> tuple[int, ...]:
    """The starts of a split: some of the held-out ones for "stress" and "low_sun", else all.

    Args:
      series: profiles.
      net: network.
      starts: rows of the starts of the part.
      split: one of ``SPLITS``.
      num_steps: of an episode.

    Raises:
      ValueError: "low_sun" is asked of a grid without renewable generators.
    """
    if split not in ("stress", "low_sun"):
        return starts
    renewable, net_load = _renewable_and_net_load(series, net)
    if split == "low_sun" and not renewable.any():
        raise ValueError("split is 'low_sun', but nothing of this grid is a renewable generator that gives")
    rows = (np.array(starts)[:, None] + 1 + np.arange(num_steps)) % series.num_steps
    # The first is the hardest: the highest peak of net load, or the least energy.
    hardness = -net_load[rows].max(1) if split == "stress" else renewable[rows].sum(1)
    chosen = np.argsort(hardness, kind="stable")[: max(1, round(HARD_SHARE * len(starts)))]
    return tuple(sorted(starts[k] for k in chosen))


def with_outage(net: Network, series: Profiles, branch: int | str | None) -> Network:
    """The network with a branch out of service.

    Args:
      net: network.
      series: profiles.
      branch: its row or name; None: the most loaded one, by its rating, in the step of the highest net load
        with generators at their potential and storage units idle, of those without which every bus is still
        supplied. Where none of these has a rating, the one that carries most.

    Raises:
      ValueError: there is no such branch, or its outage would island a bus, or there is none whose outage
        would not; no power flow tells which is the most loaded.
    """
    closed = tuple(bool(x) for x in np.asarray(net.in_service) != 0)
    candidates = on_loops(net.n_bus, net.slacks, net.from_bus, net.to_bus, closed)
    if not candidates:
        raise ValueError(
            "split is 'outage', but every outage of this grid would island a bus: it has no loop, as radial "
            "feeders have none"
        )
    k = _most_loaded(net, series, candidates) if branch is None else net.branch_position(branch)
    if k not in candidates:
        allowed = ", ".join(str(net.branch_names[i] if net.branch_names else i) for i in candidates[:8])
        more = f" and {len(candidates) - 8} more" if len(candidates) > 8 else ""
        raise ValueError(
            f"outage is {branch!r}, but must be the row or the name of a branch without which every bus is "
            f"supplied: {allowed}{more}"
        )
    opened: Any = net
    reduced: Network = opened.replace(**branches_out(net, (np.arange(net.n_branch) != k).astype(net.dtype)))
    return reduced


def _renewable_and_net_load(series: Profiles, net: Network) -> tuple[np.ndarray, np.ndarray]:
    """MW in each step, (n_steps,): what renewables could give, and demand less that."""
    columns = np.asarray(series.values)
    kinds = np.array([net.device_kind[k] for k in (*net.loads, *net.generators)])
    followed = columns[:, np.isin(kinds, tables.DEMANDS)]
    # What feeds in by its profile, without control, is of the kind of loads.
    renewable = columns[:, kinds == tables.RENEWABLE].sum(1) + followed.clip(min=0).sum(1)
    return renewable, -followed.clip(max=0).sum(1) - renewable


def _most_loaded(net: Network, series: Profiles, candidates: tuple[int, ...]) -> int:
    _, net_load = _renewable_and_net_load(series, net)
    row = np.asarray(series.values)[int(net_load.argmax())] / float(net.base_mva)
    devices = np.array([*net.loads, *net.generators], int)
    p, q = (np.zeros(net.n_bus) if x is None else np.array(x, float) for x in (net.p_fixed, net.q_fixed))
    bus = np.array(net.device_bus, int)[devices]
    np.add.at(p, bus, row)
    np.add.at(q, bus, row * np.asarray(net.qp_ratio)[devices])
    flow = power_flow(net, jnp.asarray(p), jnp.asarray(q))
    if not flow.converged:
        raise ValueError(
            "outage is None, but the power flow at the highest net load has no solution to tell which branch "
            "is the most loaded: name one"
        )
    flows, at = branch_flows(net, flow.v), np.array(candidates)
    carried = np.maximum(np.abs(flows.s_from), np.abs(flows.s_to))[at]
    rating = np.asarray(net.rating)[at]
    loading = carried / rating if np.isfinite(rating).any() else carried
    return int(at[loading.argmax()])
