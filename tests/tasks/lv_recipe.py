"""The recipe of the packaged low-voltage network, as the documentation of LVFeeder-v0 tells it."""

from __future__ import annotations

import math
from typing import Any

HOMES = (6, 8, 10, 10, 12, 14)  # of each feeder
BETWEEN, TO_HOME = 0.06, 0.02  # km
NAYY_4X150, NAYY_4X50 = (0.208, 0.080, 0.270), (0.642, 0.083, 0.142)  # Ohm/km, Ohm/km, kA
BASE_MVA, KV = 0.25, 0.4
SHORT_CIRCUIT, RESISTIVE = 0.06, 0.0144  # p.u. of the transformer's rating
TAP = 1 / 1.025
ROOFS_MW, BATTERY_MW, BATTERY_MWH, HOME_MW, Q_PER_P = (0.02, 0.03, 0.04), 0.008, 0.016, 0.007, 0.25


def cable(start: int, end: int, km: float, kind: tuple[float, float, float]) -> list[Any]:
    """A row of the branch table."""
    r, x, ka = kind
    ohm = KV**2 / BASE_MVA
    return [start, end, r * km / ohm, x * km / ohm, 0, math.sqrt(3) * KV * ka, 1, 0]


def inverter(device: int, bus: int, kind: int, mw: float, mwh: float | None = None) -> list[Any]:
    """A row of the device table: Q up to 60 % of the power, less of it above 85 %."""
    charge = [mwh, 0, 0.95] if mwh else [None, None, None]
    least, minus = (-mw, -0.85 * mw) if mwh else (0, None)
    q = [0.6 * mw, -0.6 * mw, 0.85 * mw, minus, 0.3 * mw, -0.3 * mw]
    return [device, bus, kind, None, mw, least, *q, *charge]


def feeder() -> dict[str, Any]:
    """The network as a gym-anm dict: bus 0 at 20 kV, bus 1 behind the transformer, then feeder by feeder."""
    bus: list[list[Any]] = [[0, 0, 20, 1, 1], [1, 1, KV, 1.05, 0.95]]
    reactive = math.sqrt(SHORT_CIRCUIT**2 - RESISTIVE**2)
    branch = [[0, 1, RESISTIVE, reactive, 0, BASE_MVA, TAP, 0]]
    homes: list[int] = []
    for count in HOMES:
        before = 1
        for _ in range(count):
            joint, home = len(bus), len(bus) + 1
            bus += [[joint, 1, KV, 1.05, 0.95], [home, 1, KV, 1.05, 0.95]]
            branch += [cable(before, joint, BETWEEN, NAYY_4X150), cable(joint, home, TO_HOME, NAYY_4X50)]
            homes.append(home)
            before = joint
    roofs = homes[2::3]
    device: list[list[Any]] = [[0, 0, 0, *[None] * 12]]
    for home in homes:
        device.append([len(device), home, -1, Q_PER_P, 0, -HOME_MW, *[None] * 9])
    for k, home in enumerate(roofs):
        device.append(inverter(len(device), home, 2, ROOFS_MW[k % 3]))
    for home in roofs[::2]:
        device.append(inverter(len(device), home, 3, BATTERY_MW, BATTERY_MWH))
    return {"baseMVA": BASE_MVA, "bus": bus, "device": device, "branch": branch}
