"""The recipe of the packaged network of Oberrhein: pandapower's, with the devices that the task adds.

Run as a program it writes the case: ``python -m tests.tasks.oberrhein_recipe PATH``.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from pathlib import Path
from typing import Any

BASE_MVA, KV, HERTZ = 10.0, 20.0, 50.0
V_MAX, V_MIN = 1.04, 0.96
TAP_POSITION = -1  # of both transformers, of 1.5 % each
SHARE = 0.6  # of the thermal rating that a cable of an open ring may carry, to take over for the other end
# Bus: MW of PV parks, of wind farms; MW and MWh of storage units.
PV = {65: 3.0, 138: 3.0, 147: 4.0, 159: 2.5, 190: 4.0, 223: 2.5}
WIND = {116: 6.0, 231: 6.0}
STORAGE = {65: (2.0, 8.0), 147: (3.0, 12.0), 190: (2.0, 8.0)}


def source() -> Any:
    """pandapower's network, without magnetising of transformers, lines open at an end, and sgens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandapower.networks as pn

        grid = pn.mv_oberrhein(scenario="load")
    grid.trafo[["pfe_kw", "i0_percent"]] = 0.0
    grid.trafo["shift_degree"] = 0.0
    grid.load["scaling"] = 1.0
    grid.sgen = grid.sgen.iloc[:0]
    opened = grid.switch.element[(grid.switch.et == "l") & ~grid.switch.closed]
    grid.line.loc[opened, "in_service"] = False
    return grid


def case() -> dict[str, Any]:
    """The network as a gym-anm dict: ids of pandapower's buses, both of 110 kV one, under the smaller id."""
    grid = source()
    slack, other = (int(bus) for bus in sorted(grid.ext_grid.bus))
    number = {int(bus): slack if bus == other else int(bus) for bus in grid.bus.index}
    bus = [[slack, 0, 110, 1, 1]]
    bus += [[i, 1, KV, V_MAX, V_MIN] for i in sorted(set(number.values()) - {slack})]
    ohm = KV**2 / BASE_MVA
    branch: list[list[Any]] = []
    for row in grid.trafo.itertuples():
        scale = BASE_MVA / row.sn_mva
        r, z = row.vkr_percent / 100 * scale, row.vk_percent / 100 * scale
        tap = 1 + TAP_POSITION * row.tap_step_percent / 100
        ends = number[row.hv_bus], number[row.lv_bus]
        branch.append([*ends, _rounded(r), _rounded(math.sqrt(z**2 - r**2)), 0, row.sn_mva, _rounded(tap), 0])
    for _, row in grid.line[grid.line.in_service].iterrows():
        r, x = (row[name] * row.length_km / ohm for name in ("r_ohm_per_km", "x_ohm_per_km"))
        b = 2 * math.pi * HERTZ * row.c_nf_per_km * 1e-9 * row.length_km * ohm
        rating = SHARE * math.sqrt(3) * KV * row.max_i_ka
        ends = number[int(row.from_bus)], number[int(row.to_bus)]
        branch.append([*ends, *map(_rounded, (r, x, b, rating)), 1, 0])
    device: list[list[Any]] = [[0, slack, 0, *[None] * 12]]
    for row in grid.load.itertuples():
        ratio = _rounded(row.q_mvar / row.p_mw)
        device.append([len(device), number[row.bus], -1, ratio, 0, -_rounded(row.p_mw), *[None] * 9])
    for at, mw in (PV | WIND).items():
        device.append(_inverter(len(device), at, 2, mw))
    for at, (mw, mwh) in STORAGE.items():
        device.append(_inverter(len(device), at, 3, mw, mwh))
    return {"baseMVA": BASE_MVA, "bus": bus, "device": device, "branch": branch}


def _inverter(device: int, bus: int, kind: int, mw: float, mwh: float | None = None) -> list[Any]:
    """A row of the device table: Q up to 60 % of the power, less of it above 85 %."""
    charge = [mwh, 0, 0.95] if mwh else [None, None, None]
    least, minus = (-mw, _rounded(-0.85 * mw)) if mwh else (0, None)
    most, half = _rounded(0.6 * mw), _rounded(0.3 * mw)
    return [device, bus, kind, None, mw, least, most, -most, _rounded(0.85 * mw), minus, half, -half, *charge]


def _rounded(x: float) -> float:
    return float(f"{x:.9g}")


if __name__ == "__main__":
    from anmjax.grid.tables import BRANCH, BUS, DEVICE

    about = {
        "name": "mv_oberrhein",
        "source": "pandapower.networks.mv_oberrhein, see LICENSE-pandapower.txt; devices of this project in "
        "the place of its sgens",
        "columns": {"bus": list(BUS.names), "device": list(DEVICE.names), "branch": list(BRANCH.names)},
    }
    tables = case()
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in about.items()]
    lines.append(f'  "baseMVA": {json.dumps(tables["baseMVA"])}')
    for key in ("bus", "device", "branch"):
        rows = ",\n".join(f"    {json.dumps(row)}" for row in tables[key])
        lines.append(f'  "{key}": [\n{rows}\n  ]')
    Path(sys.argv[1]).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
