"""Devices of an imported case, beside the injections of what is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from anmjax.grid.devices import Generator, Load, Placed, Renewable, device_arrays, unique_names
from anmjax.grid.power_tables.tables import (
    BUS_I,
    GEN_BUS,
    GEN_STATUS,
    PD,
    PG,
    QD,
    QG,
    QMAX,
    QMIN,
    PowerTables,
)
from anmjax.grid.replacing import OF_DEVICES

PMAX, PMIN = 8, 9  # of generators, after what a power flow reads


def with_devices_of_case(
    fields: dict[str, Any], placed: Sequence[Placed], others: Sequence[str]
) -> dict[str, Any]:
    """Gives the fields of an imported network its devices, after the slacks.

    ``p`` and ``q`` stay what the case injects in all. ``p_device`` and ``q_device`` say what of it is of
    devices, ``p_fixed`` and ``q_fixed`` the rest. A slack gives whatever its bus takes, so that what is
    connected there is no device, and nothing of it is fixed.

    Args:
      fields: of ``Network``, whose only devices are slacks.
      placed: devices by ids of buses; those at slacks and at buses that were left out are passed over.
      others: (n_placed,) names of those that have none of their own, or one that others have too.
    """
    position = {number: k for k, number in enumerate(fields["bus_ids"])}
    slacks, n_slack = fields["slacks"], len(fields["slacks"])
    kept = [i for i, one in enumerate(placed) if position.get(one.device.bus, slacks[0]) not in slacks]
    devices = [placed[i] for i in kept]
    base = float(fields["base_mva"])
    new = device_arrays(devices, range(n_slack, n_slack + len(devices)), position.get, base)
    fields = dict(fields)
    none = np.zeros(n_slack)
    if devices:
        fields |= {name: np.concatenate([fields[name], new[name]]) for name in OF_DEVICES}
        fields |= {name: fields[name] + new[name] for name in ("device_ids", "device_bus", "device_kind")}
        fields |= {name: np.concatenate([none, new[name]]) for name in ("p_device", "q_device")}
        names = [getattr(one.device, "name", None) for one in devices]
        of_slacks = [f"slack {fields['bus_ids'][k]}" for k in slacks]
        own = unique_names([*of_slacks, *names], [*of_slacks, *(others[i] for i in kept)])
        fields["device_names"] = unique_names(own, [f"device {i}" for i in fields["device_ids"]])
    for of in "pq":
        fixed = np.array(fields[of])
        if devices:
            fixed -= np.bincount(new["device_bus"], new[f"{of}_device"], len(fixed))
            # What cancels leaves roundings behind, 1e-16 of what was there.
            fixed[np.abs(fixed) <= 1e-13 * np.abs(fields[of])] = 0.0
            exact = np.zeros(len(fixed))
            np.add.at(exact, list(new["device_bus"]), np.abs(new[f"{of}_device"]))
            fixed[np.abs(fixed) <= 1e-13 * exact] = 0.0
        fixed[list(slacks)] = 0.0
        fields[f"{of}_fixed"] = fixed
    if not fields["p_fixed"].any() and not fields["q_fixed"].any():
        fields["p_fixed"] = fields["q_fixed"] = None
    return fields


def devices_of_tables(source: PowerTables) -> Iterator[tuple[Placed, str]]:
    """Finds the devices of MATPOWER's tables: a load for the demand of every bus, and the generators.

    A demand of Q without P stays an injection of the case, and so does a generator whose limits are those of
    no generator: dispatchable loads, which have a negative P, and limits that are crossed or no numbers.
    Limits of Q that are no numbers are those of a unit without Q.

    Args:
      source: tables without faults.

    Returns:
      Devices with buses by id; a name for each, by the number of the bus and by the row of the generator.
    """
    for number, p, q in source.bus[:, [BUS_I, PD, QD]].tolist():
        if p != 0 and not np.isfinite(np.divide(q, p)):
            continue
        if p > 0:
            yield Placed(Load(int(number), q_per_p=q / p), -p, -q + 0.0), f"load {int(number)}"
        elif p < 0:
            feeding = Renewable(int(number), q_per_p=q / p, controllable=False)
            yield Placed(feeding, -p, -q + 0.0), f"load {int(number)}"
    for k, row in enumerate(source.gen):
        if not row[GEN_STATUS] > 0:
            continue
        most, least = (row[PMAX], row[PMIN]) if len(row) > PMIN else (max(row[PG], 0.0), 0.0)
        low, high = row[[QMIN, QMAX]].tolist()
        if not (low <= high and low < np.inf and high > -np.inf):
            low, high = min(row[QG], 0.0), max(row[QG], 0.0)
        if 0 <= least <= most and least < np.inf and row[PG] >= 0:
            device = Generator(int(row[GEN_BUS]), float(most), float(least), high, low)
            yield Placed(device, float(row[PG]), float(row[QG])), f"gen {k}"
