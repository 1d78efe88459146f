"""A state of a grid in words: its extremes, and what is outside its limits."""

from __future__ import annotations

import numpy as np

from anmjax.agents.replay import Series
from anmjax.grid.network import Network

NAMED = 2  # buses, and branches, that are named of those outside their limits


def loading(net: Network, moment: Series) -> np.ndarray:
    """Apparent power of the branches over their rating, (n_branch,); 0 where there is no rating."""
    rating = np.asarray(net.rating, float) * float(net.base_mva)
    rated = np.isfinite(rating) & (rating > 0)
    return np.where(rated, moment.s_mva, 0) / np.where(rated, rating, 1)


def voltage_sides(net: Network, moment: Series) -> np.ndarray:
    """1 for buses above their limits, -1 for those below, else 0: (n_bus,); 0 after a collapse."""
    above, below = moment.vm > np.asarray(net.v_max) + 1e-5, moment.vm < np.asarray(net.v_min) - 1e-5
    return np.where(moment.terminated, 0, above.astype(int) - below.astype(int))


def summary(net: Network, moment: Series) -> str:
    """The extremes of voltages and loadings, and the power that is not used."""
    if moment.terminated:
        return "the network has collapsed"
    low, high = int(np.argmin(moment.vm)), int(np.argmax(moment.vm))
    parts = [
        f"{moment.vm[low]:.3f} p.u. at bus {net.bus_ids[low]} to {moment.vm[high]:.3f} at bus "
        f"{net.bus_ids[high]}"
    ]
    loads = loading(net, moment)
    if loads.any():
        parts.append(f"fullest branch {branch_name(net, int(np.argmax(loads)))}: {100 * loads.max():.0f} %")
    parts.append(f"load {_mw(-float(moment.p_mw[np.array(net.loads, int)].sum()))}")
    if len(net.generators):
        given = float(moment.p_mw[np.array(net.generators, int)].sum())
        unused = max(0.0, float(moment.potential_mw.sum()) - given)
        parts.append(f"generated {_mw(given)}, unused {_mw(unused)}")
    return "; ".join(parts)


def outside_limits(net: Network, moment: Series) -> str:
    """The buses and branches outside their limits; empty where none is."""
    if moment.terminated:
        return ""
    sides, loads = voltage_sides(net, moment), loading(net, moment)
    off = np.flatnonzero(sides).tolist()
    over = sorted(np.flatnonzero(loads > 1.0001).tolist(), key=lambda k: -loads[k])
    buses = [
        f"{_first([str(net.bus_ids[k]) for k in off if sides[k] == side])} {sense}"
        for side, sense in ((1, "above"), (-1, "below"))
        if (sides == side).any()
    ]
    branches = [f"{branch_name(net, k)} ({100 * loads[k]:.0f} %)" for k in over]
    parts = [f"bus{'' if len(off) == 1 else 'es'} {', '.join(buses)}"] if buses else []
    if branches:
        parts.append(f"branch{'' if len(over) == 1 else 'es'} {_first(branches)}")
    return f"outside limits: {'; '.join(parts)}" if parts else ""


def branch_name(net: Network, branch: int) -> str:
    """The ids of its two ends."""
    return f"{net.bus_ids[net.from_bus[branch]]}\N{EN DASH}{net.bus_ids[net.to_bus[branch]]}"


def _first(names: list[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _mw(power: float) -> str:
    return f"{power:.3g} MW" if abs(power) >= 5e-4 else "0 MW"
